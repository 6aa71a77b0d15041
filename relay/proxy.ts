import { NO_DEADLINE } from '../contract/deadlines.ts'
import { FrpError, messageOf } from '../contract/errors.ts'
import { formatAddress } from '../contract/ip.ts'
import type { Deadline, Log, Runtime } from '../contract/runtime.ts'
import { deriveKey } from '../protocol/frp/cipher.ts'
import type { WireProtocol } from '../protocol/frp/codec.ts'
import type { NewProxy, Outgoing } from '../protocol/frp/messages.ts'
import { codecOf } from '../protocol/frp/opening.ts'
import { reviveWrap, type WrapOptions, wrap } from '../protocol/frp/wrap.ts'
import { HEAD_ROOM } from '../protocol/limits.ts'
import type { ByteStream, StreamHandler } from '../protocol/stream/byte-stream.ts'
import { type JoinOptions, join, type Traffic } from '../protocol/stream/join.ts'
import type { TokenBucket } from '../protocol/stream/throttle.ts'
import type { ProxyAccess, Visit } from './access-log.ts'
import type { Addresses } from './ingress.ts'
import type { Joins } from './joins.ts'
import type { SavedVisit } from './saved.ts'
import type { UserGate } from './user-gate.ts'
import type { WorkConn, WorkConnPool } from './work-conn-pool.ts'

/** What the registry shows of a proxy while it runs; added to as bytes pass. */
export interface ProxyStats {
  traffic: Traffic
  connections: number
}

export interface WorkConnsOptions {
  runtime: Runtime
  log: Log
  pool: WorkConnPool
  message: NewProxy
  /** How the client frames messages, on work connections too. */
  wire: WireProtocol
  /** Key of useEncryption: derived from the token. */
  key: Uint8Array
  bucket: TokenBucket | undefined
  /** Of all proxies of a user together. */
  sharedBucket: TokenBucket | undefined
  /** The client ends streams as we do: FIN is a half-close, RST a reset. */
  isHalfClosing: boolean
  stats: ProxyStats
  joins: Joins
  /** Who may come in. */
  gate: UserGate
  /** Undefined: visits are not written down. */
  access: ProxyAccess | undefined
  /** The relay holds so much that it takes no new users. */
  isFull: () => boolean
}

/** How a visitor's connection is wrapped, as its NewVisitorConn says; with the proxy's secret, not the token. */
export interface VisitorLeg {
  useEncryption: boolean
  useCompression: boolean
  /** How it frames messages; of its bytes only sudp's are some. */
  wire: WireProtocol
  /** The visitor ends streams as we do. */
  isHalfClosing: boolean
}

/** What is known of a user's stream beside the stream. */
interface UserEnd {
  /** Below what is wrapped around it. */
  raw: ByteStream
  leg: VisitorLeg | undefined
}

/** A user who was let in. */
interface Arrival {
  end: UserEnd
  /** What was read of it before. */
  head?: Uint8Array | undefined
  visit: Visit | undefined
}

/** A work connection that a proxy may use, after StartWorkConn, unwrapped; or why there is none. */
export type WorkTaker = (work: ByteStream | undefined, error?: FrpError, raw?: ByteStream) => void

/** What all proxy types share: open a work connection, wrap it, join a user to it, count. */
export class WorkConns {
  readonly stats: ProxyStats
  readonly isHalfClosing: boolean
  readonly wire: WireProtocol
  /** Where visits are written down, if they are. */
  readonly access: ProxyAccess | undefined
  private readonly options: WorkConnsOptions
  /** What is below a wrapped work connection. */
  private readonly raws = new WeakMap<ByteStream, ByteStream>()

  constructor(options: WorkConnsOptions) {
    this.options = options
    this.stats = options.stats
    this.access = options.access
    this.isHalfClosing = options.isHalfClosing
    this.wire = options.wire
  }

  /**
   * Takes a work connection and tells the client which proxy it is for, and who comes. The taker attaches a
   * reader before it returns; nothing is read until then.
   */
  open(addresses: Partial<Addresses>, taker: WorkTaker): Deadline {
    if (this.options.isFull()) {
      taker(undefined, new FrpError('LIMIT', 'the relay holds too much to take new users'))
      return NO_DEADLINE
    }
    return this.options.pool.take((conn, error) => {
      if (conn === undefined) taker(undefined, error)
      else this.startWork(conn, addresses, this.wrapOptions(), taker)
    })
  }

