import { FrpError, messageOf } from '../../contract/errors.ts'
import { HEAD_ROOM } from '../limits.ts'
import type { ByteStream, StreamHandler } from '../stream/byte-stream.ts'
import { type BodyFraming, ChunkEncoder, requestFraming } from './body.ts'
import { type Fields, normalizeFraming, type ResponseHead, serializeRequestHead } from './head.ts'
import { ResponseReader, type ResponseSink } from './response-reader.ts'
import type { RequestParts } from './serialize.ts'

/** A request to send: a `RequestHead` with the target of the next hop and its hop-by-hop fields removed. */
export interface OutgoingRequest extends RequestParts {
  isChunked: boolean
  /** Content-Length in bytes, or -1 without one. */
  contentLength: number
  /** The protocol to change to, if `fields` ask for it. */
  upgrade?: string | undefined
}

export interface ExchangeHandler extends ResponseSink {
  /** The last `start` or `write` that answered `false` is done. */
  onDrain(): void
  /**
   * After a 101 (or a 2xx to CONNECT) the stream belongs to the handler, which attaches its reader with `rest`
   * (bytes that came behind the head, a copy) before it returns.
   */
  onUpgraded(stream: ByteStream, head: ResponseHead, rest: Uint8Array): void
  /** The exchange failed and the stream is destroyed; comes at most once, and never after `onBodyEnd`. */
  onError(error: FrpError): void
  /** After `onBodyEnd`: the server takes no more of the request, for its stream ended, broke, or said too much. */
  onServerEnd?(): void
}

export interface ExchangeOptions {
  /** `write` gets the body with its framing (chunk lines, trailers), which a BodyReader has checked. */
  isRequestRaw?: boolean
  /** `onBody` gets the body with its framing; `exchange.isResponseRaw` may still change in `onHead`. */
  isResponseRaw?: boolean
}

/**
 * One request and its response, as a client on a stream that carries one exchange after the other.
 * A failure half way never looks like an end: it is `onError`, mostly with HTTP_TRUNCATED.
 */
export class Exchange {
  private readonly stream: ByteStream
  private readonly handler: ExchangeHandler
  private readonly request: OutgoingRequest
  private readonly framing: BodyFraming
  private readonly encoder: ChunkEncoder | undefined
  private readonly reader: ResponseReader
  private bytesSent = 0
  private isStarted = false
  /** What the stream has on loan: a chunk (or the head) of the handler's, or the last chunk, made here. */
  private lent: 'nothing' | 'chunk' | 'last' = 'nothing'
  /** The end of the body waits for the chunk on loan. */
  private lastWaits: Uint8Array | undefined
  private isRequestEnded: boolean
  /** Failed, upgraded or released: nothing is passed on any more. */
  private isOver = false
  /** The stream cannot carry more. */
  private isStreamOver = false

  constructor(
    stream: ByteStream,
    handler: ExchangeHandler,
    request: OutgoingRequest,
    { isRequestRaw = false, isResponseRaw = false }: ExchangeOptions = {},
  ) {
    this.stream = stream
    this.handler = handler
    this.request = request
    this.framing = requestFraming(request)
    this.isRequestEnded = this.framing.type === 'none'
    if (this.framing.type === 'chunked' && !isRequestRaw) this.encoder = new ChunkEncoder()
    this.reader = new ResponseReader(handler, request, isResponseRaw)
  }

  /** Whether the server is there to read more of the request. */
  get takesBody(): boolean {
    return !this.isOver && !this.isStreamOver
  }

  get isResponseRaw(): boolean {
    return this.reader.isRaw
  }

  set isResponseRaw(isRaw: boolean) {
    this.reader.isRaw = isRaw
  }

  /** Whether a byte of the response came: without one a safe request may be sent again elsewhere. */
  get hasResponseBytes(): boolean {
    return this.reader.hasBytes
  }

  /**
   * Attaches to the stream and sends the head, whose framing field is computed here. As `write` of a stream:
   * after `false` wait for `onDrain`. `head`: what the stream's last reader left, which must be nothing.
   */
  start(head?: Uint8Array): boolean {
    // Attached first: what the server of this connection said unasked is no answer to this request.
    this.stream.attach(this.events, head)
    if (this.isOver) return true
    normalizeFraming(this.request.fields, this.request)
    const bytes = serializeRequestHead(this.request)
    this.isStarted = true
    return this.send(bytes, HEAD_ROOM)
  }

  /** Sends a piece of the body, as `write` of a stream. */
  write(chunk: Uint8Array, headRoom = 0): boolean {
    if (this.isOver || this.isStreamOver || chunk.length === 0) return true
    if (this.isRequestEnded) {
      this.fail(new FrpError('HTTP_BAD_REQUEST', `${chunk.length} bytes after the end of the request`))
      return true
    }
    if (this.framing.type === 'length') {
      this.bytesSent += chunk.length
      if (this.bytesSent > this.framing.length) {
        const message = `request body of ${this.bytesSent} bytes, Content-Length is ${this.framing.length}`
        this.fail(new FrpError('HTTP_BAD_REQUEST', message))
        return true
      }
    }
    if (this.encoder === undefined) return this.send(chunk, headRoom)
    const framed = this.encoder.frame(chunk, headRoom)
    return this.send(framed, this.encoder.headRoom)
  }

  /** The body is complete; legal while a chunk is on loan. Trailers go with a chunked body that is not raw. */
  endBody(trailers?: Fields): void {
    if (this.isRequestEnded || this.isOver) return
    if (this.framing.type === 'length' && this.bytesSent < this.framing.length) {
      const message = `request body ended after ${this.bytesSent} of ${this.framing.length} bytes`
      this.fail(new FrpError('HTTP_TRUNCATED', message))
      return
    }
    this.isRequestEnded = true
    if (this.encoder === undefined) return
    const last = this.encoder.last(trailers)
    if (this.lent === 'chunk') this.lastWaits = last
    else this.sendLast(last)
  }

