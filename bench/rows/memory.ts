import { setTimeout as wait } from 'node:timers/promises'
import type { Chain } from '../chains.ts'
import { residentBytes } from '../processes.ts'
import { type Metric, type Row, TUNNELS } from './row.ts'

const IDLE_CONNECTIONS = 2_000
/** Garbage of the set-up is gone and large read buffers were given back. */
const SETTLE_MS = 1_500
const STALL_MS = 3_000
const SAMPLE_MS = 100
const KIB = 1024
const MIB = 1024 * 1024

const NAMES = ['relay', 'client'] as const

/** Memory of open connections over which nothing goes. */
export const idle: Row = {
  name: 'idle',
  isFresh: true,
  chains: TUNNELS,
  metrics: NAMES.map(
    (name): Metric => ({
      id: `idle-${name}`,
      label: `idle connection (of ${IDLE_CONNECTIONS}), ${name}`,
      unit: 'KiB',
      isHigherBetter: false,
      goal: { atMost: 24 },
    }),
  ),
  async measure(chain, load) {
    // The first connections load what all later ones share.
    await load.user.call({ do: 'idle', port: chain.ports.echo, connections: 100 })
    await wait(SETTLE_MS)
    const before = chain.pids.map(residentBytes)
    await load.user.call({ do: 'idle', port: chain.ports.echo, connections: IDLE_CONNECTIONS })
    await wait(SETTLE_MS)
    const after = chain.pids.map(residentBytes)
    await load.user.call({ do: 'stop' })
    return Object.fromEntries(
      NAMES.map((name, i) => [`idle-${name}`, ((after[i] ?? 0) - (before[i] ?? 0)) / IDLE_CONNECTIONS / KIB]),
    )
  },
}

/** How much relay and client grow while one side sends at full speed and the other does not read. */
export const stalled: Row = {
  name: 'stalled',
  isFresh: true,
  chains: TUNNELS,
  metrics: (['down', 'up'] as const).map(
    (direction): Metric => ({
      id: `stalled-${direction}`,
      label: `growth with a stalled reader, ${direction}`,
      unit: 'MiB',
      isHigherBetter: false,
      goal: { atMost: 8 },
    }),
  ),
  async measure(chain, load) {
    const values: Record<string, number> = {}
    for (const direction of ['down', 'up'] as const) {
      // A stream that went well: buffers of normal work are no growth.
      await load.streamer.call({ do: 'stream', port: chain.ports.bulk, connections: 1, direction })
      await wait(SETTLE_MS)
      await load.streamer.call({ do: 'stop' })
      await wait(SETTLE_MS)
      const before = total(chain)
      let most = 0
      await load.streamer.call({ do: 'stall', port: chain.ports.bulk, direction })
      for (let passed = 0; passed < STALL_MS; passed += SAMPLE_MS) {
        await wait(SAMPLE_MS)
        most = Math.max(most, total(chain) - before)
      }
      await load.streamer.call({ do: 'stop' })
      values[`stalled-${direction}`] = most / MIB
    }
    return values
  },
}

function total(chain: Chain): number {
  return chain.pids.reduce((sum, pid) => sum + residentBytes(pid), 0)
}
