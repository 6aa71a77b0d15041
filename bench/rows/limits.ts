import { setTimeout as wait } from 'node:timers/promises'
import type { AttackName } from '../load/commands.ts'
import { cpuSeconds, peakOf, residentBytes } from '../processes.ts'
import { type Metric, type Row, TUNNELS } from './row.ts'

/** So long honest peers come, as warm-up and beside the attack. */
const HONEST_MS = 3_000
const SETTLE_MS = 500
const MIB = 1024 * 1024

interface Attack {
  name: AttackName
  label: string
  /** The relay's growth that is allowed, in MiB. */
  growthMiB?: number
}

/** One a limit of what a stranger, a client with the token, or a user may do. L1 and so on are its names. */
const ATTACKS: readonly Attack[] = [
  { name: 'nothing', label: 'no attack' },
  { name: 'heads', label: 'L1: 2,000 heads that never end' },
  { name: 'silent', label: 'L2: 1,000 WebSockets that say nothing' },
  { name: 'lengths', label: 'L3: 1,000 lengths that lie', growthMiB: 5 },
  { name: 'strangers-streams', label: 'L3: 50 x 50 streams before a login, 64 KiB each' },
  { name: 'fragments', label: 'L4: 20 x 10,000 fragments of a byte' },
  { name: 'streams', label: 'L5: 20,000 streams of one client' },
  { name: 'readers', label: 'L5: 64 users who read nothing' },
  { name: 'pings', label: 'L6: 300,000 pings, answers unread', growthMiB: 5 },
  { name: 'churn', label: 'L6: 100,000 streams opened and reset' },
  { name: 'tokens', label: 'L7: 5,000 wrong tokens', growthMiB: 20 },
  { name: 'proxies', label: 'L8: 15,000 proxies opened and closed' },
  { name: 'datagrams', label: 'L10: datagrams of 6,000 peers' },
  { name: 'long-heads', label: 'L11: 2,000 heads of 128 KiB' },
  { name: 'sockets', label: 'L13: 9,000 connections, 8,192 descriptors' },
]

/** An honest login is to take less than a second beside each of them. */
const LOGIN_MS = 1_000

/** A refusal may cost more than a stock relay's patience: none is in the gate. */
function metricsOf({ name, label, growthMiB }: Attack): Metric[] {
  const metric = (id: string, what: string, unit: string, atMost?: number): Metric => ({
    id: `limits-${name}-${id}`,
    label: `${label}: ${what}`,
    unit,
    isHigherBetter: false,
    isExempt: true,
    ...(atMost === undefined ? {} : { goal: { atMost } }),
  })
  return [
    metric('growth', "relay's growth", 'MiB', growthMiB),
    metric('cpu', "relay's CPU", 's'),
    metric('login-p50', 'honest login p50', 'ms'),
    metric('login-p99', 'honest login p99', 'ms', LOGIN_MS),
    metric('request-p50', 'honest request p50', 'ms'),
    metric('request-p99', 'honest request p99', 'ms'),
  ]
}

function row(attack: Attack): Row {
  const { name } = attack
  return {
    name: 'limits',
    isOnDemand: true,
    isFresh: true,
    // What one attack made a heap grow to would hide what the next one needs.
    isAlone: true,
    chains: TUNNELS,
    metrics: metricsOf(attack),
    async measure({ ports, pids }, load) {
      const [attacker, honest] = await Promise.all([load.helper('attacker.ts'), load.helper('honest.ts')])
      const relay = pids.slice(0, 1)
      const [pid = 0] = relay
      const come = { do: 'honest', bind: ports.bind, echo: ports.echo, durationMs: HONEST_MS } as const
      await honest.call(come)
      const before = { rss: residentBytes(pid), cpu: cpuSeconds(relay) }
      const peak = peakOf(() => residentBytes(pid))
      const [beside] = await Promise.all([honest.call(come), attacker.call({ do: 'attack', name, ports })])
      const growth = peak.stop() - before.rss
      const cpu = cpuSeconds(relay) - before.cpu
      await attacker.call({ do: 'stop' })
      await wait(SETTLE_MS)
      return {
        [`limits-${name}-growth`]: growth / MIB,
        [`limits-${name}-cpu`]: cpu,
        [`limits-${name}-login-p50`]: beside.login.p50Ms,
        [`limits-${name}-login-p99`]: beside.login.p99Ms,
        [`limits-${name}-request-p50`]: beside.request.p50Ms,
        [`limits-${name}-request-p99`]: beside.request.p99Ms,
      }
    },
  }
}

/** What hostile peers cost the relay, and the honest ones who come meanwhile. */
export const limits: readonly Row[] = ATTACKS.map(row)