  /** No more calls but `onDrain` until `resume`; what `onHead` does when its own reader is slow. */
  pause(): void {
    this.reader.pause()
    if (!this.reader.isRunning && !this.isOver) this.stream.pause()
  }

  /** Goes on after `pause`, or after an `onBody` that answered `false`. */
  resume(): void {
    if (this.isOver) return
    let isFree = false
    this.guard(() => {
      isFree = this.reader.resume()
    })
    if (isFree && !this.isOver && !this.isStreamOver) this.stream.resume()
  }

  /** Gives the exchange up: the stream is reset; the handler hears nothing more. */
  destroy(reason?: Error): void {
    if (this.isOver) return
    this.isOver = true
    this.reader.stop()
    this.stream.destroy(reason)
  }

  /**
   * Whether the stream can carry another exchange: the response was complete to the byte and allows it, the
   * request was sent whole, nothing came behind.
   */
  get canReuse(): boolean {
    const { head, isDone, hasExcess } = this.reader
    return (
      isDone &&
      !hasExcess &&
      head?.keepAlive === true &&
      !this.isOver &&
      !this.isStreamOver &&
      this.isRequestEnded &&
      this.lent === 'nothing' &&
      this.lastWaits === undefined
    )
  }

  /**
   * After `onBodyEnd`: the stream if it can be used again, else it is closed. Until its next reader attaches,
   * bytes that come on it destroy it.
   */
  release(): ByteStream | undefined {
    if (this.canReuse) return this.stream
    if (this.isOver) return undefined
    const isClean = this.reader.isDone && !this.reader.hasExcess && this.isRequestEnded && this.lastWaits === undefined
    if (!isClean) this.destroy(new FrpError('STREAM_ABORTED', 'the exchange was left before its end'))
    else this.stream.end()
    return undefined
  }

  private send(bytes: Uint8Array, headRoom: number): boolean {
    const isFree = this.stream.write(bytes, headRoom)
    if (!isFree) this.lent = 'chunk'
    return isFree
  }

  private sendLast(last: Uint8Array): void {
    if (!this.stream.write(last, HEAD_ROOM)) this.lent = 'last'
  }

  private fail(error: FrpError): void {
    if (this.isOver) return
    this.isOver = true
    this.reader.stop()
    this.stream.destroy(error)
    if (this.reader.isDone) this.handler.onServerEnd?.()
    else this.handler.onError(error)
  }

  /** The one place where what a parser throws becomes the end of the exchange. */
  private guard(run: () => void): void {
    try {
      run()
    } catch (error) {
      // Anything else is a fault in our own code: it may not look like the server's.
      if (!(error instanceof FrpError)) throw error
      this.fail(error)
    }
  }

  private readonly events: StreamHandler = {
    onData: (chunk, headRoom) => this.received(chunk, headRoom),
    onEnd: () => {
      const isAfterResponse = this.reader.isDone
      this.isStreamOver = true
      if (this.isOver) return
      this.guard(() => this.reader.finish())
      if (isAfterResponse) this.handler.onServerEnd?.()
    },
    onDrain: () => this.drained(),
    onClose: (error) => {
      this.isStreamOver = true
      if (this.isOver) return
      if (this.reader.isDone) {
        this.handler.onServerEnd?.()
        return
      }
      const cause = error === undefined ? 'it ended' : messageOf(error)
      this.fail(new FrpError('HTTP_TRUNCATED', `the stream closed before the response did: ${cause}`, { cause: error }))
    },
  }

  private received(chunk: Uint8Array, headRoom: number): boolean {
    if (this.isOver) return true
    if (!this.isStarted) {
      this.fail(new FrpError('HTTP_BAD_RESPONSE', `${chunk.length} bytes of a response before its request`))
      return true
    }
    if (this.reader.isDone) {
      this.isStreamOver = true
      this.fail(new FrpError('HTTP_BAD_RESPONSE', `${chunk.length} bytes behind a response`))
      return true
    }
    let isFree = true
    this.guard(() => {
      isFree = this.reader.take(chunk, headRoom)
    })
    if (this.isOver) return !this.reader.isTaken
    if (this.reader.upgradeRest !== undefined) {
      if (!this.isRequestEnded) this.fail(new FrpError('HTTP_BAD_RESPONSE', 'upgraded before the request was sent'))
      // The next owner of the stream must not get the onDrain of our head.
      else if (this.lent !== 'nothing') this.stream.pause()
      else this.upgraded(this.reader.upgradeRest)
      return true
    }
    if (!isFree && this.reader.isTaken) {
      // Resumed from inside: this memory stays with us, the source reads on into other memory.
      this.stream.resume()
      if (this.reader.isBlocked) this.stream.pause()
    }
    return isFree
  }

  private upgraded(rest: Uint8Array): void {
    this.isOver = true
    this.handler.onUpgraded(this.stream, this.reader.head as ResponseHead, rest)
  }

  private drained(): void {
    const was = this.lent
    this.lent = 'nothing'
    const last = this.lastWaits
    this.lastWaits = undefined
    if (last !== undefined) this.sendLast(last)
    if (was === 'chunk' && !this.isOver) this.handler.onDrain()
    const rest = this.reader.upgradeRest
    if (rest === undefined || this.isOver || this.lent !== 'nothing') return
    this.upgraded(rest)
    this.stream.resume()
  }
}
