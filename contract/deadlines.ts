import type { Deadline } from './runtime.ts'

/** setTimeout takes 2^31-1 ms at most; what is due later is armed again when the timer fires. */
const LONGEST_TIMER_MS = 0x7fff_ffff

/** A deadline of nothing: what was asked for is there already. */
export const NO_DEADLINE: Deadline = {
  cancel() {
    // There is nothing to wait for.
  },
}

/** What {@link Deadlines} needs of its surroundings; a test lends its own. */
export interface Clock {
  monotonicMs(): number
  /** Calls `run` once, about `delayMs` from now; the answer takes it back. */
  arm(delayMs: number, run: () => void): () => void
}

/**
 * All deadlines of a process behind one timer. A heap that knows each entry's place: adding one that is later
 * than most, and cancelling it, both touch a few entries only, which is what each user connection does.
 */
export class Deadlines {
  private readonly clock: Clock
  private readonly heap: Entry[] = []
  private sequence = 0
  private disarm: (() => void) | undefined
  private armedForMs = Number.POSITIVE_INFINITY

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Deadlines that are open. */
  get size(): number {
    return this.heap.length
  }

  /** Runs `run` once, `delayMs` from now; never inside this call. */
  after(delayMs: number, run: () => void): Deadline {
    // A delay that is no number would make the heap's order undefined: it counts as 0.
    const dueMs = this.clock.monotonicMs() + Math.max(0, Number.isNaN(delayMs) ? 0 : delayMs)
    const entry = new Entry(this, dueMs, this.sequence++, run)
    entry.index = this.heap.length
    this.heap.push(entry)
    this.rise(entry)
    if (dueMs < this.armedForMs) this.arm()
    return entry
  }

  /** Takes `entry` out; nothing happens when it is not in. */
  remove(entry: Entry): void {
    const index = entry.index
    if (index < 0) return
    entry.index = -1
    const last = this.heap.pop()
    if (last !== undefined && last !== entry) {
      last.index = index
      this.heap[index] = last
      this.rise(last)
      this.sink(last)
    }
    // A timer that fires for nothing is cheaper than setting it anew at each cancel, but with none open none is kept.
    if (this.heap.length === 0) this.standDown()
  }

  private arm(): void {
    this.standDown()
    const first = this.heap[0]
    if (first === undefined) return
    this.armedForMs = first.dueMs
    const delayMs = Math.ceil(first.dueMs - this.clock.monotonicMs())
    this.disarm = this.clock.arm(Math.min(LONGEST_TIMER_MS, Math.max(1, delayMs)), this.fire)
  }

  private standDown(): void {
    this.disarm?.()
    this.disarm = undefined
    this.armedForMs = Number.POSITIVE_INFINITY
  }

  private readonly fire = (): void => {
    const now = this.clock.monotonicMs()
    // What is added meanwhile waits for its own turn: a deadline of 0 ms that sets itself again must not spin.
    const before = this.sequence
    this.disarm = undefined
    // Nothing that `run` adds re-arms while this loop is on: one `arm` at its end serves all.
    this.armedForMs = Number.NEGATIVE_INFINITY
    try {
      for (let first = this.heap[0]; first !== undefined; first = this.heap[0]) {
        if (first.dueMs > now || first.sequence >= before) break
        this.remove(first)
        first.run()
      }
    } finally {
      // Also when one threw: the rest must not die with it.
      this.arm()
    }
  }

  private rise(entry: Entry): void {
    while (entry.index > 0) {
      const above = this.heap[(entry.index - 1) >> 1]
      if (above === undefined || above.isBefore(entry)) return
      this.swap(above, entry)
    }
  }

  private sink(entry: Entry): void {
    for (;;) {
      const left = this.heap[entry.index * 2 + 1]
      const right = this.heap[entry.index * 2 + 2]
      const least = right !== undefined && left !== undefined && right.isBefore(left) ? right : left
      if (least === undefined || entry.isBefore(least)) return
      this.swap(entry, least)
    }
  }

  private swap(a: Entry, b: Entry): void {
    const index = a.index
    a.index = b.index
    b.index = index
    this.heap[a.index] = a
    this.heap[b.index] = b
  }
}

class Entry implements Deadline {
  /** Place in the heap; -1 once it is out. */
  index = -1
  readonly dueMs: number
  readonly sequence: number
  readonly run: () => void
  private readonly owner: Deadlines

  constructor(owner: Deadlines, dueMs: number, sequence: number, run: () => void) {
    this.owner = owner
    this.dueMs = dueMs
    this.sequence = sequence
    this.run = run
  }

  cancel(): void {
    this.owner.remove(this)
  }

  isBefore(other: Entry): boolean {
    return this.dueMs < other.dueMs || (this.dueMs === other.dueMs && this.sequence < other.sequence)
  }
}
