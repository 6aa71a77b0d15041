import { FrpError } from '../contract/errors.ts'
import type { Deadline } from '../contract/runtime.ts'
import type { BodyFraming } from '../protocol/http1/body.ts'
import { Exchange, type ExchangeHandler } from '../protocol/http1/exchange.ts'
import type { Fields, RequestHead, ResponseHead } from '../protocol/http1/head.ts'
import { HEAD_ROOM } from '../protocol/limits.ts'
import type { ByteStream } from '../protocol/stream/byte-stream.ts'
import type { MemoryBudget } from '../protocol/yamux/memory-budget.ts'
import type { Visit } from '../relay/access-log.ts'
import { applyRequestRules, applyResponseRules, type OwnAnswer } from '../relay/http-rules.ts'
import type { HttpTarget } from '../relay/http-target.ts'
import type { Relay } from '../relay/relay.ts'
import { type Sink, sinkFor } from './response-body.ts'
import type { HubRuntime } from './runtime.ts'
import type { Sleep } from './sleep.ts'

export interface EdgeRunOptions {
  request: Request
  head: RequestHead
  target: HttpTarget
  relay: Relay
  sleep: Sleep
  runtime: HubRuntime
  /** For what waits to be read. */
  budget: MemoryBudget
}

/** Our own handshake with the service; the one with the user is the platform's. */
const HANDSHAKE_FIELDS = ['sec-websocket-key', 'sec-websocket-extensions', 'sec-websocket-version']
/** A body of a known length up to here that comes with its head needs no stream, which costs more than the rest. */
const WHOLE_BODY_BYTES = 16 * 1024
/** What is read of an upload at once; without memory of our own the platform hands over 4 KiB a time. */
const UPLOAD_BYTES = 256 * 1024
const NO_BODY: ReadonlySet<number> = new Set([101, 204, 205, 304])

/** One request of a user on the edge, on its way to the client's web server and back. */
export class EdgeRun implements ExchangeHandler {
  /** The answer; it never rejects. */
  readonly response: Promise<Response>
  private readonly options: EdgeRunOptions
  private readonly done: () => void
  private readonly sourceIp: string
  private answer: (response: Response) => void = () => undefined
  private readonly visit: Visit | undefined
  private exchange: Exchange | undefined
  private deadline: Deadline
  private connecting: Deadline | undefined
  private sink: Sink | undefined
  /** A small body that may be all there by the end of the turn. */
  private whole: { head: ResponseHead; bytes: Uint8Array; filled: number } | undefined
  private isReused = false
  private isAnswered = false
  private isOver = false
  private isBodyStarted = false
  private drained: (() => void) | undefined

  constructor(options: EdgeRunOptions) {
    const { request, head, target } = options
    this.options = options
    this.done = options.sleep.begin()
    this.response = new Promise((resolve) => {
      this.answer = resolve
    })
    this.sourceIp = request.headers.get('CF-Connecting-IP') ?? '127.0.0.1'
    this.visit = target.visit(head, this.sourceIp, 0)
    if (head.upgrade !== undefined) this.prepareUpgrade(head)
    applyRequestRules(head, target.message, this.sourceIp, request.url.startsWith('https:') ? 'https' : 'http')
    target.workConns.stats.connections += 1
    this.deadline = this.awaitResponse()
    request.signal.addEventListener('abort', () => this.abort())
    this.connect(false)
  }

  // --- the response

  onHead(head: ResponseHead, framing: BodyFraming): void {
    this.deadline.cancel()
    if (head.status === 101) return
    applyResponseRules(head.fields, undefined, this.options.target.message)
    const hasBody = framing.type !== 'none' && !NO_BODY.has(head.status)
    const length = framing.type === 'length' ? framing.length : undefined
    if (hasBody && length !== undefined && length > 0 && length <= WHOLE_BODY_BYTES) {
      this.whole = { head, bytes: new Uint8Array(length), filled: 0 }
      queueMicrotask(() => this.startStream())
      return
    }
    if (hasBody) this.sink = this.newSink(length)
    this.respond(head.status, head.reason, head.fields, this.sink?.readable ?? null)
  }

