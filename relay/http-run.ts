import { FrpError } from '../contract/errors.ts'
import type { Deadline } from '../contract/runtime.ts'
import { type BodyFraming, BodyReader, requestFraming } from '../protocol/http1/body.ts'
import { Exchange, type ExchangeHandler } from '../protocol/http1/exchange.ts'
import { normalizeFraming, type RequestHead, type ResponseHead, serializeResponseHead } from '../protocol/http1/head.ts'
import type { ByteStream } from '../protocol/stream/byte-stream.ts'
import type { Visit } from './access-log.ts'
import { applyRequestRules, applyResponseRules } from './http-rules.ts'
import type { HttpTarget } from './http-target.ts'
import type { HttpUser } from './http-user.ts'

/**
 * One request of a user, on its way to the client's web server and back. Bodies pass with their framing, as
 * they came; heads are written anew from what was understood.
 */
export class HttpRun implements ExchangeHandler {
  private readonly user: HttpUser
  private readonly head: RequestHead
  private readonly target: HttpTarget | undefined
  private readonly visit: Visit | undefined
  private readonly body: BodyReader
  private exchange: Exchange | undefined
  private connecting: Deadline | undefined
  private deadline: Deadline | undefined
  private isReused = false
  private isLent = false
  private hasAnswer = false
  /** The answer is complete, and the server still reads what the user sends. */
  private isAnswered = false
  /** The user sent something of the body since the last look. */
  private hasMoved = false
  private isHeadSent = false
  private isOver = false
  private closesAfter = false
  private isCounted = false

  constructor(user: HttpUser, head: RequestHead, target: HttpTarget | undefined, visit?: Visit) {
    this.user = user
    this.head = head
    this.target = target
    this.visit = visit
    this.body = new BodyReader(requestFraming(head), 'HTTP_BAD_REQUEST')
  }

  /** A request that the relay answers by itself. */
  static answering(user: HttpUser, head: RequestHead): HttpRun {
    return new HttpRun(user, head, undefined)
  }

  start(): void {
    const { addresses, scheme } = this.user.options
    if (this.target === undefined) return
    applyRequestRules(this.head, this.target.message, addresses.sourceIp, scheme)
    this.target.workConns.stats.connections += 1
    this.isCounted = true
    this.connect(this.target, false)
  }

  /** Whether bytes of the body may be given to `sendBody` now. */
  get wantsBody(): boolean {
    return this.exchange !== undefined && !this.isLent && !this.body.isDone
  }

  /** Sends what of `chunk` from `at` on belongs to the body; `isFree` as the answer of a stream's write. */
  sendBody(chunk: Uint8Array, at: number, headRoom: number): { end: number; isFree: boolean } {
    let end: number
    try {
      end = this.body.consume(chunk, at)
    } catch (error) {
      if (!(error instanceof FrpError)) throw error
      this.broken(error)
      return { end: chunk.length, isFree: true }
    }
    this.countIn(end - at)
    this.hasMoved = true
    const isFree = this.exchange?.write(chunk.subarray(at, end), headRoom + at) ?? true
    this.isLent = !isFree
    if (this.body.isDone) {
      this.exchange?.endBody()
      // A piece on loan comes back first.
      if (!this.isAnswered) this.awaitHead()
      else if (isFree) this.settle()
    }
    return { end, isFree }
  }

  /** The user will send no more. */
  userEnded(): void {
    if (this.isAnswered) this.settle()
    else if (!this.body.isDone) this.broken(new FrpError('HTTP_TRUNCATED', 'the user ended inside a request'))
  }

  /** The user is gone. */
  abort(error?: Error): void {
    this.connecting?.cancel()
    const reason = error ?? new FrpError('STREAM_ABORTED', 'the user closed the connection')
    this.exchange?.destroy(reason)
    this.done(reason)
  }

  /** The user took the piece of the body that was on loan. */
  drained(): void {
    this.exchange?.resume()
  }

  // --- the response ---

  onInformational(head: ResponseHead): void {
    if (this.head.minorVersion === 0) return
    applyResponseRules(head.fields, undefined, this.message)
    this.user.write(serializeResponseHead(head))
  }

  onHead(head: ResponseHead, framing: BodyFraming): void {
    this.hasAnswer = true
    this.answered(head.status)
    this.deadline?.cancel()
    if (head.status === 101 || (this.head.method === 'CONNECT' && head.status < 300)) return
    const { fields } = head
    applyResponseRules(fields, undefined, this.message)
    let isChunked = head.isChunked
    if (isChunked && this.head.minorVersion === 0 && this.exchange !== undefined) {
      // HTTP/1.0 has no chunks: the payload alone, ended by the connection.
      this.exchange.isResponseRaw = false
      isChunked = false
      this.closesAfter = true
    }
    normalizeFraming(fields, { isChunked, contentLength: head.contentLength })
    this.closesAfter ||= framing.type === 'close' || !this.head.keepAlive || !(head.keepAlive || this.body.isDone)
    if (this.closesAfter) fields.append('Connection', 'close')
    else if (this.head.minorVersion === 0) fields.append('Connection', 'keep-alive')
    this.isHeadSent = true
    this.user.write(serializeResponseHead(head))
  }

  onBody(slice: Uint8Array, headRoom: number): boolean {
    this.countOut(slice.length)
    return this.user.writeBody(slice, headRoom)
  }

  onBodyEnd(): void {
    // A server that has said all may still want to hear the rest; one that closes does not.
    this.isAnswered = !this.body.isDone && !this.closesAfter && this.exchange?.takesBody === true
    if (this.isAnswered) this.watchBody()
    else this.settle()
  }

