import { asError, FrpError } from '../contract/errors.ts'
import type { Deadline } from '../contract/runtime.ts'
import { isOwnPath } from '../protocol/frp/own-path.ts'
import {
  Fields,
  type HeadLimits,
  HeadReader,
  type RequestHead,
  readRequestHead,
  serializeResponseHead,
} from '../protocol/http1/head.ts'
import { HEAD_ROOM } from '../protocol/limits.ts'
import type { Link, StreamHandler } from '../protocol/stream/byte-stream.ts'
import type { HttpIngress } from './http-ingress.ts'
import type { OwnAnswer } from './http-rules.ts'
import { HttpRun } from './http-run.ts'
import type { Addresses } from './ingress.ts'

export interface HttpUserOptions {
  ingress: HttpIngress
  addresses: Addresses
  /** The user's address that a trusted proxy in front tells of; else what is given. */
  clientIp: (fields: Fields, ip: string) => string
  scheme: 'http' | 'https'
  headLimits: HeadLimits
  /** From the first byte to the end of a head. */
  headTimeoutMs: number
  /** How long a connection may be idle between two requests. */
  idleTimeoutMs: number
  /** Answers requests for the relay's own paths. */
  api: (request: Request) => Response | Promise<Response>
}

/** How long an answer may take to be read by a user whose connection is closed after it. */
const LINGER_MS = 5_000

/** One connection of a user who speaks HTTP/1.1: its requests one after the other, each routed by its own head. */
export class HttpUser implements StreamHandler {
  readonly user: Link
  readonly options: HttpUserOptions
  private readonly reader: HeadReader<RequestHead>
  private run: HttpRun | undefined
  private deadline: Deadline | undefined
  private isOver = false
  private isEnded = false
  /** In `onData`: its answer, and no `resume`, says whether more may come. */
  private isReading = false
  /** A write of ours is on loan; what is to follow it. */
  private isLent = false
  private waiting: Uint8Array[] = []
  private afterDrain: (() => void) | undefined

  constructor(user: Link, options: HttpUserOptions) {
    this.user = user
    this.options = options
    this.reader = new HeadReader(readRequestHead, options.headLimits)
  }

  start(head?: Uint8Array): void {
    this.arm(this.options.headTimeoutMs)
    this.user.attach(this, head)
  }

  onData(chunk: Uint8Array, headRoom: number): boolean {
    this.isReading = true
    const isFree = this.read(chunk, headRoom)
    this.isReading = false
    return isFree
  }

  private read(chunk: Uint8Array, headRoom: number): boolean {
    let at = 0
    while (at < chunk.length && !this.isOver) {
      const run = this.run
      if (run === undefined) {
        const head = this.readHead(at === 0 ? chunk : chunk.subarray(at))
        if (head === undefined) return true
        at += head.bytesUsed
        this.begin(head.head)
      } else if (!run.wantsBody) {
        // Not connected yet, or a request behind the one that is being answered.
        this.putBack(chunk.subarray(at))
        return true
      } else {
        const sent = run.sendBody(chunk, at, headRoom)
        at = sent.end
        if (sent.isFree) continue
        if (at < chunk.length) this.putBack(chunk.subarray(at))
        return false
      }
    }
    return true
  }

  onEnd(): void {
    this.isEnded = true
    if (this.run === undefined) this.finish()
    else this.run.userEnded()
  }