  /** As `open`, with nothing around it and nobody who comes: for messages of frp's own (xtcp). */
  openPlain(taker: WorkTaker): Deadline {
    return this.options.pool.take((conn, error) => {
      if (conn === undefined) taker(undefined, error)
      else this.startWork(conn, {}, {}, taker)
    })
  }

  /** Why a user may not in from this address; undefined: it may. */
  refuses(ip: string): FrpError | undefined {
    return this.options.gate.refuses(ip)
  }

  /** Carries one user's stream to the client's service, until both have ended. */
  serve(user: ByteStream, addresses: Addresses, head?: Uint8Array): void {
    this.serveEnd(user, addresses, { raw: user, leg: undefined }, head)
  }

  /** The same for a visitor, whose bytes are wrapped with the proxy's secret. */
  serveVisitor(visitor: ByteStream, addresses: Addresses, leg: VisitorLeg): void {
    const user = wrap(visitor, this.legOptions(leg), this.options.runtime.crypto)
    this.serveEnd(user, addresses, { raw: visitor, leg })
  }

  private serveEnd(user: ByteStream, addresses: Addresses, end: UserEnd, head?: Uint8Array): void {
    const { log } = this.options
    const visit = this.access?.begin(addresses.sourceIp, addresses.sourcePort)
    const refusal = this.refuses(addresses.sourceIp)
    if (refusal !== undefined) {
      visit?.end(refusal.message)
      user.destroy(refusal)
      return
    }
    if (log.enabled('info')) {
      log.info(`get a user connection [${formatAddress(addresses.sourceIp, addresses.sourcePort)}]`)
    }
    const { ask } = this.options.gate
    if (ask === undefined) {
      this.takeFor(user, addresses, { end, head, visit })
      return
    }
    user.pause()
    const asking = new WaitingUser()
    user.attach(asking)
    ask(addresses).then(
      () => {
        if (asking.isClosed) visit?.end('the user left before it was let in')
        else this.takeFor(user, addresses, { end, head, visit })
      },
      (error: unknown) => {
        const from = formatAddress(addresses.sourceIp, addresses.sourcePort)
        log.warn(`the user conn [${from}] was rejected, err:${messageOf(error)}`)
        visit?.end(messageOf(error))
        user.destroy(error instanceof Error ? error : undefined)
      },
    )
  }

  private takeFor(user: ByteStream, addresses: Addresses, arrival: Arrival): void {
    const { head, visit } = arrival
    const { log, stats } = this.options
    stats.connections += 1
    user.pause()
    const waiting = new WaitingUser()
    const onClose = (error?: Error): void => {
      stats.connections -= 1
      visit?.end(error?.message)
    }
    const take = this.open(addresses, (work, error, raw) => {
      waiting.isOver = true
      if (work === undefined || raw === undefined) {
        log.warn(`user connection [${addresses.sourceIp}]: ${error?.message ?? 'no work connection'}`)
        onClose(error)
        user.destroy(error)
      } else if (waiting.isClosed) {
        onClose(waiting.error)
        work.destroy(waiting.error)
      } else {
        this.join(user, work, raw, onClose, head === undefined ? {} : { headOfA: head }, arrival)
        user.resume()
      }
    })
    if (waiting.isOver) return
    waiting.onGone = () => {
      take.cancel()
      onClose(waiting.error)
    }
    user.attach(waiting)
  }

  /**
   * Joins a user to a work connection that carried an HTTP upgrade; `rest` came behind the service's head.
   * `onClose` comes when both have ended.
   */
  joinUpgraded(user: ByteStream, work: ByteStream, rest: Uint8Array, onClose: () => void, visit?: Visit): void {
    this.join(user, work, this.raws.get(work) ?? work, onClose, { headOfB: rest }, { visit })
  }

