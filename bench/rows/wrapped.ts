import { stream } from './bulk.ts'
import { type Row, TUNNELS } from './row.ts'

const KINDS = [
  { port: 'encrypted', label: 'encrypted' },
  { port: 'compressed', label: 'compressed' },
  { port: 'both', label: 'encrypted and compressed' },
] as const
const DIRECTIONS = ['up', 'down'] as const

/** One stream whose work connection is encrypted or compressed; half of the bytes compress. */
export const wrapped: Row = {
  name: 'wrapped',
  chains: TUNNELS,
  metrics: KINDS.flatMap(({ port, label }) =>
    DIRECTIONS.flatMap((direction) => [
      { id: `${port}-${direction}`, label: `bulk, ${label}, ${direction}`, unit: 'Gbit/s', isHigherBetter: true },
      {
        id: `${port}-${direction}-cpu`,
        label: `bulk, ${label}, ${direction}: CPU`,
        unit: 's/GB',
        isHigherBetter: false,
      },
    ]),
  ),
  async measure(chain, load) {
    const values: Record<string, number> = {}
    for (const { port } of KINDS) {
      for (const direction of DIRECTIONS) {
        const speed = await stream(chain, load, { port: chain.ports[port], connections: 1, direction })
        values[`${port}-${direction}`] = speed.gbits
        values[`${port}-${direction}-cpu`] = speed.secondsPerGb
      }
    }
    return values
  },
}
