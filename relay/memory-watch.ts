import type { Runtime } from '../contract/runtime.ts'

/** New work is refused from this part of the limit on: what runs already may still grow. */
const FULL_AT = 0.8
/** The sum over all connections is not made anew for each user. */
const LOOK_INTERVAL_MS = 100

/** Whether the relay holds so much for its clients that it had better take no new work. */
export class MemoryWatch {
  private readonly runtime: Runtime
  private readonly fullBytes: number
  private readonly heldBytes: () => number
  private lookedMs = Number.NEGATIVE_INFINITY
  private wasFull = false

  /** `heldBytes`: what is held now; asked at most ten times a second. */
  constructor(runtime: Runtime, maxBytes: number, heldBytes: () => number) {
    this.runtime = runtime
    this.fullBytes = maxBytes * FULL_AT
    this.heldBytes = heldBytes
  }

  get isFull(): boolean {
    const now = this.runtime.monotonicMs()
    if (now - this.lookedMs < LOOK_INTERVAL_MS) return this.wasFull
    this.lookedMs = now
    this.wasFull = this.heldBytes() >= this.fullBytes
    return this.wasFull
  }
}
