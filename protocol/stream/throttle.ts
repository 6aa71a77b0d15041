import { RateLimit } from '../../contract/rate-limit.ts'
import type { Deadline, Runtime } from '../../contract/runtime.ts'
import type { ByteStream } from './byte-stream.ts'
import { type Fate, StreamWrapper } from './wrapper.ts'

interface Waiter {
  bytes: number
  granted: () => void
}

/**
 * How many bytes may pass: so many a second, and as many at once (frp's pkg/util/limit on x/time/rate: rate
 * and burst are the same number). All streams of a proxy and both directions share one; first come, first
 * served. A deadline is open only while somebody waits.
 */
export class TokenBucket {
  /** The most that can be taken at once. */
  readonly burst: number
  private readonly runtime: Runtime
  private readonly bytes: RateLimit
  private waiters: Waiter[] = []
  private deadline: Deadline | undefined

  constructor(bytesPerSecond: number, runtime: Runtime) {
    this.burst = Math.max(1, Math.floor(bytesPerSecond))
    this.runtime = runtime
    this.bytes = new RateLimit({ perSecond: this.burst, burst: this.burst }, runtime.monotonicMs())
  }

  /** Takes `bytes`, at most `burst`, if nobody waits and there are so many. */
  take(bytes: number): boolean {
    return this.waiters.length === 0 && this.bytes.take(this.runtime.monotonicMs(), bytes)
  }

  /** Calls `granted` once `bytes`, at most `burst`, were taken. */
  wait(bytes: number, granted: () => void): Deadline {
    const waiter: Waiter = { bytes, granted }
    this.waiters.push(waiter)
    this.arm()
    return { cancel: () => this.forget(waiter) }
  }

  private arm(): void {
    const first = this.waiters[0]
    if (this.deadline !== undefined || first === undefined) return
    // A millisecond at least: a timer that fires early must not come back at once.
    const delayMs = Math.max(1, Math.ceil(this.bytes.waitMs(this.runtime.monotonicMs(), first.bytes)))
    this.deadline = this.runtime.after(delayMs, () => {
      this.deadline = undefined
      this.serve()
      this.arm()
    })
  }

  private serve(): void {
    const now = this.runtime.monotonicMs()
    for (
      let first = this.waiters[0];
      first !== undefined && this.bytes.take(now, first.bytes);
      first = this.waiters[0]
    ) {
      this.waiters.shift()
      first.granted()
    }
  }

  private forget(waiter: Waiter): void {
    const at = this.waiters.indexOf(waiter)
    if (at < 0) return
    this.waiters.splice(at, 1)
    if (at > 0) return
    this.deadline?.cancel()
    this.deadline = undefined
    this.arm()
  }
}

/** `stream`, both directions of which take from `bucket` before a byte passes. */
export function throttle(stream: ByteStream, bucket: TokenBucket): ByteStream {
  return new ThrottledStream(stream, bucket)
}

/** A chunk of which the first `done` bytes have passed. */
interface Pending {
  chunk: Uint8Array
  headRoom: number
  done: number
  /** The bytes that were granted and are on their way; 0 while the bucket is asked. */
  passing: number
}

/** In a snapshot, beside the bits of the reading side. */
const ENDING = 8

export class ThrottledStream extends StreamWrapper {
  private readonly bucket: TokenBucket
  private incoming: Pending | undefined
  private outgoing: Pending | undefined
  private readWait: Deadline | undefined
  private writeWait: Deadline | undefined
  private isEnding = false

  constructor(inner: ByteStream, bucket: TokenBucket) {
    super(inner)
    this.bucket = bucket
  }

  override get isSavable(): boolean {
    return super.isSavable && this.incoming === undefined && this.outgoing === undefined
  }

  /** The state, in one byte. Take it when `isSavable`. */
  snapshot(): Uint8Array {
    return Uint8Array.of(this.saveReading() | (this.isEnding ? ENDING : 0))
  }

