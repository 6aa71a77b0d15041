import { FrpError, messageOf } from '../contract/errors.ts'
import type { Rate } from '../contract/rate-limit.ts'
import type { Deadline, Runtime } from '../contract/runtime.ts'
import type { Suite } from '../protocol/frp/aead.ts'
import type { WireProtocol } from '../protocol/frp/codec.ts'
import { answerHello } from '../protocol/frp/hello.ts'
import { MessageChannel } from '../protocol/frp/message-channel.ts'
import type { Message } from '../protocol/frp/messages.ts'
import { Opening } from '../protocol/frp/opening.ts'
import { frameV2, SERVER_HELLO } from '../protocol/frp/v2.ts'
import type { ByteStream, Link, StreamHandler } from '../protocol/stream/byte-stream.ts'
import { KeepAlive, type KeepAliveOptions } from '../protocol/yamux/keep-alive.ts'
import { MemoryBudget } from '../protocol/yamux/memory-budget.ts'
import { Session, type SessionOptions } from '../protocol/yamux/session.ts'
import { YamuxStream } from '../protocol/yamux/stream.ts'
import type { Control } from './control.ts'
import type { PeerInfo } from './ingress.ts'
import { HALF_CLOSED_LOOK_MS, STREAMS_BEFORE_LOGIN } from './limits.ts'
import { SAVED_VERSION, type SavedConnection, type SavedControl, type SavedVisit } from './saved.ts'

export interface ConnectionOptions {
  runtime: Runtime
  /** From here to the first accepted first message; also for the first message of each later stream. */
  handshakeMs: number
  /** Bytes held before that, and streams and bytes after it. */
  bytesBeforeLogin: number
  maxStreams: number
  memoryBytes: number
  /** Frames that carry nothing. */
  idleFrames: Rate
  /** Shared by all sessions of an isolate; undefined: each has its own. */
  memoryBudget?: MemoryBudget | undefined
  /** Absent: nobody is pinged (a relay that sleeps). */
  keepAlive: KeepAliveOptions | undefined
  /** What a peer has to close its end after ours; absent where that costs nothing, on a relay that sleeps. */
  closeMs: number | undefined
  /** The first message of a stream; whoever takes it detaches the channel. */
  onFirstMessage: (connection: Connection, message: Message, from: OpenedStream) => void
  /** Once, at the first accepted first message. */
  onAccepted: (connection: Connection) => void
  /** `error`: why it ended, if not by the peer's own clean end. */
  onClose: (connection: Connection, error: FrpError | undefined) => void
}

/** An frp stream whose first message came. */
export interface OpenedStream {
  /** Answers in the framing of the stream. */
  channel: MessageChannel
  /** What the channel is on. */
  raw: ByteStream
  wire: WireProtocol
  /** What the hellos of a control stream of v2 agreed on. */
  suite: Suite | undefined
}

/** yamux frames begin with version 0, which is no type byte of frp's messages. */
const YAMUX_VERSION = 0
/** frpc opens it first (frp: the control connection is stream 1). */
const CONTROL_STREAM = 1
/** yamux has no stream of this id. */
const NO_STREAM = 0

