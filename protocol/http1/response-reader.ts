import { FrpError } from '../../contract/errors.ts'
import { HEAD_ROOM, MAX_HTTP_INFORMATIONAL } from '../limits.ts'
import { READ_ONLY } from '../stream/byte-stream.ts'
import { type BodyFraming, BodyReader, responseFraming } from './body.ts'
import type { Fields } from './fields.ts'
import { HeadReader, type ResponseHead, readResponseHead } from './head.ts'

/** Who gets a response. Each may end the exchange from inside. */
export interface ResponseSink {
  /** A 1xx but 101; at most MAX_HTTP_INFORMATIONAL of them. */
  onInformational?(head: ResponseHead): void
  onHead(head: ResponseHead, framing: BodyFraming): void
  /** As `onData` of a stream: `false` keeps the memory until `resume()`, or for good if resumed from inside. */
  onBody(slice: Uint8Array, headRoom: number): boolean
  /** The response is complete. */
  onBodyEnd(trailers: Fields | undefined): void
}

/** What a response depends on in its request. */
export interface Asked {
  method: string
  /** The protocol that the request wants to change to. */
  upgrade?: string | undefined
}

/** Bytes of one response, cut anywhere, into the calls of a sink; memory is lent as a stream lends it. */
export class ResponseReader {
  /** Bodies pass with their framing (chunk lines, trailers) instead of as payload; may be set until onHead returns. */
  isRaw: boolean
  /** At least one byte came. */
  hasBytes = false
  /** The last byte came and the sink had everything. */
  isDone = false
  /** Bytes came behind the response. */
  hasExcess = false
  /** The response's head, once it came. */
  head: ResponseHead | undefined
  /** The sink keeps a slice or has paused, and has not resumed. */
  isBlocked = false
  /** Inside `take` or `resume`. */
  isRunning = false
  /** A slice of the last chunk was taken for good: its memory is no longer the source's. */
  isTaken = false
  /** After a 101, or a 2xx to CONNECT: a copy of the bytes behind the head. */
  upgradeRest: Uint8Array | undefined
  private readonly sink: ResponseSink
  private readonly asked: Asked
  private readonly heads = new HeadReader(readResponseHead)
  private informationals = 0
  private body: BodyReader | undefined
  private chunk: Uint8Array = new Uint8Array(0)
  private at = 0
  /** Index of the first byte of the chunk's memory that may be overwritten (negative: head room before it). */
  private floor = 0
  private isReadOnly = false
  private isOwn = false
  private isInside = false
  private resumedInside = false
  private isStopped = false

  constructor(sink: ResponseSink, asked: Asked, isRaw: boolean) {
    this.sink = sink
    this.asked = asked
    this.isRaw = isRaw
  }

  /** The next bytes. `true`: the memory is free. `false`: {@link isTaken} or {@link isBlocked} says why not. */
  take(chunk: Uint8Array, headRoom: number): boolean {
    if (chunk.length > 0) this.hasBytes = true
    this.chunk = chunk
    this.at = 0
    this.isReadOnly = headRoom === READ_ONLY
    this.floor = this.isReadOnly ? 0 : -headRoom
    this.isOwn = false
    this.isTaken = false
    this.run()
    return !this.isBlocked && !this.isTaken
  }

  /** No more calls of the sink until `resume`. */
  pause(): void {
    this.isBlocked = true
  }

  /** The sink gives back what it kept. `true`: everything that was taken in is used, more may come. */
  resume(): boolean {
    if (this.isInside) {
      this.resumedInside = true
      this.isBlocked = false
      return false
    }
    if (!this.isBlocked || this.isStopped) return false
    this.isBlocked = false
    if (this.isRunning) return false
    // The sink may take one of the next slices for good, and then only a copy is ours to give.
    if (!this.isOwn && !this.isTaken && this.at < this.chunk.length) this.copyRest()
    this.run()
    return !this.isBlocked
  }