  onDrain(): void {
    this.isLent = false
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) {
      if (this.user.write(next, HEAD_ROOM)) continue
      this.isLent = true
      return
    }
    const then = this.afterDrain
    this.afterDrain = undefined
    then?.()
  }

  onClose(error?: Error): void {
    this.isOver = true
    this.deadline?.cancel()
    this.run?.abort(error)
  }

  // --- for the request that is running ---

  /** Writes a head or another small piece of our own. */
  write(bytes: Uint8Array): void {
    this.user.cork()
    if (this.isLent) this.waiting.push(bytes)
    else this.isLent = !this.user.write(bytes, HEAD_ROOM)
  }

  /** Writes a piece of a body; `false`: it is kept, `run.drained` comes. */
  writeBody(slice: Uint8Array, headRoom: number): boolean {
    if (!this.isLent) {
      if (this.user.write(slice, headRoom)) return true
      this.isLent = true
      this.afterDrain = () => this.run?.drained()
      return false
    }
    this.afterDrain = () => {
      if (this.writeBody(slice, headRoom)) this.run?.drained()
    }
    return false
  }

  /** Calls `then` when nothing of ours is on loan any more. */
  whenWritten(then: () => void): void {
    if (this.isLent) this.afterDrain = then
    else then()
  }

  /** The running request takes more of its body, or is over. */
  readOn(): void {
    if (!this.isOver && !this.isReading) this.user.resume()
  }

  /** An answer of the relay's own, to the request that ran. */
  answer(head: RequestHead, answer: OwnAnswer, isBodyRead: boolean): void {
    if (this.isOver) return
    const body = new TextEncoder().encode(answer.body)
    const keepAlive = head.keepAlive && isBodyRead
    const fields = answer.fields
    fields.set('Content-Length', String(body.length))
    if (!keepAlive) fields.set('Connection', 'close')
    this.write(serializeResponseHead({ status: answer.status, reason: answer.reason, fields }))
    if (head.method !== 'HEAD' && body.length > 0) this.write(withRoom(body))
    this.next(keepAlive)
  }

  /** The request is answered. */
  next(keepAlive: boolean): void {
    this.run = undefined
    if (this.isOver) return
    if (!keepAlive || this.isEnded) {
      this.finish()
      return
    }
    this.arm(this.options.idleTimeoutMs)
    this.readOn()
  }

  /** The stream was handed over to somebody else. */
  leave(): void {
    this.isOver = true
    this.run = undefined
  }

  // --- heads ---

  private readHead(piece: Uint8Array): { head: RequestHead; bytesUsed: number } | undefined {
    try {
      if (!this.reader.isInside) this.arm(this.options.headTimeoutMs)
      return this.reader.feed(piece)
    } catch (error) {
      this.refuse(error)
      return undefined
    }
  }

  private begin(head: RequestHead): void {
    this.deadline?.cancel()
    if (isOwnPath(head.path)) {
      this.run = HttpRun.answering(this, head)
      this.askApi(head)
      return
    }
    const { ingress } = this.options
    const { addresses, clientIp } = this.options
    const ip = clientIp(head.fields, addresses.sourceIp)
    const decision = ingress.decide(head, ip)
    if (decision === undefined) {
      this.run = HttpRun.answering(this, head)
      ingress.notFound().then(
        (answer) => this.answer(head, answer, !hasBody(head)),
        (error: unknown) => this.user.destroy(asError(error)),
      )
    } else if ('answer' in decision) {
      this.run = HttpRun.answering(this, head)
      const visit = decision.target?.visit(head, ip, addresses.sourcePort)
      if (visit !== undefined) visit.status = decision.answer.status
      visit?.end()
      this.answer(head, decision.answer, !hasBody(head))
    } else {
      const run = new HttpRun(this, head, decision.target, decision.target.visit(head, ip, addresses.sourcePort))
      this.run = run
      run.start()
    }
  }

  private askApi(head: RequestHead): void {
    const headers = new Headers()
    for (const [name, value] of head.fields) headers.append(name, value)
    const url = `${this.options.scheme}://${head.authority}${head.path}`
    const answered = async (): Promise<void> => {
      const response = await this.options.api(new Request(url, { method: head.method, headers }))
      const fields = Fields.of(...response.headers.entries())
      const answer = { status: response.status, reason: response.statusText, fields, body: await response.text() }
      this.answer(head, answer, !hasBody(head))
    }
    answered().catch((error: unknown) => this.user.destroy(asError(error)))
  }

  private refuse(error: unknown): void {
    if (!(error instanceof FrpError)) throw error
    const { status, reason, fields, body } = this.options.ingress.badRequest(error)
    const text = new TextEncoder().encode(body)
    fields.set('Content-Length', String(text.length))
    fields.set('Connection', 'close')
    this.write(serializeResponseHead({ status, reason, fields }))
    this.write(withRoom(text))
    this.finish()
  }

  /** What was read too early is read again after `readOn`. */
  private putBack(rest: Uint8Array): void {
    this.user.pause()
    this.user.attach(this, rest.slice())
  }

  /** Our FIN after what was written; what still comes is dropped for a while, so that the answer arrives. */
  private finish(): void {
    if (this.isOver) return
    this.isOver = true
    this.user.end()
    this.user.resume()
    this.deadline?.cancel()
    this.deadline = this.options.ingress.runtime.after(LINGER_MS, () =>
      this.user.destroy(new FrpError('TIMEOUT', 'the user did not close after the last answer')),
    )
  }

  private arm(delayMs: number): void {
    this.deadline?.cancel()
    this.deadline = this.options.ingress.runtime.after(delayMs, () => {
      if (this.reader.isInside) this.user.destroy(new FrpError('TIMEOUT', `no complete head in ${delayMs / 1000} s`))
      else this.finish()
    })
  }
}

function hasBody(head: RequestHead): boolean {
  return head.isChunked || head.contentLength > 0
}

function withRoom(bytes: Uint8Array): Uint8Array {
  const memory = new Uint8Array(HEAD_ROOM + bytes.length)
  memory.set(bytes, HEAD_ROOM)
  return memory.subarray(HEAD_ROOM)
}
