import type { Log, Runtime } from '../contract/runtime.ts'

/** Lines about strangers in an interval; what comes beyond is counted and told with the next line. */
const BURST = 20
const INTERVAL_MS = 10_000

/**
 * Says why connections were closed before anybody took them, in bounded lines: scanners come by the thousand.
 * No deadline of its own, which would keep a relay awake that sleeps.
 */
export class Refusals {
  private readonly runtime: Runtime
  private readonly log: Log
  private lines = 0
  private untold = 0
  private sinceMs = Number.NEGATIVE_INFINITY

  constructor(runtime: Runtime) {
    this.runtime = runtime
    this.log = runtime.log
  }

  report(ip: string, why: string): void {
    const now = this.runtime.monotonicMs()
    if (now - this.sinceMs >= INTERVAL_MS) {
      if (this.untold > 0) this.log.warn(`${this.untold} more connections were closed for such reasons`)
      this.sinceMs = now
      this.lines = 0
      this.untold = 0
    }
    if (this.lines >= BURST) {
      this.untold += 1
      return
    }
    this.lines += 1
    this.log.warn(`connection of [${ip}] closed: ${why}`)
  }
}
