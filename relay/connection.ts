import { FrpError } from '../contract/errors.ts'
import type { Deadline, Runtime } from '../contract/runtime.ts'
import { MessageChannel } from '../protocol/frp/message-channel.ts'
import type { Message } from '../protocol/frp/messages.ts'
import type { ByteStream, Link, StreamHandler } from '../protocol/stream/byte-stream.ts'
import { KeepAlive } from '../protocol/yamux/keep-alive.ts'
import type { MemoryBudget } from '../protocol/yamux/memory-budget.ts'
import { Session, type SessionOptions } from '../protocol/yamux/session.ts'
import { YamuxStream } from '../protocol/yamux/stream.ts'
import type { Control } from './control.ts'
import type { PeerInfo } from './ingress.ts'
import { BYTES_BEFORE_LOGIN, FIRST_MESSAGE_MS, STREAMS_BEFORE_LOGIN } from './limits.ts'
import { SAVED_VERSION, type SavedConnection, type SavedControl, type SavedVisit } from './saved.ts'

export interface KeepAliveTimes {
  intervalMs: number
  timeoutMs: number
}

export interface ConnectionOptions {
  runtime: Runtime
  maxStreams: number
  memoryBytes: number
  /** Shared by all sessions of an isolate; undefined: each has its own. */
  memoryBudget?: MemoryBudget | undefined
  /** Absent: nobody is pinged (a relay that sleeps). */
  keepAlive: KeepAliveTimes | undefined
  /** The first message of a stream; whoever takes it detaches the channel. */
  onFirstMessage: (connection: Connection, channel: MessageChannel, message: Message, stream: ByteStream) => void
  /** Once, at the first accepted first message. */
  onAccepted: (connection: Connection) => void
  onClose: (connection: Connection) => void
}

/** yamux frames begin with version 0, which is no type byte of frp's messages. */
const YAMUX_VERSION = 0
/** How long a peer has to close a connection that we ended. */
const CLOSE_MS = 5_000
/** frpc opens it first (frp: the control connection is stream 1). */
const CONTROL_STREAM = 1

/**
 * One connection from outside. Its first byte tells yamux from a single frp stream; each frp stream's first
 * message goes to the relay. Until one was accepted it has `FIRST_MESSAGE_MS` in all, one stream, and little memory.
 */
export class Connection implements StreamHandler {
  readonly peer: PeerInfo
  /** The peer answered a ping. */
  onPong: ((id: number) => void) | undefined
  /** The client that logged in on this connection. */
  control: Control | undefined
  private readonly link: Link
  private readonly options: ConnectionOptions
  private session: Session | undefined
  private keepAlive: KeepAlive | undefined
  private deadline: Deadline | undefined
  private isAccepted = false
  private isClosed = false
  /** Streams whose first message has not come. */
  private opening = 0
  private pongWaiters: { id: number; answered: () => void }[] = []

  constructor(link: Link, peer: PeerInfo, options: ConnectionOptions) {
    this.link = link
    this.peer = peer
    this.options = options
  }

  start(head?: Uint8Array): void {
    this.deadline = this.options.runtime.after(FIRST_MESSAGE_MS, () =>
      this.close(new FrpError('TIMEOUT', `no login within ${FIRST_MESSAGE_MS / 1000} s`)),
    )
    this.link.attach(this, head)
  }

  get isMultiplexed(): boolean {
    return this.session !== undefined
  }

  /** A first message was accepted: the limits of strangers no longer hold. */
  accepted(): void {
    if (!this.isAccepted) this.options.onAccepted(this)
    this.isAccepted = true
    this.deadline?.cancel()
    this.peer.onAccepted?.()
    if (this.session === undefined) return
    this.session.maxStreams = this.options.maxStreams
    this.session.maxHeldBytes = this.options.memoryBytes
    if (this.options.keepAlive !== undefined && this.keepAlive === undefined) {
      this.keepAlive = new KeepAlive(this.session, this.options.runtime, this.options.keepAlive, () =>
        this.close(new FrpError('YAMUX_KEEPALIVE', 'the client did not answer a ping')),
      )
    }
  }

  /** Asks whether the peer is there: answers within `timeoutMs`, with false for a link without yamux. */
  probe(timeoutMs: number): Promise<boolean> {
    const session = this.session
    if (session === undefined || session.isClosed) return Promise.resolve(false)
    return new Promise((resolve) => {
      const deadline = this.options.runtime.after(timeoutMs, () => resolve(false))
      const answered = (): void => {
        deadline.cancel()
        resolve(true)
      }
      this.pongWaiters.push({ id: session.ping(), answered })
    })
  }

  close(reason: FrpError): void {
    if (this.isClosed) return
    const { session, link } = this
    if (session === undefined) {
      link.destroy(reason)
    } else {
      // Gently, so that an answer that was written still arrives; then for good.
      session.close(reason)
      this.options.runtime.after(CLOSE_MS, () => link.destroy(reason))
    }
    this.closed(reason)
  }

