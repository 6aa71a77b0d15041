import type { Log, Runtime } from '../contract/runtime.ts'

/** Lines about strangers: at most this many at once, and then one for all that came in the interval. */
const BURST = 20
const INTERVAL_MS = 10_000

/** Says why connections were closed before anybody took them, in bounded lines: scanners come by the thousand. */
export class Refusals {
  private readonly runtime: Runtime
  private readonly log: Log
  private lines = 0
  private untold = 0
  private isCounting = false

  constructor(runtime: Runtime) {
    this.runtime = runtime
    this.log = runtime.log
  }

  report(ip: string, why: string): void {
    this.count()
    if (this.lines >= BURST) {
      this.untold += 1
      return
    }
    this.lines += 1
    this.log.warn(`connection of [${ip}] closed: ${why}`)
  }

  private count(): void {
    if (this.isCounting) return
    this.isCounting = true
    this.runtime.after(INTERVAL_MS, () => {
      if (this.untold > 0) this.log.warn(`${this.untold} more connections were closed for such reasons`)
      this.isCounting = false
      this.lines = 0
      this.untold = 0
    })
  }
}
