import { NO_DEADLINE } from '../contract/deadlines.ts'
import { FrpError } from '../contract/errors.ts'
import type { Deadline, Runtime } from '../contract/runtime.ts'
import type { WireProtocol } from '../protocol/frp/codec.ts'
import type { ByteStream, StreamHandler } from '../protocol/stream/byte-stream.ts'
import { EXTRA_WORK_CONNS, MAX_WAITING_USERS, POOL_COOL_DOWN_MS } from './limits.ts'

export interface WorkConnPoolOptions {
  runtime: Runtime
  /** The client's pool_count, already capped. */
  poolCount: number
  /** frps userConnTimeout. */
  waitMs: number
  /** Sends ReqWorkConn to the client. */
  request: () => void
}

/** A connection that a client brought, and how its messages are framed (the client's session may differ). */
export interface WorkConn {
  stream: ByteStream
  wire: WireProtocol
}

/** Gets the work connection, or why there is none. */
export type WorkConnTaker = (conn: WorkConn | undefined, error?: FrpError) => void

interface Waiter {
  taker: WorkConnTaker
  deadline: Deadline
}

/**
 * The idle work connections of one client. frps never opens a stream: it asks with ReqWorkConn, and the
 * client brings one. While users come the pool is kept filled up to frp's capacity, so that a user rarely
 * waits for the round trip.
 */
export class WorkConnPool {
  private readonly options: WorkConnPoolOptions
  private readonly capacity: number
  private idle: ParkedWorkConn[] = []
  private waiters: Waiter[] = []
  private asked = 0
  private target: number
  private lastEmptyMs = 0
  private isClosed = false

  constructor(options: WorkConnPoolOptions) {
    this.options = options
    this.target = options.poolCount
    this.capacity = options.poolCount + EXTRA_WORK_CONNS
  }

  /** Asks for the first connections, as frps does right after the login. */
  start(): void {
    this.fill()
  }

  get idleCount(): number {
    return this.idle.length
  }

  /** The idle connections, oldest first. */
  get idleConns(): readonly WorkConn[] {
    return this.idle.map(({ conn }) => conn)
  }

  get waitingCount(): number {
    return this.waiters.length
  }

  /** Whether `put` would find a use for one more. */
  get hasRoom(): boolean {
    return !this.isClosed && (this.waiters.length > 0 || this.idle.length < this.capacity)
  }

  /** Takes in a connection that the client brought; ask `hasRoom` before. */
  put(conn: WorkConn): void {
    if (this.asked > 0) this.asked -= 1
    const waiter = this.waiters.shift()
    if (waiter !== undefined) {
      waiter.deadline.cancel()
      waiter.taker(conn)
      return
    }
    const parked = new ParkedWorkConn(conn, (gone) => {
      this.idle = this.idle.filter((one) => one !== gone)
    })
    this.idle.push(parked)
    parked.watch()
  }

  /** Calls `taker` with a connection: at once if one is idle, else when the client brought one or not in time. */
  take(taker: WorkConnTaker): Deadline {
    if (this.isClosed) {
      taker(undefined, new FrpError('NO_WORK_CONN', 'the client is gone'))
      return NO_DEADLINE
    }
    const parked = this.idle.shift()
    if (parked !== undefined) {
      parked.unpark()
      this.fill()
      taker(parked.conn)
      return NO_DEADLINE
    }
    if (this.waiters.length >= MAX_WAITING_USERS) {
      taker(undefined, new FrpError('NO_WORK_CONN', `${MAX_WAITING_USERS} users wait for this client already`))
      return NO_DEADLINE
    }
    this.lastEmptyMs = this.options.runtime.monotonicMs()
    this.target = Math.min(this.capacity, Math.max(this.target + 1, this.waiters.length + 1))
    const waiter: Waiter = { taker, deadline: NO_DEADLINE }
    waiter.deadline = this.options.runtime.after(this.options.waitMs, () => this.giveUp(waiter))
    this.waiters.push(waiter)
    this.fill()
    return { cancel: () => this.forget(waiter) }
  }

  /** Ends what is idle and tells who waits. Connections that were taken live on. */
  close(): void {
    if (this.isClosed) return
    this.isClosed = true
    const { idle, waiters } = this
    this.idle = []
    this.waiters = []
    for (const parked of idle) {
      parked.unpark()
      parked.conn.stream.destroy(new FrpError('STREAM_ABORTED', 'the control connection is gone'))
    }
    for (const waiter of waiters) {
      waiter.deadline.cancel()
      waiter.taker(undefined, new FrpError('NO_WORK_CONN', 'the client is gone'))
    }
  }

  private fill(): void {
    const now = this.options.runtime.monotonicMs()
    if (this.target > this.options.poolCount && now - this.lastEmptyMs > POOL_COOL_DOWN_MS) {
      this.target = this.options.poolCount
    }
    // Whoever waits needs one each; what was asked for and never came must not starve them for ever.
    const wanted = Math.max(this.target, this.waiters.length) - this.idle.length
    while (this.asked < wanted) {
      this.asked += 1
      this.options.request()
    }
  }

  private giveUp(waiter: Waiter): void {
    this.forget(waiter)
    // The client did not bring what it was asked for; ask again for the next user.
    this.asked = 0
    waiter.taker(undefined, new FrpError('NO_WORK_CONN', 'timeout trying to get work connection'))
  }

  private forget(waiter: Waiter): void {
    waiter.deadline.cancel()
    this.waiters = this.waiters.filter((one) => one !== waiter)
  }
}

/** An idle work connection: nobody reads it, but its end is noticed. */
class ParkedWorkConn implements StreamHandler {
  readonly conn: WorkConn
  private readonly onGone: (parked: ParkedWorkConn) => void
  private isParked = true

  constructor(conn: WorkConn, onGone: (parked: ParkedWorkConn) => void) {
    this.conn = conn
    this.onGone = onGone
  }

  watch(): void {
    this.conn.stream.attach(this)
    this.conn.stream.resume()
  }

  unpark(): void {
    this.isParked = false
  }

  /** A client sends nothing before StartWorkConn; one that does is out of step. */
  onData(): boolean {
    this.drop()
    return true
  }

  onEnd(): void {
    this.drop()
  }

  onDrain(): void {
    // Nothing was written.
  }

  onClose(): void {
    if (this.isParked) this.onGone(this)
  }

  private drop(): void {
    if (!this.isParked) return
    this.onGone(this)
    this.isParked = false
    this.conn.stream.destroy(new FrpError('MESSAGE_UNEXPECTED', 'bytes on an idle work connection'))
  }
}
