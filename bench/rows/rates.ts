import type { Chain } from '../chains.ts'
import type { Command } from '../load/commands.ts'
import { cpuSeconds } from '../processes.ts'
import { ALL_CHAINS, type Load, type Row, TUNNELS } from './row.ts'

const LOOPS = 16
const HTTP_CONNECTIONS = 32
/** A relay runs for months: compiled code is what counts, and the rounds before warm it up, too. */
const WARM_UP_MS = 800
const MEASURE_MS = 1_200
const DATAGRAMS_PER_SECOND = 10_000
const DATAGRAM_SIZES = [64, 1_200] as const

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
    const { perSecond, cpuUs } = await rate(chain, load, (durationMs) => ({
      do: 'connect',
      port: chain.ports.echo,
      loops: LOOPS,
      durationMs,
    }))
    return { connections: perSecond, 'connections-cpu': cpuUs }
  },
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

/** CPU of a datagram's way there and back at a fixed rate. */
export const udp: Row = {
  name: 'udp',
  chains: TUNNELS,
  metrics: DATAGRAM_SIZES.flatMap((size) => [
    {
      id: `udp-${size}-cpu`,
      label: `UDP ${size} B at ${DATAGRAMS_PER_SECOND}/s: CPU each`,
      unit: 'us',
      isHigherBetter: false,
      ...(size === 64 ? { goal: { timesStock: 2 } } : {}),
    },
    { id: `udp-${size}-loss`, label: `UDP ${size} B: loss`, unit: '%', isHigherBetter: false, isExempt: true },
  ]),
  async measure(chain, load) {
    const values: Record<string, number> = {}
    for (const size of DATAGRAM_SIZES) {
      const send = (durationMs: number) =>
        load.user.call({ do: 'udp', port: chain.ports.udp, perSecond: DATAGRAMS_PER_SECOND, size, durationMs })
      await send(WARM_UP_MS)
      const before = cpuSeconds(chain.pids)
      const { sent, received } = await send(MEASURE_MS)
      const cpu = cpuSeconds(chain.pids) - before
      if (received === 0) throw new Error(`${chain.name}: no datagram came back`)
      values[`udp-${size}-cpu`] = (cpu * 1e6) / received
      values[`udp-${size}-loss`] = (100 * (sent - received)) / sent
    }
    return values
  },
}

async function rate(
  chain: Chain,
  load: Load,
  command: (durationMs: number) => Command & { do: 'connect' | 'http' },
): Promise<{ perSecond: number; cpuUs: number }> {
  await load.user.call(command(WARM_UP_MS))
  const before = cpuSeconds(chain.pids)
  const { count, errors, elapsedMs } = await load.user.call(command(load.isQuick ? MEASURE_MS / 4 : MEASURE_MS))
  const cpu = cpuSeconds(chain.pids) - before
  if (errors > 0) console.error(`!!! ${chain.name}: ${errors} errors beside ${count} good ones`)
  if (count === 0) throw new Error(`${chain.name}: nothing was answered`)
  return { perSecond: (count * 1000) / elapsedMs, cpuUs: (cpu * 1e6) / count }
}
