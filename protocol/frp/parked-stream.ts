import { HEAD_ROOM } from '../limits.ts'
import type { ByteStream, StreamHandler } from '../stream/byte-stream.ts'
import { Inlet } from '../stream/inlet.ts'

/** What the reader before left behind. */
export interface Leftover {
  /** Frames that are not sent yet; the first one is on loan to the stream. */
  backlog: Uint8Array[]
  /** The peer's FIN was seen. */
  isEnded: boolean
}

/**
 * A stream that changes hands: nobody reads it from now until `attach`, and neither what is still to be sent,
 * nor a FIN, nor a close in between is lost. Then the new reader is attached to the stream itself, unless
 * something is left to do here.
 */
export class ParkedStream implements ByteStream, StreamHandler {
  private readonly inner: ByteStream
  private readonly backlog: Uint8Array[]
  private readonly inlet = new Inlet(() => this.inner.resume())
  /** The new reader reads through the inlet: something came or was left before it was there. */
  private isMediated: boolean
  private isPaused = false
  private isAttached = false
  private isEnding = false
  private kept: { chunk: Uint8Array; headRoom: number; isLent: boolean } | undefined

  constructor(inner: ByteStream, leftover: Leftover) {
    this.inner = inner
    this.backlog = leftover.backlog
    this.isMediated = leftover.isEnded || leftover.backlog.length > 0
    if (leftover.isEnded) this.inlet.end()
    inner.pause()
    inner.attach(this)
  }

  write(chunk: Uint8Array, headRoom = 0): boolean {
    if (this.backlog.length === 0) return this.inner.write(chunk, headRoom)
    if (this.isEnding || this.inlet.isClosed) return true
    this.kept = { chunk, headRoom, isLent: false }
    return false
  }

  end(): void {
    if (this.backlog.length === 0) this.inner.end()
    else this.isEnding = true
  }

  destroy(reason?: Error): void {
    this.inner.destroy(reason)
  }

  pause(): void {
    this.isPaused = true
    this.inlet.pause()
    if (this.isAttached) this.inner.pause()
  }

  resume(): void {
    this.isPaused = false
    this.inlet.resume()
    if (this.isAttached) this.inner.resume()
  }

  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.isAttached = true
    if (this.isMediated) this.inlet.attach(handler, head)
    else this.inner.attach(handler, head)
    if (!this.isPaused) this.inner.resume()
  }

  onData(chunk: Uint8Array): boolean {
    return this.inlet.push(chunk.slice(), 0) || !this.inlet.isLent
  }

  onEnd(): void {
    this.isMediated = true
    this.inlet.end()
  }

  onDrain(): void {
    if (this.kept?.isLent) this.givenBack()
    else if (this.backlog.length > 0) this.sendOn()
    // What the new owner wrote itself, after the backlog was gone.
    else this.inlet.drained()
  }

  /** The first of the backlog is sent: sends the others, then what the new owner gave. */
  private sendOn(): void {
    this.backlog.shift()
    for (let next = this.backlog[0]; next !== undefined; next = this.backlog[0]) {
      if (!this.inner.write(next, HEAD_ROOM)) return
      this.backlog.shift()
    }
    const { kept } = this
    if (kept === undefined) {
      if (this.isEnding) this.inner.end()
      return
    }
    kept.isLent = true
    const isFree = this.inner.write(kept.chunk, kept.headRoom)
    if (this.isEnding) this.inner.end()
    if (isFree) this.givenBack()
  }

  onClose(error?: Error): void {
    this.isMediated = true
    this.inlet.close(error)
  }

  private givenBack(): void {
    this.kept = undefined
    this.inlet.drained()
  }
}
