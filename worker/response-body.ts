/** What a body can hold that nobody has read yet. */
const BUFFER_BYTES = 256 * 1024

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

/** `length`: the platform then sends Content-Length, and breaks the connection if fewer bytes come. */
export function sinkFor(length: number | undefined, events: SinkEvents): Sink {
  return length === undefined ? new OpenSink(events) : new FixedSink(length, events)
}

class OpenSink implements Sink {
  readonly readable: ReadableStream<Uint8Array>
  private controller: ReadableStreamDefaultController<Uint8Array> | undefined
  private isWaiting = false
  private isOver = false

  constructor(events: SinkEvents) {
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.controller = controller
        },
        pull: () => {
          if (!this.isWaiting) return
          this.isWaiting = false
          events.onRoom()
        },
        cancel: () => {
          this.isOver = true
          events.onCancel()
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: BUFFER_BYTES }),
    )
  }

  write(chunk: Uint8Array): boolean {
    if (this.isOver) return true
    this.controller?.enqueue(chunk)
    this.isWaiting = (this.controller?.desiredSize ?? 1) <= 0
    return !this.isWaiting
  }

  end(): void {
    if (this.isOver) return
    this.isOver = true
    this.controller?.close()
  }

  fail(error: Error): void {
    if (this.isOver) return
    this.isOver = true
    this.controller?.error(error)
  }
}

class FixedSink implements Sink {
  readonly readable: ReadableStream<Uint8Array>
  private readonly writer: WritableStreamDefaultWriter<Uint8Array>
  private readonly events: SinkEvents
  private queuedBytes = 0
  private isFull = false
  private isOver = false

  constructor(length: number, events: SinkEvents) {
    const { readable, writable } = new FixedLengthStream(length)
    this.readable = readable
    this.events = events
    this.writer = writable.getWriter()
    this.writer.closed.catch(() => this.cancelled())
  }

  write(chunk: Uint8Array): boolean {
    if (this.isOver) return true
    this.queuedBytes += chunk.length
    this.writer.write(chunk).then(
      () => this.wrote(chunk.length),
      () => this.cancelled(),
    )
    this.isFull = this.queuedBytes >= BUFFER_BYTES
    return !this.isFull
  }

  end(): void {
    if (this.isOver) return
    this.isOver = true
    this.writer.close().catch(() => undefined)
  }

  fail(error: Error): void {
    if (this.isOver) return
    this.isOver = true
    this.writer.abort(error).catch(() => undefined)
  }

  private wrote(bytes: number): void {
    this.queuedBytes -= bytes
    if (!this.isFull || this.queuedBytes >= BUFFER_BYTES) return
    this.isFull = false
    this.events.onRoom()
  }

  private cancelled(): void {
    if (this.isOver) return
    this.isOver = true
    this.events.onCancel()
  }
}
