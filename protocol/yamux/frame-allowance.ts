import { YAMUX_IDLE_FRAMES_BURST, YAMUX_IDLE_FRAMES_PER_SECOND } from '../limits.ts'

/** How many more frames without use a peer may send: a token bucket that is only touched by such frames. */
export class FrameAllowance {
  private tokens = YAMUX_IDLE_FRAMES_BURST
  private lastMs: number

  constructor(nowMs: number) {
    this.lastMs = nowMs
  }

  /** Takes one; false when the peer has sent too many. `nowMs` is monotonic. */
  take(nowMs: number): boolean {
    const gained = ((nowMs - this.lastMs) * YAMUX_IDLE_FRAMES_PER_SECOND) / 1000
    this.lastMs = nowMs
    this.tokens = Math.min(YAMUX_IDLE_FRAMES_BURST, this.tokens + Math.max(0, gained))
    if (this.tokens < 1) return false
    this.tokens -= 1
    return true
  }
}
