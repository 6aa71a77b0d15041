import type { Chain } from '../chains.ts'
import type { Command, Door } from '../load/commands.ts'
import { cpuSeconds } from '../processes.ts'
import { ALL_CHAINS, type Load, type Metric, type Row, TUNNELS, WARM_UP_MS, warmUp } from './row.ts'

const LOOPS = 16
const HTTP_CONNECTIONS = 32
const MEASURE_MS = 1_200
const DATAGRAMS_PER_SECOND = 10_000

/** Connections a second: connect, 64 bytes there and back, close. */
export const connections: Row = {
  name: 'connections',
  chains: ALL_CHAINS,
  metrics: [
    {
      id: 'connections',
      label: `connections, ${LOOPS} loops`,
      unit: '1/s',
      isHigherBetter: true,
      goal: { timesStock: 1.6 },
    },
    { id: 'connections-cpu', label: 'CPU a connection', unit: 'us', isHigherBetter: false, goal: { timesStock: 2 } },
  ],
  async measure(chain, load) {
    const { perSecond, cpuUs } = await connectionRate(chain, load, { port: chain.ports.echo })
    return { connections: perSecond, 'connections-cpu': cpuUs }
  },
}

/** What a row of rates measured. */
interface Rate {
  perSecond: number
  /** CPU of the chain for each. */
  cpuUs: number
}

/** Connections through one of the chain's ports. */
export function connectionRate(chain: Chain, load: Load, door: Door): Promise<Rate> {
  return rate(chain, load, (durationMs) => ({ do: 'connect', ...door, loops: LOOPS, durationMs }))
}

const KINDS = [
  { id: 'http-keep', port: 'http', keepAlive: true, label: 'HTTP keep-alive, tcp proxy', goal: 1.7 },
  { id: 'http-close', port: 'http', keepAlive: false, label: 'HTTP close, tcp proxy', goal: 1.7 },
  { id: 'vhost-keep', port: 'vhost', keepAlive: true, label: 'HTTP keep-alive, vhost', goal: 4 },
  { id: 'vhost-close', port: 'vhost', keepAlive: false, label: 'HTTP close, vhost', goal: 1.3 },
] as const

/** Requests a second through a tcp proxy and through the http vhost, with 256 bytes in each answer. */
export const http: Row = {
  name: 'http',
  chains: ALL_CHAINS,
  metrics: KINDS.flatMap(({ id, label, goal }) => [
    { id, label, unit: '1/s', isHigherBetter: true, goal: { timesStock: goal } },
    { id: `${id}-cpu`, label: `${label}: CPU a request`, unit: 'us', isHigherBetter: false },
  ]),
  async measure(chain, load) {
    const values: Record<string, number> = {}
    for (const { id, port, keepAlive } of KINDS) {
      const { perSecond, cpuUs } = await rate(chain, load, (durationMs) => ({
        do: 'http',
        port: chain.ports[port],
        connections: HTTP_CONNECTIONS,
        keepAlive,
        durationMs,
      }))
      values[id] = perSecond
      values[`${id}-cpu`] = cpuUs
    }
    return values
  },
}

const UDP_KINDS = [
  { port: 'udp', size: 64, label: 'UDP 64 B', goal: 2 },
  { port: 'udp', size: 1_200, label: 'UDP 1200 B' },
  { port: 'sudp', size: 1_200, label: 'sudp 1200 B' },
] as const

/** Datagrams there and back at a fixed rate: how many come, and what each costs. */
export const udp: Row = {
  name: 'udp',
  chains: TUNNELS,
  metrics: UDP_KINDS.flatMap((kind): Metric[] => {
    const { port, size, label } = kind
    const offered = `${label} at ${DATAGRAMS_PER_SECOND}/s`
    return [
      { id: `${port}-${size}`, label: `${offered}: delivered`, unit: '1/s', isHigherBetter: true },
      {
        id: `${port}-${size}-cpu`,
        label: `${offered}: CPU each`,
        unit: 'us',
        isHigherBetter: false,
        ...('goal' in kind ? { goal: { timesStock: kind.goal } } : {}),
      },
      // The row before says the same, in the gate.
      { id: `${port}-${size}-loss`, label: `${offered}: loss`, unit: '%', isHigherBetter: false, isExempt: true },
    ]
  }),
  async measure(chain, load) {
    const values: Record<string, number> = {}
    for (const { port, size } of UDP_KINDS) {
      const send = (durationMs: number) =>
        load.user.call({ do: 'udp', port: chain.ports[port], perSecond: DATAGRAMS_PER_SECOND, size, durationMs })
      await send(warmUp(WARM_UP_MS, load))
      const before = cpuSeconds(chain.pids)
      const { sent, received } = await send(MEASURE_MS)
      const cpu = cpuSeconds(chain.pids) - before
      if (received === 0) throw new Error(`${chain.name}: no datagram came back`)
      values[`${port}-${size}`] = (received * 1000) / MEASURE_MS
      values[`${port}-${size}-cpu`] = (cpu * 1e6) / received
      values[`${port}-${size}-loss`] = (100 * (sent - received)) / sent
    }
    return values
  },
}

async function rate(
  chain: Chain,
  load: Load,
  command: (durationMs: number) => Command & { do: 'connect' | 'http' },
): Promise<Rate> {
  await load.user.call(command(warmUp(WARM_UP_MS, load)))
  const before = cpuSeconds(chain.pids)
  const { count, errors, elapsedMs } = await load.user.call(command(load.isQuick ? MEASURE_MS / 4 : MEASURE_MS))
  const cpu = cpuSeconds(chain.pids) - before
  if (errors > 0) console.error(`!!! ${chain.name}: ${errors} errors beside ${count} good ones`)
  if (count === 0) throw new Error(`${chain.name}: nothing was answered`)
  return { perSecond: (count * 1000) / elapsedMs, cpuUs: (cpu * 1e6) / count }
}
