import { NO_DEADLINE } from '../contract/deadlines.ts'
import type { FrpError } from '../contract/errors.ts'
import type { Deadline, Log, Runtime } from '../contract/runtime.ts'
import type { NewProxy } from '../protocol/frp/messages.ts'
import type { RequestHead } from '../protocol/http1/head.ts'
import type { ByteStream, StreamHandler } from '../protocol/stream/byte-stream.ts'
import type { Visit } from './access-log.ts'
import type { Addresses } from './ingress.ts'
import type { WorkConns } from './proxy.ts'

/**
 * Idle connections to one proxy's web server. frp keeps 5; each costs one idle stream, and a browser page
 * opens six.
 */
const MAX_IDLE_UPSTREAMS = 32

export interface HttpTargetOptions {
  message: NewProxy
  workConns: WorkConns
  runtime: Runtime
  log: Log
  /** How long an idle connection is kept. */
  idleMs: number
}

/** A connection to a proxy's web server; `isReused` ones may have been closed by it a moment ago. */
export type UpstreamTaker = (stream: ByteStream | undefined, isReused: boolean, error?: FrpError) => void

/** What is behind an http route: the proxy's rules, and connections to its web server, used again. */
export class HttpTarget {
  readonly message: NewProxy
  readonly workConns: WorkConns
  readonly log: Log
  private readonly runtime: Runtime
  private readonly idleMs: number
  private idle: IdleUpstream[] = []
  private sweep: Deadline | undefined
  private isClosed = false

  constructor(options: HttpTargetOptions) {
    this.message = options.message
    this.workConns = options.workConns
    this.log = options.log
    this.runtime = options.runtime
    this.idleMs = options.idleMs
  }

  /** Gives a connection to the taker, who attaches a reader before it returns. */
  connect(user: Partial<Addresses>, fresh: boolean, taker: UpstreamTaker): Deadline {
    const idle = fresh ? undefined : this.idle.pop()
    if (idle !== undefined) {
      idle.isUsed = true
      taker(idle.stream, true)
      return NO_DEADLINE
    }
    return this.workConns.open(user, (stream, error) => taker(stream, false, error))
  }

  /** A request that begins; undefined: visits are not written down. */
  visit(head: RequestHead, ip: string, port: number): Visit | undefined {
    const userAgent = head.fields.get('User-Agent')
    return this.workConns.access?.begin(ip, port, {
      method: head.method,
      host: head.authority,
      path: head.path,
      ...(userAgent === undefined ? {} : { userAgent }),
    })
  }

  /** Takes back a connection whose last exchange ended exactly. */
  release(stream: ByteStream): void {
    if (this.isClosed || this.idle.length >= MAX_IDLE_UPSTREAMS) {
      stream.end()
      stream.attach(new Draining(stream))
      return
    }
    const idle = new IdleUpstream(stream, this.runtime.monotonicMs(), (gone) => {
      this.idle = this.idle.filter((one) => one !== gone)
    })
    this.idle.push(idle)
    stream.attach(idle)
    this.sweep ??= this.runtime.after(this.idleMs, () => this.sweepIdle())
  }

  get idleCount(): number {
    return this.idle.length
  }

  close(): void {
    this.isClosed = true
    this.sweep?.cancel()
    for (const idle of this.idle.splice(0)) idle.drop()
  }

  private sweepIdle(): void {
    this.sweep = undefined
    const limitMs = this.runtime.monotonicMs() - this.idleMs
    const old = this.idle.filter((one) => one.sinceMs <= limitMs)
    this.idle = this.idle.filter((one) => one.sinceMs > limitMs)
    for (const idle of old) idle.drop()
    const oldest = this.idle[0]
    if (oldest !== undefined) this.sweep = this.runtime.after(oldest.sinceMs - limitMs, () => this.sweepIdle())
  }
}

/** An idle connection: whatever comes on it ends it. */
class IdleUpstream implements StreamHandler {
  readonly stream: ByteStream
  readonly sinceMs: number
  isUsed = false
  private readonly onGone: (idle: IdleUpstream) => void

  constructor(stream: ByteStream, sinceMs: number, onGone: (idle: IdleUpstream) => void) {
    this.stream = stream
    this.sinceMs = sinceMs
    this.onGone = onGone
  }

  drop(): void {
    if (this.isUsed) return
    this.isUsed = true
    this.stream.end()
    this.onGone(this)
  }

  /** A server that speaks first (a second response glued on, 408) is out of step. */
  onData(): boolean {
    this.drop()
    this.stream.destroy()
    return true
  }

  onEnd(): void {
    this.stream.end()
    this.drop()
  }

  onDrain(): void {
    // Nothing was written.
  }

  onClose(): void {
    this.drop()
  }
}

/** Nobody wants what still comes. */
class Draining implements StreamHandler {
  private readonly stream: ByteStream

  constructor(stream: ByteStream) {
    this.stream = stream
  }

  onData(): boolean {
    this.stream.destroy()
    return true
  }

  onEnd(): void {
    // Both directions have ended.
  }

  onDrain(): void {
    // Nothing was written.
  }

  onClose(): void {
    // It is over.
  }
}
