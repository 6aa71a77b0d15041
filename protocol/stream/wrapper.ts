import type { ByteStream, StreamHandler } from './byte-stream.ts'
import { Inlet } from './inlet.ts'

/** What became of a chunk: the memory is the source's again, is still needed, or is the reader's for good. */
export type Fate = 'used' | 'kept' | 'taken'

/** What `saveReading` notes, as bits. */
const HOLDING = 1
const ENDED = 2
const END_DELIVERED = 4

/**
 * A stream around another one. It passes on pause, FIN, reset and back-pressure; a subclass changes the bytes:
 * `receive` what comes from within, `write` what goes there.
 */
export abstract class StreamWrapper implements ByteStream, StreamHandler {
  protected readonly inner: ByteStream
  protected readonly inlet: Inlet
  private isAttached = false
  private isReceiving = false
  private isPaused = false
  private isInnerPaused = false
  /** The inner stream's chunk is with us. */
  private isHolding = false
  /** The inner stream closed cleanly, and the reader has not come to the end yet. */
  private isCloseDue = false
  private failure: Error | undefined

  constructor(inner: ByteStream) {
    this.inner = inner
    this.inlet = new Inlet((_bytes, isTaken) => this.released(isTaken))
  }

  /** The stream that this one is around. */
  get below(): ByteStream {
    return this.inner
  }

  /** No bytes wait here but a chunk that the reader keeps: `saveReading` says the rest. */
  get isSavable(): boolean {
    return !this.isPaused && !this.isCloseDue && this.failure === undefined && this.inlet.bytesWaiting === 0
  }

  /** What must outlive sleep of the reading side, in three bits. */
  protected saveReading(): number {
    const { ended, endDelivered } = this.inlet.save()
    return (this.isHolding ? HOLDING : 0) | (ended ? ENDED : 0) | (endDelivered ? END_DELIVERED : 0)
  }

  /** Before `attach`: the reader has the chunk again that it kept, and knows of an end that it knew of. */
  protected loadReading(bits: number): void {
    this.isHolding = (bits & HOLDING) !== 0
    this.inlet.load({
      waiting: [],
      headCount: 0,
      spareBytes: 0,
      // The size is of no interest here; 0 would mean a head.
      keptBytes: this.isHolding ? 1 : 0,
      isKeeping: this.isHolding,
      paused: false,
      ended: (bits & ENDED) !== 0,
      endDelivered: (bits & END_DELIVERED) !== 0,
    })
  }

  /** Handles a chunk from within; called one at a time, and after 'kept' not before `readOn`. */
  protected abstract receive(chunk: Uint8Array, headRoom: number): Fate

  /** The reader is done with a chunk that `deliver` found kept. */
  protected released(_isTaken: boolean): void {
    this.readOn()
  }

  write(chunk: Uint8Array, headRoom = 0): boolean {
    return this.inner.write(chunk, headRoom)
  }

  end(): void {
    this.inner.end()
  }

  destroy(reason?: Error): void {
    this.inner.destroy(reason)
  }

  pause(): void {
    this.isPaused = true
    this.inlet.pause()
    if (this.isAttached) this.pauseInner()
  }

  resume(): void {
    this.isPaused = false
    this.inlet.resume()
    this.unpauseInner()
    this.settle()
  }

  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.inlet.attach(handler, head)
    if (!this.isAttached) {
      this.isAttached = true
      if (this.isPaused) this.pauseInner()
      this.inner.attach(this)
    }
    this.settle()
  }

  onData(chunk: Uint8Array, headRoom: number): boolean {
    this.isReceiving = true
    const fate = this.receive(chunk, headRoom)
    this.isReceiving = false
    if (fate === 'kept') {
      this.isHolding = true
      return false
    }
    if (fate === 'taken') {
      // From inside onData this means: the memory is gone, go on in another.
      this.inner.resume()
      if (this.isPaused) this.inner.pause()
      return false
    }
    this.unpauseInner()
    return true
  }

  onEnd(): void {
    this.inlet.end()
    this.settle()
  }

  onDrain(): void {
    this.inlet.drained()
  }

  onClose(error?: Error): void {
    const reason = this.failure ?? error
    if (reason === undefined && !this.inlet.endDelivered) {
      this.isCloseDue = true
      this.settle()
    } else this.inlet.close(reason)
  }

  /** Gives a chunk to the reader. When it cannot have it now it waits as a copy, so that it may keep it for good. */
  protected deliver(chunk: Uint8Array, headRoom: number): Fate {
    const isOpen = this.inlet.isOpen
    if (this.inlet.push(isOpen ? chunk : chunk.slice(), isOpen ? headRoom : 0)) return 'used'
    return this.inlet.isLent ? 'kept' : 'taken'
  }

  /** The inner stream may have its chunk back and go on; while the reader pauses that waits. */
  protected readOn(): void {
    if (this.isReceiving || !this.isHolding) return
    if (this.isPaused) {
      this.isInnerPaused = true
      return
    }
    this.isHolding = false
    this.isInnerPaused = false
    this.inner.resume()
  }

  /** Malformed input: resets the stream; the reader's onClose gets `error`. */
  protected fail(error: Error): void {
    this.failure ??= error
    this.inner.destroy(error)
  }

  private pauseInner(): void {
    this.isInnerPaused = true
    this.inner.pause()
  }

  private unpauseInner(): void {
    // Inside onData a resume would mean that its memory is gone; and a chunk that is held goes back first.
    if (!this.isInnerPaused || this.isPaused || this.isReceiving) return
    if (this.isHolding && !this.mayReadOn()) return
    this.isHolding = false
    this.isInnerPaused = false
    this.inner.resume()
  }

  /** Whether the chunk that is held is not needed any more. */
  protected mayReadOn(): boolean {
    return this.inlet.isOpen
  }

  private settle(): void {
    if (!this.isCloseDue || !this.inlet.endDelivered) return
    this.isCloseDue = false
    this.inlet.close()
  }
}
