import { Gathered } from '../../contract/bytes.ts'
import { FrpError, messageOf } from '../../contract/errors.ts'
import { HEAD_ROOM } from '../limits.ts'
import type { ByteStream, StreamHandler } from '../stream/byte-stream.ts'
import type { MessageCodec } from './codec.ts'
import type { Message, Outgoing } from './messages.ts'
import { ParkedStream } from './parked-stream.ts'
import { v1 } from './v1.ts'

/** What a peer that does not read may make us hold of messages to it; some hundred NewProxyResp. */
export const MAX_QUEUED_BYTES = 256 * 1024

export interface MessageHandler {
  onMessage(message: Message): void
  /** The peer's FIN, between two messages. Without this, the channel answers with its own FIN. */
  onEnd?(): void
  /** Once, last. */
  onClose?(error?: Error): void
}

export interface MessageChannelOptions {
  /** Bytes that were read before and come first: a copy, or what `snapshot` gave. */
  head?: Uint8Array
  /** v1 unless said otherwise. */
  codec?: MessageCodec
}

/**
 * Messages over a byte stream. Only a message that chunks cut is copied. Malformed input destroys the stream
 * with an FrpError, which `onClose` gets.
 */
export class MessageChannel implements StreamHandler {
  private readonly stream: ByteStream
  private readonly handler: MessageHandler
  private readonly codec: MessageCodec
  /** The first bytes of a message that is not complete. */
  private readonly partial = new Gathered()
  /** The chunk being read, and where; between calls only what a paused channel holds. */
  private chunk: Uint8Array | undefined
  private at = 0
  private isReading = false
  private isPaused = false
  private isStreamPaused = false
  private isDetached = false
  private isEnded = false
  private isClosed = false
  private isEnding = false
  private isStreamEnded = false
  private failure: Error | undefined
  /** What is to be sent; the first one is on loan to the stream. */
  private queue: Uint8Array[] = []
  private queuedBytes = 0

  constructor(stream: ByteStream, handler: MessageHandler, options: MessageChannelOptions = {}) {
    this.stream = stream
    this.handler = handler
    this.codec = options.codec ?? v1
    stream.attach(this, options.head)
  }

  /** Bytes of messages that wait for the stream: 0 unless the peer is slow to read. */
  get backlogBytes(): number {
    return this.queuedBytes
  }

  /** Sends a message, or queues it while the stream is backed up; a peer that lets the queue grow is cut off. */
  send(message: Outgoing): void {
    if (this.isSilent) return
    this.sendFrame(this.codec.encode(message))
  }

  /** Sends what is no message (a hello) in its order among them; `HEAD_ROOM` bytes of its buffer lie before it. */
  sendFrame(frame: Uint8Array): void {
    if (this.isSilent) return
    if (this.queue.length === 0 && this.stream.write(frame, HEAD_ROOM)) return
    this.queue.push(frame)
    this.queuedBytes += frame.length
    if (this.queuedBytes > MAX_QUEUED_BYTES) {
      const bound = `${this.queuedBytes} bytes of messages wait, more than ${MAX_QUEUED_BYTES}`
      this.destroy(new FrpError('LIMIT', `the peer does not read: ${bound}`))
    }
  }

  /** Nothing has ended it, in either direction, and it was not detached. */
  get isOpen(): boolean {
    return !this.isClosed && !this.isDetached && !this.isEnding && !this.isEnded
  }

  private get isSilent(): boolean {
    return this.isClosed || this.isDetached || this.isEnding
  }

  /** Messages wait because the peer does not read: what may be dropped should be. */
  get isBackedUp(): boolean {
    return this.queue.length > 0
  }

  /**
   * Hands the stream over, from inside `onMessage` or later. `head` is a copy of what came after the last
   * message and belongs into the next `attach`; until then nobody reads. The channel is silent from now on.
   */
  detach(): { stream: ByteStream; head: Uint8Array } {
    const head = this.snapshot()
    this.isDetached = true
    this.chunk = undefined
    const leftover = { backlog: this.queue, isEnded: this.isEnded }
    return { stream: new ParkedStream(this.stream, leftover), head }
  }

  /** No `onMessage` and no `onEnd` until `resume`. */
  pause(): void {
    if (this.isDetached) return
    this.isPaused = true
    this.isStreamPaused = true
    this.stream.pause()
  }