  /** The peer has ended; throws HTTP_TRUNCATED unless the response is complete by that. */
  finish(): void {
    if (this.isDone || this.isStopped) return
    if (this.body === undefined) {
      throw new FrpError('HTTP_TRUNCATED', `the stream ended ${this.hasBytes ? 'inside' : 'before'} the response head`)
    }
    this.body.finish()
    this.complete()
  }

  /** No more calls of the sink. */
  stop(): void {
    this.isStopped = true
  }

  private run(): void {
    this.isRunning = true
    while (!this.isBlocked && !this.isStopped && !this.isDone) {
      if (this.body?.isDone) this.complete()
      else if (this.at >= this.chunk.length) break
      else if (this.body === undefined) this.readHead()
      else this.readBody(this.body)
    }
    this.isRunning = false
  }

  private readHead(): void {
    const found = this.heads.feed(this.at === 0 ? this.chunk : this.chunk.subarray(this.at))
    if (found === undefined) {
      this.at = this.chunk.length
      return
    }
    this.at += found.bytesUsed
    const { head } = found
    if (head.status === 101 || (this.asked.method === 'CONNECT' && head.status >= 200 && head.status < 300)) {
      this.upgrade(head)
    } else if (head.status < 200) {
      this.informational(head)
    } else {
      this.head = head
      const framing = responseFraming(head, this.asked.method)
      this.body = new BodyReader(framing, 'HTTP_BAD_RESPONSE')
      this.sink.onHead(head, framing)
    }
  }

  private informational(head: ResponseHead): void {
    this.informationals += 1
    if (this.informationals > MAX_HTTP_INFORMATIONAL) {
      throw new FrpError('HTTP_BAD_RESPONSE', `more than ${MAX_HTTP_INFORMATIONAL} informational responses`)
    }
    this.sink.onInformational?.(head)
  }

  private upgrade(head: ResponseHead): void {
    if (head.status === 101) {
      const asked = this.asked.upgrade?.toLowerCase()
      if (asked === undefined || head.upgrade?.toLowerCase() !== asked) {
        throw new FrpError('HTTP_BAD_RESPONSE', `101 to '${head.upgrade ?? ''}', asked was '${asked ?? 'nothing'}'`)
      }
    }
    this.head = head
    this.upgradeRest = this.chunk.slice(this.at)
    this.at = this.chunk.length
    this.isDone = true
  }

  private readBody(body: BodyReader): void {
    if (!this.isRaw) {
      this.at = body.consume(this.chunk, this.at, this.payload)
      return
    }
    const start = this.at
    const end = body.consume(this.chunk, start)
    this.at = end
    this.deliver(start === 0 && end === this.chunk.length ? this.chunk : this.chunk.subarray(start, end), start)
  }

  private readonly payload = (slice: Uint8Array, start: number): boolean => this.deliver(slice, start)

  /** `false`: not the next slice now. */
  private deliver(slice: Uint8Array, start: number): boolean {
    this.isInside = true
    this.resumedInside = false
    const isUsed = this.sink.onBody(slice, this.isReadOnly ? READ_ONLY : start - this.floor)
    this.isInside = false
    if (!isUsed) {
      this.floor = start + slice.length
      // A sink that ends everything from inside and still keeps the slice has it for good, too.
      if (!this.resumedInside && !this.isStopped) this.isBlocked = true
      else if (!this.isOwn) this.isTaken = true
    }
    return !this.isBlocked && !this.isStopped
  }

  private copyRest(): void {
    const rest = this.chunk.subarray(this.at)
    const memory = new Uint8Array(HEAD_ROOM + rest.length)
    memory.set(rest, HEAD_ROOM)
    this.chunk = memory.subarray(HEAD_ROOM)
    this.at = 0
    this.floor = -HEAD_ROOM
    this.isReadOnly = false
    this.isOwn = true
  }

  private complete(): void {
    this.isDone = true
    // Known before the sink hears of the end: it then asks whether the connection can be used again.
    if (this.at < this.chunk.length) this.hasExcess = true
    this.sink.onBodyEnd(this.body?.trailers)
  }
}
