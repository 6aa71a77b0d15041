/** A new stream asks for a new sample if the last is older: a busy session pays two small frames a second. */
const SAMPLE_AGE_MS = 1_000
/** How much a slower sample moves the estimate: a route that became longer is learned within some samples. */
const DRIFT = 1.1

/**
 * The round trip of a session without the queues that its own streams make: the shortest that pings saw. Windows
 * need no more than what it takes to fill it; what they hold beyond that is only delay for everybody else.
 */
export class RoundTrip {
  /** In ms; undefined until the first answer. */
  ms: number | undefined
  private pingId: number | undefined
  private sentAtMs = 0

  /** Whether a ping would be worth its cost. */
  isDue(nowMs: number): boolean {
    return this.pingId === undefined && (this.ms === undefined || nowMs - this.sentAtMs >= SAMPLE_AGE_MS)
  }

  sent(pingId: number, nowMs: number): void {
    // An older ping that is still unanswered is the better sample.
    if (this.pingId !== undefined) return
    this.pingId = pingId
    this.sentAtMs = nowMs
  }

  answered(pingId: number, nowMs: number): void {
    if (pingId !== this.pingId) return
    this.pingId = undefined
    const sample = nowMs - this.sentAtMs
    this.ms = this.ms === undefined ? sample : Math.min(sample, this.ms * DRIFT)
  }
}
