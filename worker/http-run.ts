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
import type { Late, Sleep } from './sleep.ts'

/** A request and who sent it. */
export interface HttpUser {
  request: Request
  head: RequestHead
  ip: string
  isHttps: boolean
}

export interface EdgeRunOptions {
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
const NO_BYTES = new Uint8Array(0)
const NO_BODY: ReadonlySet<number> = new Set([101, 204, 205, 304])

/** One request of a user on the edge, on its way to the client's web server and back. */
export class EdgeRun implements ExchangeHandler, Late {
  /** The answer; it never rejects. */
  readonly response: Promise<Response>
  private readonly options: EdgeRunOptions
  private readonly user: HttpUser
  private readonly target: HttpTarget
  /** Of the request; undefined: it has none. */
  private readonly body: ReadableStream<Uint8Array> | null
  private readonly done: () => void
  private answer: (response: Response) => void = () => undefined
  private readonly visit: Visit | undefined
  private exchange: Exchange | undefined
  private deadline: Deadline
  private connecting: Deadline | undefined
  private sink: Sink | undefined
  /** A small body that may be all there by the end of the turn. */
  private whole: { head: ResponseHead; length: number; bytes: Uint8Array; filled: number } | undefined
  private isReused = false
  private isAnswered = false
  private isOver = false
  private isBodyStarted = false
  private drained: (() => void) | undefined

  constructor(user: HttpUser, target: HttpTarget, options: EdgeRunOptions) {
    const { request, head, ip, isHttps } = user
    this.options = options
    this.user = user
    this.target = target
    this.body = request.body
    this.done = options.sleep.begin()
    this.response = new Promise((resolve) => {
      this.answer = resolve
    })
    this.visit = target.visit(head, ip, 0)
    if (head.upgrade !== undefined) this.prepareUpgrade(head)
    applyRequestRules(head, target.message, ip, isHttps ? 'https' : 'http')
    target.workConns.stats.connections += 1
    this.deadline = this.awaitResponse()
    request.signal.addEventListener('abort', () => this.abort())
    this.connect(false)
  }

  // --- the response

  onHead(head: ResponseHead, framing: BodyFraming): void {
    this.deadline.cancel()
    if (head.status === 101) return
    applyResponseRules(head.fields, undefined, this.target.message)
    const hasBody = framing.type !== 'none' && !NO_BODY.has(head.status)
    const length = framing.type === 'length' ? framing.length : undefined
    if (hasBody && length !== undefined && length > 0 && length <= WHOLE_BODY_BYTES) {
      this.whole = { head, length, bytes: NO_BYTES, filled: 0 }
      this.options.sleep.atTurnEnd(this)
      return
    }
    if (hasBody) this.sink = this.newSink(length)
    this.respond(head.status, head.reason, head.fields, this.sink?.readable ?? null)
  }

  onBody(slice: Uint8Array): boolean {
    this.target.workConns.stats.traffic.backward += slice.length
    if (this.visit !== undefined) this.visit.bytesOut += slice.length
    const { whole } = this
    if (whole !== undefined && slice.length < whole.length) {
      if (whole.filled === 0) whole.bytes = new Uint8Array(whole.length)
      whole.bytes.set(slice, whole.filled)
      whole.filled += slice.length
      return true
    }
    if (whole !== undefined) {
      // All of it in one piece, whose memory is ours from now on.
      whole.bytes = slice
      whole.filled = slice.length
      this.exchange?.resume()
    } else if (this.sink?.write(slice) === true) this.exchange?.resume()
    return false
  }

  onBodyEnd(): void {
    const stream = this.exchange?.release()
    if (stream !== undefined) this.target.release(stream)
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
    const { target } = this
    const { sleep } = this.options
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
    const isSafe = this.isReused && this.exchange?.hasResponseBytes === false && this.body === null
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
  flush(): void {
    const { whole } = this
    if (whole === undefined || this.isOver) return
    const { head, length, bytes, filled } = whole
    this.whole = undefined
    this.sink = this.newSink(length)
    this.respond(head.status, head.reason, head.fields, this.sink.readable)
    if (filled > 0) this.sink.write(bytes.subarray(0, filled))
  }

  private connect(fresh: boolean): void {
    const { head, ip } = this.user
    this.exchange = undefined
    this.connecting = this.target.connect({ sourceIp: ip }, fresh, (stream, isReused, error) => {
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
        if (this.body !== null && !this.isBodyStarted) {
          this.isBodyStarted = true
          this.deadline.cancel()
          this.sendBody(exchange, this.body, isFree).catch((cause: unknown) => this.abort(cause))
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
      this.target.workConns.stats.traffic.forward += value.length
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
    const { relay } = this.options
    const { head } = this.user
    this.target.log.warn(`http request to [${head.authority}${head.path}]: ${error?.message ?? 'no answer'}`)
    // A small body that was cut short in the turn of its head: what came of it is the answer.
    this.flush()
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
    const headers = fields === undefined ? {} : headersOf(fields)
    this.answer(new Response(body, { status: statusOf(status), statusText, headers, encodeBody: 'manual' }))
  }

  private finish(): void {
    if (this.isOver) return
    this.isOver = true
    this.visit?.end()
    this.deadline.cancel()
    this.target.workConns.stats.connections -= 1
    this.done()
  }
}

/** The platform takes 200 to 599 only. */
function statusOf(status: number): number {
  return status >= 200 && status <= 599 ? status : 502
}

/** As an object, which the platform takes in half the time that pairs cost; pairs where a name comes twice. */
function headersOf(fields: Fields): Record<string, string> | [string, string][] {
  const { names, values } = fields
  const headers: Record<string, string> = {}
  for (const [i, name] of names.entries()) {
    if (name in headers) return pairsOf(fields)
    headers[name] = textOf(values[i] ?? '')
  }
  return headers
}

function pairsOf(fields: Fields): [string, string][] {
  return [...fields].map(([name, value]) => [name, textOf(value)])
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
