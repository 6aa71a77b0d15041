import { createServer } from 'node:net'
import { completeFrps } from '../../config/load.ts'
import type { Deadline, Runtime } from '../../contract/runtime.ts'
import { createLineLog } from '../../node/log.ts'
import { nodeRuntime } from '../../node/runtime.ts'
import { type RunningServer, startServer } from '../../relay-node/server.ts'
import { type CleanUp, Lines } from '../e2e/client-rig.ts'

export const TOKEN = 'limits-token'

/** A clock that stands still until a test moves it. */
export class LentClock {
  private nowMs = 1_000_000
  private readonly open = new Set<{ atMs: number; run: () => void }>()

  get monotonicMs(): number {
    return this.nowMs
  }

  /** Deadlines that would still run. */
  get openCount(): number {
    return this.open.size
  }

  after(delayMs: number, run: () => void): Deadline {
    const entry = { atMs: this.nowMs + delayMs, run }
    this.open.add(entry)
    return { cancel: () => void this.open.delete(entry) }
  }

  /** Lets time pass; deadlines run in their order, those that they set too. */
  advance(ms: number): void {
    const end = this.nowMs + ms
    for (let next = this.due(end); next !== undefined; next = this.due(end)) {
      this.open.delete(next)
      this.nowMs = Math.max(this.nowMs, next.atMs)
      next.run()
    }
    this.nowMs = end
  }

  private due(end: number) {
    let first: { atMs: number; run: () => void } | undefined
    for (const entry of this.open) if (entry.atMs <= end && entry.atMs < (first?.atMs ?? Infinity)) first = entry
    return first
  }
}

export interface HostedRelay {
  server: RunningServer
  port: number
  clock: LentClock
  lines: Lines
}

/** Who moves the clock gives nobody the time to answer a ping. */
const QUIET = { tcpMuxKeepaliveInterval: 1_000_000 }

/** A relay in this process on a clock of the test's own; `limits` is the table `edgefrp.limits`. */
export async function hostRelay(
  cleanUp: CleanUp,
  limits: object = {},
  config: Record<string, unknown> = {},
): Promise<HostedRelay> {
  const clock = new LentClock()
  const lines = new Lines()
  const sink = { write: (line: string) => lines.add(line), close: async () => undefined }
  const runtime: Runtime = {
    ...nodeRuntime(createLineLog(sink, 'trace', false)),
    nowMs: () => clock.monotonicMs,
    monotonicMs: () => clock.monotonicMs,
    after: (delayMs, run) => clock.after(delayMs, run),
  }
  const base = {
    bindAddr: '127.0.0.1',
    bindPort: await freePort(),
    auth: { token: TOKEN },
    edgefrp: { limits },
    transport: QUIET,
  }
  const { options } = completeFrps({ ...base, ...config })
  const server = await startServer(options, runtime)
  cleanUp.add(() => server.close())
  return { server, port: server.bindPort, clock, lines }
}

/** Each test file runs in a process of its own, and begins to look elsewhere. */
let lastPort = 35_000 + (process.pid % 40) * 20

/** A port that nobody has just now. */
export async function freePort(): Promise<number> {
  for (;;) {
    lastPort = lastPort >= 35_999 ? 35_000 : lastPort + 1
    const port = lastPort
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (isFree) return port
  }
}
