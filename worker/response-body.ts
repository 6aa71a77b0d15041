import type { MemoryBudget } from '../protocol/yamux/memory-budget.ts'

/** What a body can hold that nobody has read yet; beyond it the yamux window of the service's stream holds. */
const BUFFER_BYTES = 64 * 1024

export interface SinkEvents {
  /** After a `write` that answered false: more may come. */
  onRoom: () => void
  /** The reader went away. */
  onCancel: () => void
}

/** The body of a Response, written piece by piece. Pieces are kept, not copied. */
export interface Sink {
  readonly readable: ReadableStream<Uint8Array>
  /** `false`: wait for `onRoom`. */
  write(chunk: Uint8Array): boolean
  end(): void
  /** Breaks the body off: the reader gets an error, never an end. */
  fail(error: Error): void
}

/**
 * `length`: the platform then sends Content-Length, and breaks the connection if fewer bytes come. What waits is
 * charged to `budget`.
 */
export function sinkFor(length: number | undefined, budget: MemoryBudget, events: SinkEvents): Sink {
  const charge = new Charge(budget)
  return length === undefined ? new OpenSink(charge, events) : new FixedSink(length, charge, events)
}

/** Bytes that wait in one body, as its share of the budget. */
class Charge {
  bytes = 0
  private readonly budget: MemoryBudget

  constructor(budget: MemoryBudget) {
    this.budget = budget
  }

  add(bytes: number): void {
    this.bytes += bytes
    this.budget.used += bytes
  }

  clear(): void {
    this.add(-this.bytes)
  }
}

/** Pulled piece by piece: with a queue of the platform's own nobody could tell what waits. */
class OpenSink implements Sink {
  readonly readable: ReadableStream<Uint8Array>
  private readonly charge: Charge
  private readonly events: SinkEvents
  private readonly queue: Uint8Array[] = []
  private controller: ReadableStreamDefaultController<Uint8Array> | undefined
  private isPulled = false
  private isFull = false
  private isEnding = false
  private isOver = false

  constructor(charge: Charge, events: SinkEvents) {
    this.charge = charge
    this.events = events
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.controller = controller
        },
        pull: () => this.pull(),
        cancel: () => {
          if (this.isOver) return
          this.over()
          events.onCancel()
        },
      },
      { highWaterMark: 0 },
    )
  }

  write(chunk: Uint8Array): boolean {
    if (this.isOver || this.isEnding) return true
    if (this.isPulled) {
      this.isPulled = false
      this.controller?.enqueue(chunk)
      return true
    }
    this.queue.push(chunk)
    this.charge.add(chunk.length)
    this.isFull = this.charge.bytes >= BUFFER_BYTES
    return !this.isFull
  }

  end(): void {
    if (this.isOver) return
    this.isEnding = true
    if (this.queue.length > 0) return
    this.over()
    this.controller?.close()
  }

  fail(error: Error): void {
    if (this.isOver) return
    this.over()
    this.controller?.error(error)
  }

  private pull(): void {
    const next = this.queue.shift()
    if (next === undefined) {
      this.isPulled = true
      return
    }
    this.charge.add(-next.length)
    this.controller?.enqueue(next)
    if (this.isEnding) this.end()
    if (!this.isFull || this.charge.bytes >= BUFFER_BYTES) return
    this.isFull = false
    this.events.onRoom()
  }

  private over(): void {
    this.isOver = true
    this.queue.length = 0
    this.charge.clear()
  }
}

class FixedSink implements Sink {
  readonly readable: ReadableStream<Uint8Array>
  private readonly writer: WritableStreamDefaultWriter<Uint8Array>
  private readonly charge: Charge
  private readonly events: SinkEvents
  private isFull = false
  private isOver = false

  constructor(length: number, charge: Charge, events: SinkEvents) {
    const { readable, writable } = new FixedLengthStream(length)
    this.readable = readable
    this.charge = charge
    this.events = events
    this.writer = writable.getWriter()
    this.writer.closed.catch(() => this.cancelled())
  }

  write(chunk: Uint8Array): boolean {
    if (this.isOver) return true
    this.charge.add(chunk.length)
    this.writer.write(chunk).then(
      () => this.wrote(chunk.length),
      () => this.cancelled(),
    )
    this.isFull = this.charge.bytes >= BUFFER_BYTES
    return !this.isFull
  }

  end(): void {
    if (this.isOver) return
    this.isOver = true
    // A reader who went away meanwhile is nobody's loss.
    this.writer.close().catch(() => this.charge.clear())
  }

  fail(error: Error): void {
    if (this.isOver) return
    this.isOver = true
    this.charge.clear()
    this.writer.abort(error).catch(() => undefined)
  }

  private wrote(bytes: number): void {
    if (this.charge.bytes > 0) this.charge.add(-bytes)
    if (!this.isFull || this.charge.bytes >= BUFFER_BYTES) return
    this.isFull = false
    if (!this.isOver) this.events.onRoom()
  }

  private cancelled(): void {
    this.charge.clear()
    if (this.isOver) return
    this.isOver = true
    this.events.onCancel()
  }
}
