import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Duplex } from 'node:stream'
import { type FrpError, messageOf } from '../../contract/errors.ts'
import type { Log, Runtime } from '../../contract/runtime.ts'
import { Exchange, type ExchangeHandler } from '../../protocol/http1/exchange.ts'
import { type Fields, type ResponseHead, removeHopByHop, serializeResponseHead } from '../../protocol/http1/head.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { join } from '../../protocol/stream/join.ts'
import { userStream } from './http-door.ts'
import { fieldsOf, upgradeOf } from './http-fields.ts'
import { answered, begin, earlyHints, fail, reset, responseOn, send } from './http-response.ts'
import { WebConnections, type WebTarget } from './web-connections.ts'

export type UserRequest = IncomingMessage | Http2ServerRequest
export type UserResponse = ServerResponse | Http2ServerResponse

/** A request as it is sent on: its fields are those of the next hop, framing apart. */
export interface Onward {
  target: WebTarget
  method: string
  path: string
  fields: Fields
  /** The protocol to change to, which `fields` ask for. */
  upgrade?: string | undefined
}

/** Go's isReplayable: what does nothing, and may be sent twice. */
const REPEATABLE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])
/** Methods that mostly have no body, and then no framing (RFC 9110 9.3). */
const WITHOUT_BODY = new Set([...REPEATABLE, 'DELETE'])

/** Sends requests on to web servers, and their answers back, both as they come. */
export class Forwarder {
  readonly connections: WebConnections
  readonly log: Log

  /** `isVerified`: the certificate of an https server is checked. */
  constructor(runtime: Runtime, log: Log, isVerified: boolean) {
    this.connections = new WebConnections(runtime, isVerified)
    this.log = log
  }

  forward(request: UserRequest, response: UserResponse, onward: Onward): void {
    new Forwarding(this, request, onward, () => response).start(response)
  }

  /** A request that asks for another protocol; Node's server has given the connection away. */
  forwardUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, onward: Onward): void {
    const forwarding = new Forwarding(this, request, onward, () => responseOn(request, socket))
    forwarding.upgrading = { socket, head }
    forwarding.start(socket)
  }

  close(): void {
    this.connections.close()
  }
}

/** One request on its way, and its answer back. */
class Forwarding implements ExchangeHandler {
  upgrading: { socket: Duplex; head: Buffer } | undefined
  private readonly forwarder: Forwarder
  private readonly request: UserRequest
  private readonly onward: Onward
  private readonly respond: () => UserResponse
  private readonly framing: { isChunked: boolean; contentLength: number }
  private readonly dialing = new AbortController()
  private response: UserResponse | undefined
  private stream: ByteStream | undefined
  private exchange: Exchange | undefined
  private isKept = false
  private isSent = false
  private isUserEnded = false
  private isOver = false

  constructor(forwarder: Forwarder, request: UserRequest, onward: Onward, respond: () => UserResponse) {
    this.forwarder = forwarder
    this.request = request
    this.onward = onward
    this.respond = respond
    this.framing = framingOf(request, onward.method)
    // Node has told the user to go on.
    onward.fields.delete('Expect')
  }

  /** `user`: closes when the user is gone. */
  start(user: Duplex | UserResponse): void {
    if (user.destroyed) return
    user.once('close', () => this.userGone())
    const { method, target } = this.onward
    // A server may close a kept connection just now: so those are for what can be sent once more.
    const isRepeatable = !this.hasBody && REPEATABLE.has(method) && this.upgrading === undefined
    const kept = isRepeatable ? this.forwarder.connections.takeIdle(target) : undefined
    this.isKept = kept !== undefined
    if (kept === undefined) this.dial()
    else this.run(kept)
  }

  private get hasBody(): boolean {
    return this.framing.isChunked || this.framing.contentLength > 0
  }

  private dial(): void {
    this.forwarder.connections.dial(this.onward.target, this.dialing).then(
      (stream) => {
        if (this.isOver) stream.destroy()
        else this.run(stream)
      },
      (error: unknown) => this.failed(error),
    )
  }

  private run(stream: ByteStream): void {
    const { method, path, fields, upgrade } = this.onward
    const exchange = new Exchange(stream, this, { method, target: path, fields, upgrade, ...this.framing })
    this.stream = stream
    this.exchange = exchange
    let isFree: boolean
    try {
      isFree = exchange.start()
    } catch (error) {
      // A head that cannot be written, because of a method or path that no line can carry.
      stream.destroy()
      this.failed(error)
      return
    }
    if (this.hasBody) this.sendBody(exchange, isFree)
    else this.sent()
  }

