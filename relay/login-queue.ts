import { type Rate, RateLimit } from '../contract/rate-limit.ts'
import type { Deadline, Runtime } from '../contract/runtime.ts'

interface Waiting {
  isWanted: () => boolean
  run: () => void
}

/** Lets logins in at a rate; what comes faster waits in line. A storm of reconnects then stays a queue. */
export class LoginQueue {
  private readonly runtime: Runtime
  private readonly line: Waiting[] = []
  private readonly places: RateLimit
  private next: Deadline | undefined

  constructor(runtime: Runtime, perSecond: number) {
    this.runtime = runtime
    this.places = new RateLimit(oneSecondOf(perSecond), runtime.monotonicMs())
  }

  /** Logins a second from now on. */
  allow(perSecond: number): void {
    this.places.rate = oneSecondOf(perSecond)
  }

  /** Calls `run` now, or when its turn comes; who is not wanted any more by then costs nobody's place. */
  enter(isWanted: () => boolean, run: () => void): void {
    this.line.push({ isWanted, run })
    this.admit()
  }

  private admit(): void {
    const now = this.runtime.monotonicMs()
    for (let first = this.line[0]; first !== undefined; first = this.line[0]) {
      const isWanted = first.isWanted()
      if (isWanted && !this.places.take(now)) break
      this.line.shift()
      if (isWanted) first.run()
    }
    if (this.line.length === 0 || this.next !== undefined) return
    this.next = this.runtime.after(this.places.waitMs(now), () => {
      this.next = undefined
      this.admit()
    })
  }
}

/** At once no more than in a second: who waits is let in evenly. */
function oneSecondOf(perSecond: number): Rate {
  return { perSecond, burst: perSecond }
}
