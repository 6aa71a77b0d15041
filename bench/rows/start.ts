import { setTimeout as wait } from 'node:timers/promises'
import { residentBytes } from '../processes.ts'
import { type Row, TUNNELS } from './row.ts'

const SETTLE_MS = 300
const MIB = 1024 * 1024

/** A tunnel that was just started. */
export const start: Row = {
  name: 'start',
  isFresh: true,
  chains: TUNNELS,
  metrics: [
    {
      id: 'start-ms',
      label: 'start-up to first byte',
      unit: 'ms',
      isHigherBetter: false,
      goal: { atMost: 250 },
      isExempt: true,
    },
    {
      id: 'rss-relay',
      label: 'RSS at start, relay',
      unit: 'MiB',
      isHigherBetter: false,
      goal: { atMost: 60 },
      isExempt: true,
    },
    {
      id: 'rss-client',
      label: 'RSS at start, client',
      unit: 'MiB',
      isHigherBetter: false,
      goal: { atMost: 60 },
      isExempt: true,
    },
  ],
  async measure(chain) {
    await wait(SETTLE_MS)
    const [relay = 0, client = 0] = chain.pids.map(residentBytes)
    return { 'start-ms': chain.startMs, 'rss-relay': relay / MIB, 'rss-client': client / MIB }
  },
}