  /** Goes on from a snapshot, over the stream that carries on; before `attach`. */
  static restore(inner: ByteStream, bucket: TokenBucket, bytes: Uint8Array): ThrottledStream {
    const stream = new ThrottledStream(inner, bucket)
    const [bits = 0] = bytes
    stream.isEnding = (bits & ENDING) !== 0
    stream.loadReading(bits)
    return stream
  }

  override write(chunk: Uint8Array, headRoom = 0): boolean {
    if (this.isEnding || this.inlet.isClosed || chunk.length === 0) return true
    this.outgoing = { chunk, headRoom, done: 0, passing: 0 }
    return this.sendOn()
  }

  override end(): void {
    if (this.isEnding) return
    this.isEnding = true
    if (this.outgoing === undefined) this.inner.end()
  }

  override onDrain(): void {
    if (this.outgoing === undefined) return
    this.passed(this.outgoing)
    if (this.sendOn()) this.inlet.drained()
  }

  override onClose(error?: Error): void {
    this.readWait?.cancel()
    this.writeWait?.cancel()
    this.incoming = undefined
    this.outgoing = undefined
    super.onClose(error)
  }

  protected override receive(chunk: Uint8Array, headRoom: number): Fate {
    if (chunk.length <= this.bucket.burst && this.bucket.take(chunk.length)) return this.deliver(chunk, headRoom)
    // A copy: the reader may keep for good what it gets later, when the lender cannot be told any more.
    this.incoming = { chunk: chunk.slice(), headRoom: 0, done: 0, passing: 0 }
    return this.passOn() ? 'used' : 'kept'
  }

  protected override released(): void {
    if (this.passOn()) this.readOn()
  }

  protected override mayReadOn(): boolean {
    return this.incoming === undefined && this.inlet.isOpen
  }

  /** Delivers as much of the incoming chunk as may pass; `true` when the reader has had all of it. */
  private passOn(): boolean {
    for (let incoming = this.incoming; incoming !== undefined; incoming = this.incoming) {
      const bytes = this.nextBytes(incoming)
      if (!this.bucket.take(bytes)) {
        this.readWait = this.bucket.wait(bytes, () => this.readGranted())
        return false
      }
      if (!this.pass(incoming, bytes)) return false
    }
    return true
  }

  private readGranted(): void {
    const { incoming } = this
    this.readWait = undefined
    if (incoming === undefined || !this.pass(incoming, this.nextBytes(incoming))) return
    if (this.passOn()) this.readOn()
  }

  /** `false`: the reader keeps the piece, or it waits. */
  private pass(incoming: Pending, bytes: number): boolean {
    const piece = incoming.chunk.subarray(incoming.done, incoming.done + bytes)
    incoming.done += bytes
    if (incoming.done === incoming.chunk.length) this.incoming = undefined
    return this.deliver(piece, 0) !== 'kept'
  }

  /** Sends as much of the outgoing chunk as may pass; `true` when all of it is sent and free. */
  private sendOn(): boolean {
    for (let out = this.outgoing; out !== undefined; out = this.outgoing) {
      const bytes = this.nextBytes(out)
      if (!this.bucket.take(bytes)) {
        this.writeWait = this.bucket.wait(bytes, () => this.writeGranted())
        return false
      }
      if (!this.send(out, bytes)) return false
      this.passed(out)
    }
    return true
  }

  private writeGranted(): void {
    const out = this.outgoing
    this.writeWait = undefined
    if (out === undefined || !this.send(out, this.nextBytes(out))) return
    this.passed(out)
    if (this.sendOn()) this.inlet.drained()
  }

  private send(out: Pending, bytes: number): boolean {
    out.passing = bytes
    const piece = out.chunk.subarray(out.done, out.done + bytes)
    // What lies before a later piece was sent and is free.
    return this.inner.write(piece, out.headRoom < 0 ? out.headRoom : out.headRoom + out.done)
  }

  private passed(out: Pending): void {
    out.done += out.passing
    out.passing = 0
    if (out.done < out.chunk.length) return
    this.outgoing = undefined
    if (this.isEnding) this.inner.end()
  }

  private nextBytes(pending: Pending): number {
    return Math.min(pending.chunk.length - pending.done, this.bucket.burst)
  }
}
