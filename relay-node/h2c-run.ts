import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { FrpError } from '../contract/errors.ts'
import type { BodyFraming } from '../protocol/http1/body.ts'
import { Exchange, type ExchangeHandler, type OutgoingRequest } from '../protocol/http1/exchange.ts'
import { Fields, type ResponseHead } from '../protocol/http1/head.ts'
import type { ByteStream } from '../protocol/stream/byte-stream.ts'

/** RFC 9113 8.2.2: of one connection of HTTP/1.1, and an error in HTTP/2. */
const OF_HTTP1: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])

/** One request of HTTP/2, asked again in HTTP/1.1, and its answer. */
export class H2cRun implements ExchangeHandler {
  private readonly stream: ServerHttp2Stream
  private readonly request: OutgoingRequest
  private readonly hasBody: boolean
  private exchange: Exchange | undefined
  private requestTrailers: Fields | undefined
  private trailers: Fields | undefined
  private isDone = false

  /** Throws FrpError for what HTTP/1.1 cannot say. */
  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, hasBody: boolean) {
    this.stream = stream
    this.hasBody = hasBody
    this.request = requestOf(headers, hasBody)
  }

  start(connection: ByteStream): void {
    const { stream } = this
    const exchange = new Exchange(connection, this, this.request)
    this.exchange = exchange
    stream.on('close', () => {
      if (!this.isDone) exchange.destroy(new FrpError('STREAM_RESET', 'the user closed the HTTP/2 stream'))
    })
    if (exchange.start()) this.readBody()
  }

  onDrain(): void {
    if (this.stream.listenerCount('data') === 0) this.readBody()
    else this.stream.resume()
  }

  onInformational(head: ResponseHead): void {
    // What cannot be passed is lost: a hint is no answer.
    if (this.isOpen) isAllowed(() => this.stream.additionalHeaders(headersOf(head)))
  }

  onHead(head: ResponseHead, framing: BodyFraming): void {
    const { stream } = this
    if (!this.isOpen) return
    const endStream = framing.type === 'none'
    const options = { endStream, waitForTrailers: framing.type === 'chunked' }
    if (!isAllowed(() => stream.respond(headersOf(head), options))) {
      this.onError()
      return
    }
    // None are an empty DATA frame that ends the stream.
    stream.on('wantTrailers', () => {
      const trailers = fieldsOf(this.trailers ?? new Fields())
      if (!isAllowed(() => stream.sendTrailers(trailers))) this.onError()
    })
  }

  onBody(slice: Uint8Array): boolean {
    // Node keeps the memory until then.
    this.stream.write(slice, () => this.exchange?.resume())
    return false
  }

  onBodyEnd(trailers: Fields | undefined): void {
    this.isDone = true
    this.trailers = trailers?.size === 0 ? undefined : trailers
    this.exchange?.release()?.end()
    this.stream.end()
  }

  onUpgraded(connection: ByteStream): void {
    // Not asked for.
    connection.destroy(new FrpError('HTTP_BAD_RESPONSE', 'an upgrade that was not asked for'))
    this.onError()
  }

  onError(): void {
    this.isDone = true
    this.exchange?.destroy()
    this.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  }

  private get isOpen(): boolean {
    return !this.stream.destroyed && !this.stream.closed
  }

  private readBody(): void {
    const { stream, exchange } = this
    if (!this.hasBody || exchange === undefined) {
      stream.resume()
      return
    }
    stream.on('trailers', (headers) => {
      this.requestTrailers = trailersOf(headers)
    })
    stream.on('data', (chunk: Buffer) => {
      if (!exchange.write(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length))) stream.pause()
    })
    stream.on('end', () => {
      // A reset ends the reading as well.
      if (stream.rstCode === constants.NGHTTP2_NO_ERROR && !stream.aborted) exchange.endBody(this.requestTrailers)
    })
  }
}

/** False: Node refuses fields that HTTP/2 does not allow, such as two of a kind that may come once. */
function isAllowed(send: () => void): boolean {
  try {
    send()
    return true
  } catch {
    return false // the service's fields are at fault, and only this answer can be
  }
}

function requestOf(headers: IncomingHttpHeaders, hasBody: boolean): OutgoingRequest {
  const method = headers[':method']
  const target = headers[':path']
  if (method === undefined || target === undefined || method === 'CONNECT') {
    throw new FrpError('HTTP_BAD_REQUEST', `${method} in HTTP/2`)
  }
  const fields = Fields.of(['Host', headers[':authority'] ?? headers.host ?? ''])
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(':') || name === 'host' || value === undefined) continue
    for (const one of Array.isArray(value) ? value : [value]) fields.append(name, one)
  }
  const length = headers['content-length']
  if (length !== undefined && !/^\d{1,15}$/.test(length)) {
    throw new FrpError('HTTP_BAD_REQUEST', `Content-Length ${length} in HTTP/2`)
  }
  const contentLength = length === undefined ? -1 : Number(length)
  return { method, target, fields, isChunked: hasBody && contentLength < 0, contentLength }
}

function trailersOf(headers: IncomingHttpHeaders): Fields {
  const fields = new Fields()
  for (const [name, value] of Object.entries(headers)) {
    for (const one of Array.isArray(value) ? value : [value ?? '']) fields.append(name, one)
  }
  return fields
}

function headersOf(head: ResponseHead): OutgoingHttpHeaders {
  return { ':status': head.status, ...fieldsOf(head.fields) }
}

function fieldsOf(fields: Fields): OutgoingHttpHeaders {
  const headers: Record<string, string | string[]> = Object.create(null)
  for (const [spelled, value] of fields) {
    const name = spelled.toLowerCase()
    if (OF_HTTP1.has(name)) continue
    const before = headers[name]
    headers[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]
  }
  return headers
}
