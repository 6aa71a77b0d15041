import { setTimeout as wait } from 'node:timers/promises'
import type { Chain } from '../chains.ts'
import { peakOf, residentBytes } from '../processes.ts'
import { type Load, type Metric, type Row, TUNNELS } from './row.ts'

const BUSY = 50
const WARM_UP_MS = 3_000
const MEASURE_MS = 3_000
/** One that is stalled or cut frees what it had within that. */
const SETTLE_MS = 1_500
const ABORTED = 1_000
const LOOPS = 8
const MIB = 1024 * 1024
const NAMES = ['relay', 'client'] as const

/** A download whose user stops reading, beside busy ones; and downloads that users cut. */
export const downloads: Row = {
  name: 'downloads',
  isOnDemand: true,
  isFresh: true,
  chains: TUNNELS,
  metrics: [
    ...NAMES.map(
      (name): Metric => ({
        id: `beside-${name}`,
        label: `growth by a stalled download beside ${BUSY} busy ones, ${name}`,
        unit: 'MiB',
        isHigherBetter: false,
        goal: { atMost: 32 },
        // Growth of a MiB or two has either sign: only the bound says something.
        isExempt: true,
      }),
    ),
    {
      id: 'beside-speed',
      label: `speed of the ${BUSY} with it, of that without`,
      unit: '%',
      isHigherBetter: true,
      // A ratio of two speeds of one relay: its noise decides between relays that are not slowed at all.
      isExempt: true,
    },
    ...NAMES.map(
      (name): Metric => ({
        id: `aborted-${name}`,
        label: `growth by ${ABORTED.toLocaleString('en-US')} aborted downloads, ${name}`,
        unit: 'MiB',
        isHigherBetter: false,
        goal: { atMost: 5 },
        isExempt: true,
      }),
    ),
  ],
  async measure(chain, load) {
    return { ...(await besideBusy(chain, load)), ...(await aborted(chain, load)) }
  },
}

/** Speed without, with, and again without: what changes on its own meanwhile counts for neither. */
async function besideBusy(chain: Chain, load: Load): Promise<Record<string, number>> {
  const stalling = await load.helper('user.ts')
  await load.streamer.call({ do: 'stream', port: chain.ports.bulk, connections: BUSY, direction: 'down' })
  await wait(WARM_UP_MS)
  const before = await busy(chain, load)
  await stalling.call({ do: 'stall', port: chain.ports.bulk, direction: 'down' })
  const beside = await busy(chain, load)
  await stalling.call({ do: 'stop' })
  await wait(SETTLE_MS)
  const after = await busy(chain, load)
  await load.streamer.call({ do: 'stop' })
  await wait(SETTLE_MS)
  const without = (before.speed + after.speed) / 2
  const growth = (i: number): number => ((beside.peaks[i] ?? 0) - (before.peaks[i] ?? 0)) / MIB
  return {
    'beside-relay': growth(0),
    'beside-client': growth(1),
    'beside-speed': (100 * beside.speed) / without,
  }
}

/** Bytes a ms of the streams, and the highest RSS of each process meanwhile. */
async function busy(chain: Chain, load: Load): Promise<{ speed: number; peaks: number[] }> {
  const peaks = chain.pids.map((pid) => peakOf(() => residentBytes(pid)))
  const from = { ...(await load.streamer.call({ do: 'bytes' })), at: performance.now() }
  await wait(MEASURE_MS)
  const to = { ...(await load.streamer.call({ do: 'bytes' })), at: performance.now() }
  return { speed: (to.received - from.received) / (to.at - from.at), peaks: peaks.map((peak) => peak.stop()) }
}

/** The fourth thousand, so that what the first ones make a heap grow to is no growth. */
async function aborted(chain: Chain, load: Load): Promise<Record<string, number>> {
  const cut = async (): Promise<number[]> => {
    await load.user.call({ do: 'abort', port: chain.ports.bulk, loops: LOOPS, count: ABORTED })
    await wait(SETTLE_MS)
    return chain.pids.map(residentBytes)
  }
  await cut()
  await cut()
  const before = await cut()
  const after = await cut()
  return Object.fromEntries(NAMES.map((name, i) => [`aborted-${name}`, ((after[i] ?? 0) - (before[i] ?? 0)) / MIB]))
}
