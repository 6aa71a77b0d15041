import type { Door } from '../load/commands.ts'
import { stream } from './bulk.ts'
import { connectionRate } from './rates.ts'
import { type Metric, type Row, TUNNELS, WARM_UP_TRIPS, warmUp } from './row.ts'

const DIRECTIONS = ['up', 'down'] as const
const PING = { do: 'ping', count: 2_000, size: 64 } as const

interface Kind {
  name: 'https' | 'tcpmux' | 'stcp' | 'v2'
  label: string
  via?: Door['via']
}

/** Ways to the bulk service that differ from a tcp proxy at the user's side, at the client's, or on the wire. */
const KINDS: readonly Kind[] = [
  { name: 'https', label: 'https by SNI', via: 'tls' },
  { name: 'tcpmux', label: 'tcpmux by CONNECT', via: 'connect' },
  { name: 'stcp', label: 'stcp between two clients' },
  { name: 'v2', label: 'wire v2' },
]

function metricsOf({ name, label }: Kind): Metric[] {
  return [
    ...DIRECTIONS.flatMap((direction): Metric[] => [
      {
        id: `${name}-${direction}`,
        label: `${label}: bulk, 1 connection ${direction}`,
        unit: 'Gbit/s',
        isHigherBetter: true,
      },
      { id: `${name}-${direction}-cpu`, label: `${label}: ${direction}, CPU`, unit: 's/GB', isHigherBetter: false },
    ]),
    { id: `${name}-ping`, label: `${label}: ping p50`, unit: 'us', isHigherBetter: false },
    { id: `${name}-connections`, label: `${label}: connections`, unit: '1/s', isHigherBetter: true },
    { id: `${name}-connections-cpu`, label: `${label}: CPU a connection`, unit: 'us', isHigherBetter: false },
  ]
}

function row(kind: Kind): Row {
  const { name, via } = kind
  return {
    name,
    chains: TUNNELS,
    metrics: metricsOf(kind),
    async measure(chain, load) {
      const door: Door = { port: chain.ports[name], ...(via === undefined ? {} : { via }) }
      const values: Record<string, number> = {}
      for (const direction of DIRECTIONS) {
        const { gbits, secondsPerGb } = await stream(chain, load, { ...door, connections: 1, direction })
        values[`${name}-${direction}`] = gbits
        values[`${name}-${direction}-cpu`] = secondsPerGb
      }
      values[`${name}-ping`] = (await load.user.call({ ...PING, ...door, warmUp: warmUp(WARM_UP_TRIPS, load) })).p50Us
      const { perSecond, cpuUs } = await connectionRate(chain, load, door)
      values[`${name}-connections`] = perSecond
      values[`${name}-connections-cpu`] = cpuUs
      return values
    },
  }
}

/** Bulk, round trips and connections by name, by secret and over wire v2, each beside the tcp proxy's own rows. */
export const doors: readonly Row[] = KINDS.map(row)