  onBody(slice: Uint8Array): boolean {
    this.options.target.workConns.stats.traffic.backward += slice.length
    if (this.visit !== undefined) this.visit.bytesOut += slice.length
    const { whole } = this
    if (whole !== undefined) {
      whole.bytes.set(slice, whole.filled)
      whole.filled += slice.length
      return true
    }
    if (this.sink?.write(slice) === true) this.exchange?.resume()
    return false
  }

  onBodyEnd(): void {
    const stream = this.exchange?.release()
    if (stream !== undefined) this.options.target.release(stream)
    if (this.whole !== undefined) {
      const { head, bytes } = this.whole
      this.whole = undefined
      this.respond(head.status, head.reason, head.fields, bytes)
    }
    this.sink?.end()
    this.finish()
  }

  onDrain(): void {
    const { drained } = this
    this.drained = undefined
    drained?.()
  }

  onUpgraded(stream: ByteStream, head: ResponseHead, rest: Uint8Array): void {
    const { sleep, target } = this.options
    const { 0: client, 1: server } = new WebSocketPair()
    const user = sleep.acceptUser(server)
    target.workConns.stats.connections += 1
    target.workConns.joinUpgraded(user, stream, rest, () => {
      target.workConns.stats.connections -= 1
    })
    applyResponseRules(head.fields, undefined, target.message)
    // These are of our own handshake with the service.
    for (const name of ['sec-websocket-accept', 'sec-websocket-extensions']) head.fields.delete(name)
    const headers = headersOf(head.fields)
    this.isAnswered = true
    if (this.visit !== undefined) this.visit.status = 101
    this.answer(new Response(null, { status: 101, webSocket: client, headers }))
    this.finish()
  }

  onError(error: FrpError): void {
    if (this.isOver) return
    const isSafe = this.isReused && this.exchange?.hasResponseBytes === false && this.options.request.body === null
    if (isSafe && !this.isAnswered) this.connect(true)
    else this.failed(error)
  }

  private newSink(length: number | undefined): Sink {
    return sinkFor(length, this.options.budget, {
      onRoom: () => this.exchange?.resume(),
      onCancel: () => this.abort(),
    })
  }

  /** The turn is over and the rest of a small body has not come: what there is leaves now. */
  private startStream(): void {
    const { whole } = this
    if (whole === undefined || this.isOver) return
    const { head, bytes, filled } = whole
    this.whole = undefined
    this.sink = this.newSink(bytes.length)
    this.respond(head.status, head.reason, head.fields, this.sink.readable)
    if (filled > 0) this.sink.write(bytes.subarray(0, filled))
  }

  private connect(fresh: boolean): void {
    const { sourceIp } = this
    const { request, head, target } = this.options
    this.exchange = undefined
    this.connecting = target.connect({ sourceIp }, fresh, (stream, isReused, error) => {
      if (this.isOver) stream?.destroy()
      else if (stream === undefined) this.failed(error)
      else {
        this.isReused = isReused
        const exchange = new Exchange(stream, this, {
          method: head.method,
          target: head.path,
          fields: head.fields,
          isChunked: head.isChunked,
          contentLength: head.contentLength,
          upgrade: head.upgrade,
        })
        this.exchange = exchange
        const isFree = exchange.start()
        if (request.body !== null && !this.isBodyStarted) {
          this.isBodyStarted = true
          this.deadline.cancel()
          this.sendBody(exchange, request.body, isFree).catch((cause: unknown) => this.abort(cause))
        }
      }
    })
  }

