import { setTimeout as wait } from 'node:timers/promises'
import type { Chain } from '../chains.ts'
import type { Direction, Door } from '../load/commands.ts'
import { cpuSeconds } from '../processes.ts'
import { ALL_CHAINS, type Load, type Metric, type Row } from './row.ts'

const CONNECTIONS = [1, 8, 64] as const
const DIRECTIONS = ['up', 'down'] as const
const WARM_UP_MS = 400
const MEASURE_MS = 1_000

/** Goals as multiples of stock: with one connection, with more, and how much less CPU. */
const GOALS = { up: { one: 3, more: 2, cpu: 4 }, down: { one: 5, more: 4, cpu: 6 } } as const

function metricsOf(connections: number, direction: Direction): Metric[] {
  const goal = GOALS[direction]
  const what = `bulk, ${connections} connection${connections === 1 ? '' : 's'} ${direction}`
  const speed: Metric = {
    id: `bulk-${connections}-${direction}`,
    label: what,
    unit: 'Gbit/s',
    isHigherBetter: true,
    goal: { timesStock: connections === 1 ? goal.one : goal.more },
  }
  const cpu: Metric = {
    id: `cpu-${connections}-${direction}`,
    label: `${what}: CPU`,
    unit: 's/GB',
    isHigherBetter: false,
    ...(connections === 1 ? { goal: { timesStock: goal.cpu } } : {}),
  }
  return [speed, cpu]
}

/** Bytes as fast as they go, and what relay and client together pay for them. */
export const bulk: Row = {
  name: 'bulk',
  chains: ALL_CHAINS,
  metrics: CONNECTIONS.flatMap((connections) => DIRECTIONS.flatMap((direction) => metricsOf(connections, direction))),
  async measure(chain, load) {
    const values: Record<string, number> = {}
    for (const connections of CONNECTIONS) {
      for (const direction of DIRECTIONS) {
        const { gbits, secondsPerGb } = await stream(chain, load, { connections, direction })
        values[`bulk-${connections}-${direction}`] = gbits
        values[`cpu-${connections}-${direction}`] = secondsPerGb
      }
    }
    return values
  },
}

/** What `stream` measured. */
export interface Speed {
  gbits: number
  /** CPU of relay and client together. */
  secondsPerGb: number
}

/** Streams to or from the bulk service for a second, through one of the chain's ports that lead there. */
export async function stream(
  chain: Chain,
  load: Load,
  { connections, direction, ...door }: { connections: number; direction: Direction } & Partial<Door>,
): Promise<Speed> {
  const receiver = direction === 'up' ? load.bulkService : load.streamer
  await load.streamer.call({ do: 'stream', port: chain.ports.bulk, ...door, connections, direction })
  await wait(WARM_UP_MS)
  const from = { ...(await receiver.call({ do: 'bytes' })), at: performance.now(), cpu: cpuSeconds(chain.pids) }
  await wait(load.isQuick ? MEASURE_MS / 4 : MEASURE_MS)
  const to = { ...(await receiver.call({ do: 'bytes' })), at: performance.now(), cpu: cpuSeconds(chain.pids) }
  await load.streamer.call({ do: 'stop' })
  const gigabytes = (to.received - from.received) / 1e9
  if (gigabytes <= 0) throw new Error(`${chain.name}: no byte came ${direction} over ${connections} connections`)
  return { gbits: (gigabytes * 8000) / (to.at - from.at), secondsPerGb: (to.cpu - from.cpu) / gigabytes }
}
