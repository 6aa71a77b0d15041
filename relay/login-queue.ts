import type { Runtime } from '../contract/runtime.ts'

/** Lets logins in at a rate; what comes faster waits in line. A storm of reconnects then stays a queue. */
export class LoginQueue {
  private readonly runtime: Runtime
  private readonly perSecond: number
  private nextMs = 0

  constructor(runtime: Runtime, perSecond: number) {
    this.runtime = runtime
    this.perSecond = perSecond
  }

  /** Calls `run` now, or when its turn comes: one second's worth may come at once. */
  enter(run: () => void): void {
    const now = this.runtime.monotonicMs()
    this.nextMs = Math.max(this.nextMs, now) + 1000 / this.perSecond
    const waitMs = this.nextMs - now - 1000
    if (waitMs <= 0) run()
    else this.runtime.after(waitMs, run)
  }
}