  private async sendBody(exchange: Exchange, body: ReadableStream<Uint8Array>, isFree: boolean): Promise<void> {
    if (!isFree) await this.whenDrained()
    const reader = body.getReader({ mode: 'byob' })
    let memory = new ArrayBuffer(HEAD_ROOM + UPLOAD_BYTES)
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(memory, HEAD_ROOM))
      if (this.isOver) return
      if (done) break
      this.options.target.workConns.stats.traffic.forward += value.length
      if (this.visit !== undefined) this.visit.bytesIn += value.length
      const isTaken = exchange.write(value, HEAD_ROOM)
      if (!isTaken) await this.whenDrained()
      // Free again, for whoever sends it has copied it.
      memory = value.buffer
    }
    exchange.endBody()
    // frp counts from the whole request on (Go's ResponseHeaderTimeout); an upload takes as long as it takes.
    if (!this.isAnswered) this.deadline = this.awaitResponse()
  }

  private awaitResponse(): Deadline {
    const { runtime, relay } = this.options
    return runtime.after(relay.http.responseTimeoutMs, () => this.timedOut())
  }

  private whenDrained(): Promise<void> {
    return new Promise((resolve) => {
      this.drained = resolve
    })
  }

  private prepareUpgrade(head: RequestHead): void {
    for (const name of HANDSHAKE_FIELDS) head.fields.delete(name)
    const key = this.options.runtime.crypto.randomBytes(16)
    head.fields.append('Sec-WebSocket-Key', btoa(String.fromCharCode(...key)))
    head.fields.append('Sec-WebSocket-Version', '13')
  }

  private timedOut(): void {
    this.connecting?.cancel()
    this.exchange?.destroy(new FrpError('TIMEOUT', 'no response head in time'))
    this.own(this.options.relay.http.timedOut())
  }

  /** The user went away. */
  private abort(cause?: unknown): void {
    if (this.isOver) return
    this.connecting?.cancel()
    this.exchange?.destroy(new FrpError('STREAM_ABORTED', 'the user closed the request', { cause }))
    this.sink?.fail(new Error('the request was given up'))
    if (!this.isAnswered) this.respond(499, 'Client Closed Request', undefined, null)
    this.finish()
  }

  private failed(error: FrpError | undefined): void {
    const { target, relay, head } = this.options
    target.log.warn(`http request to [${head.authority}${head.path}]: ${error?.message ?? 'no answer'}`)
    if (this.isAnswered) {
      // The body breaks off: nothing may look whole that is not.
      this.sink?.fail(error ?? new Error('the service broke off'))
      this.finish()
      return
    }
    relay.http.notFound(error).then(
      (answer) => this.own(answer),
      () => this.respond(502, 'Bad Gateway', undefined, null),
    )
  }

  private own(answer: OwnAnswer): void {
    const body = answer.body === '' ? null : answer.body
    this.respond(answer.status, answer.reason, answer.fields, body)
    this.finish()
  }

  private respond(
    status: number,
    statusText: string,
    fields: Fields | undefined,
    body: ReadableStream<Uint8Array> | Uint8Array | string | null,
  ): void {
    if (this.isAnswered) return
    this.isAnswered = true
    if (this.visit !== undefined) this.visit.status = status
    const headers = fields === undefined ? [] : headersOf(fields)
    this.answer(new Response(body, { status: statusOf(status), statusText, headers, encodeBody: 'manual' }))
  }

  private finish(): void {
    if (this.isOver) return
    this.isOver = true
    this.visit?.end()
    this.deadline.cancel()
    this.options.target.workConns.stats.connections -= 1
    this.done()
  }
}

/** The platform takes 200 to 599 only. */
function statusOf(status: number): number {
  return status >= 200 && status <= 599 ? status : 502
}

/** As pairs: the platform takes them in one call, and keeps several of one name apart. */
function headersOf(fields: Fields): [string, string][] {
  const headers: [string, string][] = []
  for (const [name, value] of fields) headers.push([name, textOf(value)])
  return headers
}

/** Field bytes came in as latin-1; the platform writes UTF-8, so what was UTF-8 is read as that again. */
function textOf(value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII begins with control characters
  if (/^[\u0000-\u007f]*$/.test(value)) return value
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      Uint8Array.from(value, (char) => char.charCodeAt(0)),
    )
  } catch {
    return value // latin-1 it is
  }
}