  /**
   * After sleep: joins again what was joined; `raw` is the work connection, `wrapped` and `leg` are the state of
   * what was around it and around the user.
   */
  rejoin(rawUser: ByteStream, raw: ByteStream, { wrapped, leg }: Pick<SavedVisit, 'wrapped' | 'leg'>): void {
    const { stats, runtime } = this.options
    stats.connections += 1
    const work = reviveWrap(raw, this.wrapOptions(), runtime.crypto, wrapped)
    const user = leg ? reviveWrap(rawUser, this.legOptions(leg.kind), runtime.crypto, leg.wrapped) : rawUser
    const onClose = (): void => {
      stats.connections -= 1
    }
    this.join(user, work, raw, onClose, {}, { end: { raw: rawUser, leg: leg?.kind } })
  }

  private join(
    user: ByteStream,
    work: ByteStream,
    raw: ByteStream,
    onClose: (error?: Error) => void,
    heads: Pick<JoinOptions, 'headOfA' | 'headOfB'> = {},
    { end = { raw: user, leg: undefined }, visit }: Partial<Arrival> = {},
  ): void {
    const { stats, joins, message, isHalfClosing } = this.options
    const { leg } = end
    const live = { proxyName: message.proxy_name, user: end.raw, wrappedUser: user, leg, work: raw, wrapped: work }
    joins.add(live)
    join(user, work, {
      traffic: visit?.counting(stats.traffic) ?? stats.traffic,
      onClose: (error) => {
        joins.delete(live)
        onClose(error)
      },
      endOfBIsClose: !isHalfClosing,
      endOfAIsClose: leg !== undefined && !leg.isHalfClosing,
      ...heads,
    })
  }

  private legOptions(leg: VisitorLeg): WrapOptions {
    const { message, runtime } = this.options
    return {
      ...(leg.useEncryption ? { key: deriveKey(runtime.crypto, message.sk) } : {}),
      compression: leg.useCompression,
      ...(message.proxy_type === 'sudp' && leg.wire !== this.wire ? { reframe: leg.wire } : {}),
    }
  }

  private wrapOptions(): WrapOptions {
    const { message, key, bucket, sharedBucket } = this.options
    return {
      ...(message.use_encryption ? { key } : {}),
      compression: message.use_compression,
      ...(bucket === undefined ? {} : { bucket }),
      ...(sharedBucket === undefined ? {} : { sharedBucket }),
    }
  }

  private startWork(
    { stream, wire }: WorkConn,
    addresses: Partial<Addresses>,
    wrapping: WrapOptions,
    taker: WorkTaker,
  ): void {
    const { message } = this.options
    const start: Outgoing = {
      type: 'StartWorkConn',
      proxy_name: message.proxy_name,
      src_addr: addresses.sourceIp ?? '',
      src_port: addresses.sourcePort ?? 0,
      dst_addr: addresses.destinationIp ?? '',
      dst_port: addresses.destinationPort ?? 0,
    }
    const started = (): void => {
      const work = wrap(stream, wrapping, this.options.runtime.crypto)
      if (work !== stream) this.raws.set(work, stream)
      taker(work, undefined, stream)
      stream.resume()
    }
    stream.pause()
    if (stream.write(codecOf(wire).encode(start), HEAD_ROOM)) started()
    else stream.attach(new Starting(started, (error) => taker(undefined, error)))
  }
}

/** A user who waits for a work connection: notices that the user left. */
class WaitingUser implements StreamHandler {
  isOver = false
  isClosed = false
  error: Error | undefined
  onGone: (() => void) | undefined

  onData(): boolean {
    return true
  }

  onEnd(): void {
    // Paused: an end is delivered to the reader after this one.
  }

  onDrain(): void {
    // Nothing was written.
  }

  onClose(error?: Error): void {
    this.isClosed = true
    this.error = error
    if (this.isOver) return
    this.isOver = true
    this.onGone?.()
  }
}

/** A work connection whose StartWorkConn did not leave at once. */
class Starting implements StreamHandler {
  private readonly started: () => void
  private readonly failed: (error: FrpError) => void

  constructor(started: () => void, failed: (error: FrpError) => void) {
    this.started = started
    this.failed = failed
  }

  onData(): boolean {
    return true
  }

  onEnd(): void {
    // Paused: an end is delivered to the reader after this one.
  }

  onDrain(): void {
    this.started()
  }

  onClose(error?: Error): void {
    this.failed(new FrpError('NO_WORK_CONN', 'the work connection closed before it was used', { cause: error }))
  }
}