  /** The first bytes of the link: who reads on? */
  onData(chunk: Uint8Array, _headRoom: number): boolean {
    // A copy: the reader after this one keeps the first bytes for as long as it likes.
    const head = chunk.slice()
    if (head[0] === YAMUX_VERSION) this.startSession(head)
    else this.openStream(this.link, head)
    return true
  }

  onEnd(): void {
    this.link.end()
  }

  onDrain(): void {
    // Nothing was written yet.
  }

  onClose(error?: Error): void {
    this.closed(error)
  }

  /** Everything that must outlive sleep; undefined while something is under way that has no place in it. */
  save(visits: SavedVisit[]): SavedConnection | undefined {
    const { session, control, peer } = this
    if (session === undefined || session.isClosed || this.opening > 0 || this.pongWaiters.length > 0) return undefined
    const parked = control?.pool.idleStreams.map((stream) => (stream instanceof YamuxStream ? stream.id : -1)) ?? []
    if (parked.includes(-1) || (control !== undefined && control.pool.waitingCount > 0)) return undefined
    return {
      version: SAVED_VERSION,
      peer,
      session: session.snapshot(),
      control: control?.save(),
      parked,
      visits,
    }
  }

  /** Goes on from `save`, over the link that carries on. Throws FrpError YAMUX_BAD_SNAPSHOT. */
  revive(saved: SavedConnection, revive: (control: SavedControl, stream: ByteStream) => Control): void {
    if (saved.version !== SAVED_VERSION) {
      throw new FrpError('YAMUX_BAD_SNAPSHOT', `saved connection of version ${saved.version}, not ${SAVED_VERSION}`)
    }
    const session = Session.restore(this.link, this.sessionOptions(), saved.session)
    this.session = session
    this.isAccepted = true
    const controlStream = session.stream(CONTROL_STREAM)
    if (saved.control !== undefined && controlStream !== undefined) {
      this.control = revive(saved.control, controlStream)
    }
    for (const id of saved.parked) {
      const stream = session.stream(id)
      if (stream !== undefined) this.control?.pool.put(stream)
    }
  }

  /** After `revive`, once its streams have their readers. */
  resume(): void {
    this.session?.start()
  }

  /** Sends a ping and returns its id; undefined: there is no yamux (yet). */
  ping(): number | undefined {
    const { session } = this
    return session === undefined || session.isClosed ? undefined : session.ping()
  }

  /** Whether this stream is one of this connection's; its id, if so. */
  idOf(stream: ByteStream): number | undefined {
    return stream instanceof YamuxStream && stream.session === this.session ? stream.id : undefined
  }

  stream(id: number): ByteStream | undefined {
    return this.session?.stream(id)
  }

  private sessionOptions(): SessionOptions {
    const { runtime, memoryBudget } = this.options
    return {
      role: 'server',
      nowMs: () => runtime.monotonicMs(),
      onStream: (stream) => this.openStream(stream),
      onClose: (error) => this.closed(error),
      onPong: (id) => this.ponged(id),
      ...(memoryBudget === undefined ? {} : { memoryBudget }),
    }
  }

  private startSession(head: Uint8Array): void {
    const session = new Session(this.link, this.sessionOptions())
    session.maxStreams = STREAMS_BEFORE_LOGIN
    session.maxHeldBytes = BYTES_BEFORE_LOGIN
    this.session = session
    session.start(head)
  }

  private openStream(stream: ByteStream, head?: Uint8Array): void {
    let isFirst = true
    this.opening += 1
    const deadline = this.options.runtime.after(FIRST_MESSAGE_MS, () =>
      channel.destroy(new FrpError('TIMEOUT', `no message within ${FIRST_MESSAGE_MS / 1000} s`)),
    )
    // Paused, so that no message can come before `channel` is there to answer it.
    stream.pause()
    const channel = new MessageChannel(
      stream,
      {
        onMessage: (message) => {
          if (!isFirst) return
          isFirst = false
          this.opening -= 1
          deadline.cancel()
          this.options.onFirstMessage(this, channel, message, stream)
        },
        onEnd: () => channel.end(),
        onClose: (error) => {
          deadline.cancel()
          if (isFirst) this.opening -= 1
          isFirst = false
          if (!this.isAccepted && error !== undefined) this.close(asFrpError(error))
          else if (stream === this.link) this.closed(error)
        },
      },
      head === undefined ? {} : { head },
    )
    stream.resume()
  }

  private ponged(id: number): void {
    this.keepAlive?.pong(id)
    this.onPong?.(id)
    const waiters = this.pongWaiters
    // Answers come in the order of the pings, so an older one is answered by a newer answer too.
    this.pongWaiters = waiters.filter((waiter) => waiter.id > id)
    for (const waiter of waiters) if (waiter.id <= id) waiter.answered()
  }

  private closed(error?: Error): void {
    if (this.isClosed) return
    this.isClosed = true
    this.deadline?.cancel()
    this.keepAlive?.stop()
    this.control?.close(error === undefined ? undefined : asFrpError(error))
    this.options.onClose(this)
  }
}

function asFrpError(error: Error): FrpError {
  return error instanceof FrpError ? error : new FrpError('LINK_CLOSED', error.message, { cause: error })
}
