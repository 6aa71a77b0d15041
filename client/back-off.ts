/** First bound of the random delay; reliability wants clients back within a second of a relay's restart. */
const BASE_MS = 100
/** Last bound: a relay that is down is asked about once in 2.5 s on average (frp goes up to 20 s). */
const MAX_MS = 5_000
/**
 * The same while nobody listens there at all: asking costs one packet each way, and a relay that is started again
 * is to be met within half a second (median), however long it was away.
 */
const MAX_REFUSED_MS = 400
/** "At least a little": two tries never follow each other without a pause. */
const MIN_MS = 10
/** A session that lived this long was a good one: the next loss starts from nothing. */
export const STABLE_SESSION_MS = 10_000
/** Above this power of two the bound is MAX_MS anyway. */
const MAX_POWER = 16

/**
 * When to try the next login: full jitter (a uniform delay below a doubling bound), so that a thousand clients
 * of one relay do not come back in the same instant. Delays are in ms.
 */
export class BackOff {
  private failures = 0
  private readonly random: () => number

  /** `random` answers uniformly from [0, 1). */
  constructor(random: () => number = Math.random) {
    this.random = random
  }

  /** The delay after one more failed try; `isRefused`: nobody listens at the relay's address. */
  afterFailure(isRefused = false): number {
    const bound = Math.min(isRefused ? MAX_REFUSED_MS : MAX_MS, BASE_MS * 2 ** Math.min(this.failures, MAX_POWER))
    this.failures += 1
    return Math.max(MIN_MS, this.random() * bound)
  }

  /** The delay after a session that lived `livedMs`: none, unless sessions keep ending as soon as they begin. */
  afterSession(livedMs: number): number {
    if (livedMs >= STABLE_SESSION_MS) this.failures = 0
    const delay = this.afterFailure()
    return this.failures === 1 ? 0 : delay
  }
}