  private sendBody(exchange: Exchange, isFree: boolean): void {
    const { request } = this
    request.on('data', (chunk: Buffer) => {
      // A Buffer's `slice` shares memory, and the core relies on a copy.
      if (!exchange.write(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length))) request.pause()
    })
    if (!isFree) request.pause()
    request.once('end', () => {
      const trailers = fieldsOf(request.rawTrailers)
      exchange.endBody(trailers.size > 0 ? trailers : undefined)
      this.sent()
    })
    request.once('aborted', () => exchange.destroy())
    request.once('error', () => exchange.destroy())
  }

  /** A FIN of the user behind its request means to the server what it would mean without us between. */
  private sent(): void {
    this.isSent = true
    const { socket } = this.request
    if (!this.hasUserEnd) return
    if (socket.readableEnded) this.userEnded()
    else socket.once('end', this.userEnded)
  }

  /** In HTTP/2 a stream has an end of its own, and before an upgrade what follows is not known. */
  private get hasUserEnd(): boolean {
    return this.upgrading === undefined && this.request.httpVersionMajor === 1
  }

  private forgetUserEnd(): void {
    if (this.hasUserEnd) this.request.socket.off('end', this.userEnded)
  }

  private readonly userEnded = (): void => {
    if (this.isOver) return
    this.isUserEnded = true
    this.stream?.end()
  }

  private userGone(): void {
    if (this.isOver) return
    this.over()
    this.dialing.abort()
    this.exchange?.destroy()
  }

  private over(): void {
    this.isOver = true
    this.forgetUserEnd()
    // What the server did not want is read and dropped, so that the user is not stuck with it.
    this.request.resume()
  }

  // --- the answer ---

  onInformational(head: ResponseHead): void {
    if (this.upgrading === undefined) earlyHints(this.respond(), head)
  }

  onHead(head: ResponseHead): void {
    if (head.status === 101) return
    const { fields, contentLength } = head
    removeHopByHop(fields)
    // Node frames anew what came in chunks or until the end; a length is kept.
    if (contentLength < 0) fields.delete('content-length')
    if (this.request.httpVersionMajor === 1 && !this.isSent) fields.set('Connection', 'close')
    this.response = this.respond()
    begin(this.response, head.status, head.reason, fields)
  }

  onBody(slice: Uint8Array): boolean {
    // Lent until Node has passed it on: so the server waits for the user.
    const bytes = Buffer.from(slice.buffer, slice.byteOffset, slice.length)
    if (this.response !== undefined) send(this.response, bytes, () => this.exchange?.resume())
    return false
  }

  onBodyEnd(trailers: Fields | undefined): void {
    const stream = this.exchange?.release()
    if (stream !== undefined && this.isUserEnded) stream.destroy()
    else if (stream !== undefined) this.forwarder.connections.keep(this.onward.target, stream)
    if (this.response !== undefined) answered(this.response, trailers)
    this.over()
  }

  onDrain(): void {
    this.request.resume()
  }

  onUpgraded(stream: ByteStream, head: ResponseHead, rest: Uint8Array): void {
    const { upgrading } = this
    this.over()
    if (upgrading === undefined || upgrading.socket.destroyed) {
      stream.destroy()
      return
    }
    const { status, reason, fields, upgrade } = head
    removeHopByHop(fields, upgradeOf(upgrade))
    upgrading.socket.write(serializeResponseHead({ status, reason, fields }))
    // A copy: a Buffer's memory is shared with others.
    join(stream, userStream(upgrading.socket), { headOfA: rest, headOfB: new Uint8Array(upgrading.head) })
  }

  onError(error: FrpError): void {
    const isStale = this.isKept && this.exchange?.hasResponseBytes === false
    if (this.isOver) return
    if (!isStale) {
      this.failed(error)
      return
    }
    this.isKept = false
    this.forgetUserEnd()
    this.dial()
  }

  /** The server cannot be reached, or broke off. */
  private failed(error: unknown): void {
    if (this.isOver) return
    this.over()
    const { host, port } = this.onward.target
    this.forwarder.log.warn(`http request to [${host}:${port}] error: ${messageOf(error)}`)
    // What was cut must not look complete.
    if (this.response === undefined) fail(this.respond(), 502, 'Bad Gateway')
    else reset(this.response, error instanceof Error ? error : new Error(messageOf(error)))
  }
}

/** How the body is sent on; a request without a word about it has none. */
function framingOf(request: UserRequest, method: string): { isChunked: boolean; contentLength: number } {
  const length = request.headers['content-length']
  const isStreamed =
    'stream' in request && length === undefined
      ? !request.stream.endAfterHeaders
      : request.headers['transfer-encoding'] !== undefined
  const without = WITHOUT_BODY.has(method) ? -1 : 0
  return { isChunked: isStreamed, contentLength: length === undefined ? without : Number(length) }
}
