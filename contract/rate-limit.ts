/** How many of something may come. */
export interface Rate {
  /** Sustained. */
  perSecond: number
  /** At once, after a while in which none came. */
  burst: number
}

/** What is left of a rate (a token bucket), counted when somebody asks: it has no timer. Times are monotonic, in ms. */
export class RateLimit {
  /** May be replaced; what is left then is at most its burst. */
  rate: Rate
  private count: number
  private countedMs: number

  constructor(rate: Rate, nowMs: number) {
    this.rate = rate
    this.count = rate.burst
    this.countedMs = nowMs
  }

  /** How many could be taken now; a fraction is on its way. */
  left(nowMs: number): number {
    const { perSecond, burst } = this.rate
    this.count = Math.min(burst, this.count + (Math.max(0, nowMs - this.countedMs) * perSecond) / 1000)
    this.countedMs = Math.max(this.countedMs, nowMs)
    return this.count
  }

  /** Takes as many; false, and nothing is taken: there are not so many. */
  take(nowMs: number, count = 1): boolean {
    if (this.left(nowMs) < count) return false
    this.count -= count
    return true
  }

  /** How long until as many are there, in ms. */
  waitMs(nowMs: number, count = 1): number {
    return Math.max(0, ((count - this.left(nowMs)) * 1000) / this.rate.perSecond)
  }
}
