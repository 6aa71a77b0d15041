import { setTimeout as wait } from 'node:timers/promises'
import type { Chain } from '../chains.ts'
import { cpuSeconds, residentBytes } from '../processes.ts'
import { type Load, type Metric, type Row, TUNNELS } from './row.ts'

const DRIPPING = 1_000
const JUNK_LOOPS = 8
const JUNK_MS = 2_000
const PING = { do: 'ping', count: 500, warmUp: 50, size: 64 } as const

/** Lower is better in all of them, and a refusal may cost more than a stock relay's patience: none is in the gate. */
function cost(id: string, label: string, unit: string): Metric {
  return { id, label, unit, isHigherBetter: false, isExempt: true }
}

/** What strangers at the bind port cost the relay, and the users who are there already. */
export const limits: Row = {
  name: 'limits',
  isOnDemand: true,
  isFresh: true,
  chains: TUNNELS,
  metrics: [
    cost('drip-memory', `relay's growth by ${DRIPPING} heads that never end`, 'MiB'),
    cost('drip-p99', 'ping p99 beside them', 'us'),
    cost('junk-cpu', 'CPU a connection that speaks no protocol', 'us'),
    cost('junk-p99', 'ping p99 beside them', 'us'),
  ],
  async measure(chain, load) {
    const relay = chain.pids.slice(0, 1)
    const [pid = 0] = relay
    await load.user.call({ ...PING, port: chain.ports.echo })
    const before = residentBytes(pid)
    await load.streamer.call({ do: 'drip', port: chain.ports.bind, connections: DRIPPING })
    const beside = await load.user.call({ ...PING, port: chain.ports.echo })
    const growth = residentBytes(pid) - before
    await load.streamer.call({ do: 'stop' })
    await wait(200)
    return { 'drip-memory': growth / (1024 * 1024), 'drip-p99': beside.p99Us, ...(await junk(chain, load, relay)) }
  },
}

async function junk(chain: Chain, load: Load, relay: number[]): Promise<Record<string, number>> {
  const cpuBefore = cpuSeconds(relay)
  const flood = load.streamer.call({ do: 'junk', port: chain.ports.bind, loops: JUNK_LOOPS, durationMs: JUNK_MS })
  const beside = await load.user.call({ ...PING, port: chain.ports.echo })
  const { count, errors } = await flood
  return { 'junk-cpu': ((cpuSeconds(relay) - cpuBefore) * 1e6) / (count + errors), 'junk-p99': beside.p99Us }
}