  resume(): void {
    if (this.isDetached || !this.isPaused) return
    this.isPaused = false
    if (!this.isReading && (this.chunk === undefined || this.read())) this.resumeStream()
  }

  /** A copy of what was received and not yet told: give it as `head` to a new channel to go on there. */
  snapshot(): Uint8Array {
    const rest = this.chunk === undefined ? new Uint8Array(0) : this.chunk.subarray(this.at)
    const { partial } = this
    const bytes = new Uint8Array(partial.length + rest.length)
    bytes.set(partial.bytes)
    bytes.set(rest, partial.length)
    return bytes
  }

  /** FIN after what was sent; reading goes on. */
  end(): void {
    if (this.isDetached || this.isEnding) return
    this.isEnding = true
    this.endStream()
  }

  destroy(reason?: Error): void {
    if (this.isDetached || this.isClosed) return
    this.failure ??= reason
    this.queue = []
    this.queuedBytes = 0
    this.chunk = undefined
    this.stream.destroy(reason)
  }

  onData(chunk: Uint8Array): boolean {
    this.chunk = chunk
    this.at = 0
    const used = this.read()
    if (used) this.resumeStream()
    return used
  }

  onEnd(): void {
    this.isEnded = true
    if (this.partial.length > 0) {
      this.destroy(
        new FrpError('MESSAGE_TRUNCATED', `the stream ended after ${this.partial.length} bytes of a message`),
      )
    } else if (this.handler.onEnd) this.handler.onEnd()
    else this.end()
  }

  onDrain(): void {
    this.sent()
    for (let next = this.queue[0]; next !== undefined; next = this.queue[0]) {
      const isFree = this.stream.write(next, HEAD_ROOM)
      if (!isFree) break
      this.sent()
    }
    this.endStream()
  }

  onClose(error?: Error): void {
    this.isClosed = true
    this.chunk = undefined
    this.handler.onClose?.(this.failure ?? error)
  }

  private resumeStream(): void {
    if (!this.isStreamPaused || this.isPaused || this.isDetached) return
    this.isStreamPaused = false
    this.stream.resume()
  }

  /** FIN may be asked for while the last message is on loan. */
  private endStream(): void {
    if (!this.isEnding || this.isStreamEnded || this.queue.length > 1) return
    this.isStreamEnded = true
    this.stream.end()
  }

  private sent(): void {
    this.queuedBytes -= this.queue.shift()?.length ?? 0
  }

  /** Reads what is in the chunk. `false`: paused, and the chunk is still needed. */
  private read(): boolean {
    this.isReading = true
    while (this.chunk !== undefined && !this.isPaused) {
      const message = this.next()
      if (message === WAIT) break
      if (message !== undefined) this.handler.onMessage(message)
    }
    this.isReading = false
    if (this.chunk !== undefined && this.at < this.chunk.length) return false
    this.chunk = undefined
    return true
  }

  /** The next message, undefined for a frame without one, WAIT when the rest was kept for later. */
  private next(): Message | undefined | typeof WAIT {
    try {
      const frame = this.nextFrame()
      return frame === undefined ? WAIT : this.codec.decode(frame)
    } catch (error) {
      this.destroy(error instanceof Error ? error : new FrpError('MESSAGE_JSON', messageOf(error)))
      return WAIT
    }
  }

  private nextFrame(): Uint8Array | undefined {
    if (this.partial.length > 0) return this.completed()
    const rest = this.rest()
    const length = this.codec.frameLength(rest)
    if (length !== undefined && length <= rest.length) {
      this.at += length
      return rest.subarray(0, length)
    }
    this.keep(rest.length)
    return undefined
  }

  /** Adds to the partial message no more than it needs. */
  private completed(): Uint8Array | undefined {
    for (;;) {
      const known = this.partial.bytes
      const length = this.codec.frameLength(known)
      if (length === known.length) {
        this.partial.drop()
        return known
      }
      const missing = (length ?? this.codec.headBytes) - known.length
      const there = this.rest().length
      if (there === 0) return undefined
      this.keep(Math.min(missing, there))
    }
  }

  private rest(): Uint8Array {
    return this.chunk === undefined ? new Uint8Array(0) : this.chunk.subarray(this.at)
  }

  /** Copies the next `count` bytes. */
  private keep(count: number): void {
    this.partial.append(this.rest().subarray(0, count))
    this.at += count
  }
}

const WAIT = Symbol('the message is not complete')
