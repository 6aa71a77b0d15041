import net from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { STABLE_SESSION_MS } from '../../client/back-off.ts'
import type { Chain } from '../chains.ts'
import { firstByte } from '../processes.ts'
import type { Metric, Row } from './row.ts'

/** Enough for a median; the worst of them is shown too. */
const RUNS = 20
const QUICK_RUNS = 3
/** Each takes a quarter of a minute, and its bound is a sum of two fixed times: fewer say as much. */
const SILENT_RUNS = 5
/** Longer than anything that is promised: frp itself takes 30 s and more to miss a peer. */
const SILENCE_MS = 60_000

/** Start-up of the process is part of it, and Node starts later than Go: none is in the gate. */
function wait(id: string, label: string, atMost: number): Metric {
  return { id, label, unit: 'ms', isHigherBetter: false, goal: { atMost }, isExempt: true }
}

/** How long nothing comes through after an end was killed or fell silent. */
export const recovery: Row = {
  name: 'recovery',
  isOnDemand: true,
  isFresh: true,
  // Stock frpc waits up to 20 s between two tries: a run of it would say no more than that.
  chains: ['ours'],
  metrics: [
    wait('relay-median', 'relay killed and started: first byte, median', 500),
    wait('relay-worst', 'relay killed and started: first byte, worst', 5_500),
    wait('client-median', 'client killed and started: first byte, median', 500),
    wait('client-worst', 'client killed and started: first byte, worst', 5_500),
    wait('silent-median', 'client stopped: until the relay cuts its users, median', 15_500),
    wait('silent-worst', 'client stopped: until the relay cuts its users, worst', 15_500),
  ],
  async measure(chain, { isQuick }) {
    const runs = isQuick ? QUICK_RUNS : RUNS
    const relay = await times(runs, async () => {
      // A session that ends sooner counts as a failed try, and the client would wait longer each time.
      await pause(STABLE_SESSION_MS)
      return back(chain, 0)
    })
    const client = await times(runs, () => back(chain, 1))
    const silence = await times(isQuick ? 1 : SILENT_RUNS, () => silent(chain))
    return {
      'relay-median': middle(relay),
      'relay-worst': Math.max(...relay),
      'client-median': middle(client),
      'client-worst': Math.max(...client),
      'silent-median': middle(silence),
      'silent-worst': Math.max(...silence),
    }
  },
}

async function times(count: number, once: () => Promise<number>): Promise<number[]> {
  const all: number[] = []
  for (let i = 0; i < count; i++) all.push(await once())
  return all
}

/** From the moment the process is started again to a byte that came back through the tunnel, in ms. */
async function back(chain: Chain, index: 0 | 1): Promise<number> {
  await chain.restart(index)
  const startedAt = performance.now()
  await firstByte(chain.ports.echo)
  return performance.now() - startedAt
}

/** From the client's SIGSTOP to the end of a user's connection, in ms. */
async function silent(chain: Chain): Promise<number> {
  const [, client = 0] = chain.pids
  const user = net.connect(chain.ports.echo, '127.0.0.1')
  user.on('error', () => {})
  user.write('x')
  await new Promise((resolve) => user.once('data', resolve))
  user.resume()
  const cut = new Promise<number>((resolve) => {
    const stoppedAt = performance.now()
    const late = setTimeout(() => resolve(Number.NaN), SILENCE_MS)
    user.once('close', () => {
      clearTimeout(late)
      resolve(performance.now() - stoppedAt)
    })
  })
  process.kill(client, 'SIGSTOP')
  const elapsedMs = await cut
  process.kill(client, 'SIGCONT')
  user.destroy()
  await firstByte(chain.ports.echo)
  return elapsedMs
}

function middle(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