/**
 * One connection from outside. Its first byte tells yamux from a single frp stream; each frp stream's first
 * message goes to the relay. Until one was accepted it has `handshakeMs` in all, one stream, and little memory.
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
  /** The next look at streams that the peer does not end. */
  private halfClosed: Deadline | undefined
  /** A first message was accepted. */
  isAccepted = false
  private isClosed = false
  /** When a link that the peer does not close is cut. */
  private cut: Deadline | undefined
  private isLinkClosed = false
  /** A hello was refused; the peer was told, and closes. */
  private refusal: FrpError | undefined
  /** Streams whose first message has not come. */
  private opening = 0
  private pongWaiters: { id: number; answered: () => void }[] = []

  constructor(link: Link, peer: PeerInfo, options: ConnectionOptions) {
    this.link = link
    this.peer = peer
    this.options = options
  }

  start(head?: Uint8Array): void {
    const { handshakeMs } = this.options
    this.deadline = this.options.runtime.after(handshakeMs, () =>
      this.close(this.refusal ?? new FrpError('TIMEOUT', `no login within ${handshakeMs / 1000} s`)),
    )
    this.link.attach(this, head)
  }

  get isOpen(): boolean {
    return !this.isClosed
  }

  /** Bytes that its streams hold, and window that they were granted. */
  get heldBytes(): number {
    return this.session?.budget.used ?? 0
  }

  /** Bytes of its streams that came and wait for their readers. */
  get unreadBytes(): number {
    return this.session?.heldBytes ?? 0
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
      this.session.measureRoundTrip()
      this.watchHalfClosed(this.session)
    }
  }

  /** Asks whether the peer is there: answers within `timeoutMs`, with false for a link without yamux. */
  probe(timeoutMs: number): Promise<boolean> {
    const session = this.session
    if (session === undefined || session.isClosed) return Promise.resolve(false)
    return new Promise((resolve) => {
      const deadline = this.options.runtime.after(timeoutMs, () => {
        this.pongWaiters = this.pongWaiters.filter((one) => one !== waiter)
        resolve(false)
      })
      const answered = (): void => {
        deadline.cancel()
        resolve(true)
      }
      const waiter = { id: session.nextPingId, answered }
      this.pongWaiters.push(waiter)
      session.ping()
    })
  }

  close(reason: FrpError): void {
    if (this.isClosed) return
    const { session, link } = this
    if (session === undefined) link.destroy(reason)
    // Gently, so that an answer that was written still arrives.
    else session.close(reason)
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
    const parked =
      control?.pool.idleConns.map(({ stream, wire }) => ({ stream: this.idOf(stream) ?? NO_STREAM, wire })) ?? []
    if (parked.some(({ stream }) => stream === NO_STREAM) || (control !== undefined && control.pool.waitingCount > 0))
      return undefined
    const savedControl = control?.save()
    if (control !== undefined && savedControl === undefined) return undefined
    return {
      version: SAVED_VERSION,
      peer,
      session: session.snapshot(),
      control: savedControl,
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
    for (const { stream: id, wire } of saved.parked) {
      const stream = session.stream(id)
      if (stream !== undefined) this.control?.pool.put({ stream, wire })
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
    const { runtime, memoryBudget, memoryBytes, idleFrames } = this.options
    return {
      role: 'server',
      nowMs: () => runtime.monotonicMs(),
      idleFrames,
      memoryBudget: memoryBudget ?? new MemoryBudget(memoryBytes),
      onStream: (stream) => this.openStream(stream),
      onClose: (error) => this.closed(error),
      // A deadline would keep all of the connection in memory for its time, however many come and go meanwhile.
      onLinkClose: () => {
        this.isLinkClosed = true
        this.cut?.cancel()
      },
      onPong: (id) => this.ponged(id),
    }
  }

  private startSession(head: Uint8Array): void {
    const session = new Session(this.link, this.sessionOptions())
    session.maxStreams = STREAMS_BEFORE_LOGIN
    session.maxHeldBytes = this.options.bytesBeforeLogin
    this.session = session
    session.start(head)
  }

  /** Only where the clock runs anyway, with pings: a relay that sleeps is not woken for it. */
  private watchHalfClosed(session: Session): void {
    this.halfClosed = this.options.runtime.after(HALF_CLOSED_LOOK_MS, () => {
      session.tick(this.options.runtime.monotonicMs())
      this.watchHalfClosed(session)
    })
  }

  private openStream(stream: ByteStream, head?: Uint8Array): void {
    let isFirst = true
    let suite: Suite | undefined
    this.opening += 1
    const { handshakeMs } = this.options
    const deadline = this.options.runtime.after(handshakeMs, () =>
      channel.destroy(new FrpError('TIMEOUT', `no message within ${handshakeMs / 1000} s`)),
    )
    const opened = (): void => {
      isFirst = false
      this.opening -= 1
      deadline.cancel()
    }
    const opening = new Opening(
      (payload) => {
        const answer = answerHello(payload, this.options.runtime.crypto)
        channel.sendFrame(frameV2(SERVER_HELLO, answer.payload))
        if ('suite' in answer) {
          suite = answer.suite
          return
        }
        // As frps does: the Login behind it is not read any more.
        opened()
        this.refusal = answer.error
        channel.end()
      },
      this.isAccepted ? undefined : this.options.bytesBeforeLogin,
    )
    // Paused, so that no message can come before `channel` is there to answer it.
    stream.pause()
    const channel = new MessageChannel(
      stream,
      {
        onMessage: (message) => {
          if (!isFirst) return
          opened()
          this.onFirstMessage(message, { channel, raw: stream, wire: opening.wire, suite })
        },
        onEnd: () => channel.end(),
        onClose: (error) => {
          if (isFirst) opened()
          // The session says itself why it ended, right after its streams.
          if (this.session?.isClosed === true) return
          const reason = this.refusal ?? error
          if (!this.isAccepted && reason !== undefined) this.close(asFrpError(reason))
          else if (stream === this.link) this.closed(error)
        },
      },
      { codec: opening, ...(head === undefined ? {} : { head }) },
    )
    stream.resume()
  }

  /** What goes wrong with it ends this connection, and nothing else. */
  private onFirstMessage(message: Message, from: OpenedStream): void {
    try {
      this.options.onFirstMessage(this, message, from)
    } catch (error) {
      if (!(error instanceof FrpError)) {
        this.options.runtime.log.error(`[${this.peer.ip}] ${message.type}: ${messageOf(error)}`)
      }
      this.close(asFrpError(error))
    }
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
    this.halfClosed?.cancel()
    const reason = error === undefined ? undefined : asFrpError(error)
    this.control?.close(reason)
    // A peer that does not close its end must not hold the link for ever.
    const { closeMs, runtime } = this.options
    if (this.session !== undefined && closeMs !== undefined && !this.isLinkClosed) {
      this.cut = runtime.after(closeMs, () => this.link.destroy(reason))
    }
    this.options.onClose(this, reason)
  }
}

function asFrpError(error: unknown): FrpError {
  return error instanceof FrpError ? error : new FrpError('LINK_CLOSED', messageOf(error), { cause: error })
}