  onServerEnd(): void {
    if (this.isAnswered) this.settle()
  }

  /** The exchange is over: the request was sent whole, or nobody is there to take the rest of it. */
  private settle(): void {
    const { exchange, target } = this
    if (this.isOver) return
    const stream = exchange?.release()
    if (stream !== undefined) target?.release(stream)
    this.done()
    this.user.next(!this.closesAfter && this.body.isDone)
  }

  onDrain(): void {
    this.isLent = false
    if (this.isAnswered && this.body.isDone) this.settle()
    this.user.readOn()
  }

  onUpgraded(stream: ByteStream, head: ResponseHead, rest: Uint8Array): void {
    const { user, target } = this
    applyResponseRules(head.fields, head.upgrade, this.message)
    user.write(serializeResponseHead(head))
    this.deadline?.cancel()
    if (target === undefined) return
    stream.pause()
    user.whenWritten(() => {
      user.leave()
      target.workConns.joinUpgraded(user.user, stream, rest, () => this.done(), this.visit)
      user.user.resume()
      stream.resume()
    })
  }

  onError(error: FrpError): void {
    const { target, exchange, head } = this
    if (this.isOver) return
    // A connection that was used before may have been closed by the server just now: no byte of an answer, and
    // nothing that the server could have done twice, so a fresh one is tried (RFC 9112 9.3.1).
    const isSafe = this.isReused && exchange?.hasResponseBytes === false && !head.isChunked && head.contentLength <= 0
    if (isSafe && target !== undefined && !this.isHeadSent) this.connect(target, true)
    else this.failed(error)
  }

  private get message() {
    const message = this.target?.message
    if (message === undefined) throw new Error('a response without a target')
    return message
  }

  private connect(target: HttpTarget, fresh: boolean): void {
    const { head, user } = this
    const { sourceIp, sourcePort } = user.options.addresses
    this.exchange = undefined
    this.connecting = target.connect({ sourceIp, sourcePort }, fresh, (stream, isReused, error) => {
      if (stream === undefined) {
        this.failed(error)
        return
      }
      this.isReused = isReused
      const exchange = new Exchange(
        stream,
        this,
        {
          method: head.method,
          target: head.method === 'CONNECT' ? head.target : head.path,
          fields: head.fields,
          isChunked: head.isChunked,
          contentLength: head.contentLength,
          upgrade: head.upgrade,
        },
        { isRequestRaw: true, isResponseRaw: true },
      )
      this.exchange = exchange
      this.countIn(head.byteLength)
      this.isLent = !exchange.start()
      if (this.body.isDone) this.awaitHead()
      else {
        this.watchBody()
        user.readOn()
      }
    })
  }

  /** As Go's ResponseHeaderTimeout, which frp sets: from the whole request on, so that an upload may take its time. */
  private awaitHead(): void {
    const { runtime, responseTimeoutMs } = this.user.options.ingress
    this.deadline?.cancel()
    if (!this.hasAnswer && !this.isOver) this.deadline = runtime.after(responseTimeoutMs, () => this.timedOut())
  }

  /** An upload may be slow, but a user who sends nothing while the service would read holds its connection for nothing. */
  private watchBody(): void {
    const { runtime, responseTimeoutMs } = this.user.options.ingress
    this.deadline?.cancel()
    this.hasMoved = false
    this.deadline = runtime.after(responseTimeoutMs, () => {
      if (this.isOver) return
      if (this.hasMoved || this.isLent) this.watchBody()
      else if (this.isAnswered) this.settle()
      else this.broken(new FrpError('TIMEOUT', `nothing of the request's body came in ${responseTimeoutMs / 1000} s`))
    })
  }

  private timedOut(): void {
    this.connecting?.cancel()
    this.exchange?.destroy(new FrpError('TIMEOUT', 'no response head in time'))
    this.answered(504)
    if (this.done()) this.user.answer(this.head, this.user.options.ingress.timedOut(), this.body.isDone)
  }

  /** The service cannot be reached, or broke off. */
  private failed(error: FrpError | undefined): void {
    this.target?.log.warn(`http request to [${this.head.authority}${this.head.path}]: ${error?.message ?? 'no answer'}`)
    if (this.isHeadSent) {
      this.broken(error)
      return
    }
    this.answered(error?.code === 'LIMIT' ? 503 : 404)
    if (!this.done(error)) return
    const { user, head } = this
    user.options.ingress.notFound(error).then(
      (answer) => user.answer(head, answer, this.body.isDone),
      () => user.user.destroy(error),
    )
  }

  /** Nothing but a reset tells the truth to either side now. */
  private broken(error: FrpError | undefined): void {
    this.connecting?.cancel()
    this.exchange?.destroy(error)
    this.done(error)
    this.user.user.destroy(error)
  }

  /** For the access log. */
  private answered(status: number): void {
    if (this.visit !== undefined) this.visit.status = status
  }

  private done(error?: Error): boolean {
    if (this.isOver) return false
    this.isOver = true
    this.visit?.end(error?.message)
    this.deadline?.cancel()
    if (this.isCounted && this.target !== undefined) this.target.workConns.stats.connections -= 1
    return true
  }

  private countIn(bytes: number): void {
    if (this.target !== undefined) this.target.workConns.stats.traffic.forward += bytes
    if (this.visit !== undefined) this.visit.bytesIn += bytes
  }

  private countOut(bytes: number): void {
    if (this.target !== undefined) this.target.workConns.stats.traffic.backward += bytes
    if (this.visit !== undefined) this.visit.bytesOut += bytes
  }
}
