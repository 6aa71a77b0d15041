import { FrpError } from '../../contract/errors.ts'
import { ChunkLine } from './chunk-line.ts'
import type { BadMessage } from './field-lines.ts'
import type { Fields } from './fields.ts'
import type { RequestHead, ResponseHead } from './head.ts'
import { CR, LF, showByte } from './text.ts'
import { TrailerReader } from './trailers.ts'

export { ChunkEncoder } from './chunk-encoder.ts'

/** Where the body of a message ends (RFC 9112 6.3). */
export type BodyFraming =
  | { type: 'none' }
  | { type: 'length'; length: number }
  | { type: 'chunked' }
  /** A response that ends with the connection. */
  | { type: 'close' }

const NONE: BodyFraming = { type: 'none' }
const CHUNKED: BodyFraming = { type: 'chunked' }
const CLOSE: BodyFraming = { type: 'close' }

/** The framing of a request's body. */
export function requestFraming(head: Pick<RequestHead, 'isChunked' | 'contentLength'>): BodyFraming {
  if (head.isChunked) return CHUNKED
  return head.contentLength > 0 ? { type: 'length', length: head.contentLength } : NONE
}

/** The framing of a response's body; it depends on the method of the request. */
export function responseFraming(
  head: Pick<ResponseHead, 'status' | 'isChunked' | 'contentLength'>,
  requestMethod: string,
): BodyFraming {
  const { status } = head
  if (requestMethod === 'HEAD' || status < 200 || status === 204 || status === 304) return NONE
  // A tunnel: what follows is no body.
  if (requestMethod === 'CONNECT' && status < 300) return NONE
  if (head.isChunked) return CHUNKED
  if (head.contentLength < 0) return CLOSE
  return head.contentLength > 0 ? { type: 'length', length: head.contentLength } : NONE
}

/**
 * Gets payload, a slice of the chunk that was consumed; `start` is its index there. `false`: it is kept,
 * and `consume` stops behind it.
 */
export type PayloadSink = (slice: Uint8Array, start: number) => boolean

type State = 'payload' | 'untilClose' | 'line' | 'data' | 'dataCr' | 'dataLf' | 'trailers' | 'done'

/** Finds the end of one body in chunks cut anywhere, and refuses framing that could be read in two ways. */
export class BodyReader {
  /** The trailers of a chunked body, once it is done. */
  trailers: Fields | undefined
  private state: State
  /** Bytes that are due before the next change of state. */
  private remaining = 0
  private readonly bad: BadMessage
  private readonly line: ChunkLine
  private trailerReader: TrailerReader | undefined

  constructor(framing: BodyFraming, bad: BadMessage) {
    this.bad = bad
    this.line = new ChunkLine(bad)
    this.state = initialState(framing)
    if (framing.type === 'length') this.remaining = framing.length
  }

  /** The last byte of the body was seen. */
  get isDone(): boolean {
    return this.state === 'done'
  }

  /**
   * Goes through `chunk` from `offset`; answers the index after the last byte that belongs to the body:
   * the chunk's length until the body is done. Without a sink it only looks: the caller passes the bytes on
   * as they are, framing included. With one, payload goes to the sink, and a kept slice stops it.
   */
  consume(chunk: Uint8Array, offset: number, sink?: PayloadSink): number {
    let at = offset
    while (at < chunk.length) {
      switch (this.state) {
        case 'payload':
        case 'data':
        case 'untilClose': {
          const start = at
          at = this.state === 'untilClose' ? chunk.length : Math.min(chunk.length, start + this.remaining)
          this.advance(at - start)
          if (sink !== undefined && !sink(chunk.subarray(start, at), start)) return at
          break
        }
        case 'done':
          return at
        default:
          this.takeByte(chunk[at++] as number)
      }
    }
    return at
  }

  /** The stream has ended; throws HTTP_TRUNCATED unless the body ends with it or before. */
  finish(): void {
    if (this.state === 'untilClose') this.state = 'done'
    if (this.state === 'done') return
    const missing = this.remaining > 0 ? `, ${this.remaining} bytes are missing` : ''
    throw new FrpError('HTTP_TRUNCATED', `the stream ended inside a body${missing}`)
  }

  private advance(bytes: number): void {
    if (this.state === 'untilClose') return
    this.remaining -= bytes
    if (this.remaining > 0) return
    this.state = this.state === 'payload' ? 'done' : 'dataCr'
  }

  private takeByte(byte: number): void {
    switch (this.state) {
      case 'line':
        if (this.line.take(byte)) this.startChunk(this.line.size)
        break
      case 'dataCr':
        if (byte !== CR) throw this.badEnd(byte)
        this.state = 'dataLf'
        break
      case 'dataLf':
        if (byte !== LF) throw this.badEnd(byte)
        this.state = 'line'
        break
      case 'trailers':
        this.trailers = this.trailerReader?.take(byte)
        if (this.trailers !== undefined) this.state = 'done'
        break
    }
  }

  private startChunk(size: number): void {
    this.line.reset()
    this.remaining = size
    if (size > 0) {
      this.state = 'data'
      return
    }
    this.trailerReader = new TrailerReader(this.bad)
    this.state = 'trailers'
  }

  private badEnd(byte: number): FrpError {
    return new FrpError(this.bad, `${showByte(byte)} after a chunk's bytes, expected CR LF`)
  }
}

function initialState(framing: BodyFraming): State {
  switch (framing.type) {
    case 'none':
      return 'done'
    case 'length':
      return framing.length > 0 ? 'payload' : 'done'
    case 'chunked':
      return 'line'
    case 'close':
      return 'untilClose'
  }
}
