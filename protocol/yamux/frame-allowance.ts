import { YAMUX_IDLE_FRAMES_BURST, YAMUX_IDLE_FRAMES_PER_SECOND } from '../limits.ts'

/** A rate of frames that carry nothing. */
export interface FrameRate {
  perSecond: number
  /** How many may come at once. */
  burst: number
}

/** What yamux sessions allow unless told otherwise. */
const DEFAULT_RATE: FrameRate = { perSecond: YAMUX_IDLE_FRAMES_PER_SECOND, burst: YAMUX_IDLE_FRAMES_BURST }

/** How many more frames without use a peer may send: a token bucket that is only touched by such frames. */
export class FrameAllowance {
  private readonly rate: FrameRate
  private tokens: number
  private lastMs: number

  constructor(nowMs: number, rate: FrameRate = DEFAULT_RATE) {
    this.rate = rate
    this.tokens = rate.burst
    this.lastMs = nowMs
  }

  /** Takes one; false when the peer has sent too many. `nowMs` is monotonic. */
  take(nowMs: number): boolean {
    const gained = ((nowMs - this.lastMs) * this.rate.perSecond) / 1000
    this.lastMs = nowMs
    this.tokens = Math.min(this.rate.burst, this.tokens + Math.max(0, gained))
    if (this.tokens < 1) return false
    this.tokens -= 1
    return true
  }
}
