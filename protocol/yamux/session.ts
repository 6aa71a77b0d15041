import { FrpError } from '../../contract/errors.ts'
import { YAMUX_INITIAL_WINDOW, YAMUX_MAX_STREAMS, YAMUX_MAX_WINDOW, YAMUX_WINDOW_LIMIT } from '../limits.ts'
import type { Link, StreamHandler } from '../stream/byte-stream.ts'
import { Backlog } from './backlog.ts'
import { GO_AWAY_PROTOCOL_ERROR } from './frame.ts'
import { HalfClosed } from './half-closed.ts'
import { Incoming } from './incoming.ts'
import { MemoryBudget } from './memory-budget.ts'
import { Outbox } from './outbox.ts'
import { RoundTrip } from './round-trip.ts'
import { readStream, writeStream } from './saved-stream.ts'
import type { SessionOptions } from './session-options.ts'
import { badSnapshot, SnapshotReader, SnapshotWriter } from './snapshot-bytes.ts'
import { YamuxStream } from './stream.ts'

/** reliability L5: what the streams of one session may cost, in bytes. */
const DEFAULT_MEMORY_BYTES = 64 * 1024 * 1024
/** yamux ConnectionWriteTimeout: how long the peer has to close the link after we did. */
const CLOSE_TIMEOUT_MS = 10_000
const SNAPSHOT_VERSION = 1

export type { SessionOptions }

/**
 * The multiplexer: bytes of a link in, streams out, and back. It does no I/O beyond the link and starts no
 * timer. What breaks the protocol ends the session with a FrpError; nothing is thrown at the link.
 */
export class Session implements StreamHandler {
  readonly budget: MemoryBudget
  readonly maxWindow: number
  /** What waits for a reader is kept as it came, not copied. */
  readonly keepsMemory: boolean
  /** Open streams, of both sides together: 1 before login (reliability L3). */
  maxStreams: number
  /** Bytes received and not consumed, over all streams; beyond it the stream that holds most is reset. */
  maxHeldBytes = Number.POSITIVE_INFINITY
  /** Counted by the streams. */
  heldBytes = 0
  isClosed = false

  readonly options: SessionOptions
  private readonly link: Link
  readonly outbox: Outbox
  private readonly incoming: Incoming
  private readonly streams = new Map<number, YamuxStream>()
  /** The stream of the last frame: most frames follow one of the same stream. */
  private lastStream: YamuxStream | undefined
  private nextId: number
  readonly backlog = new Backlog()
  readonly halfClosed = new HalfClosed()
  private closedAtMs = 0
  /** Only where pings cost nothing: one that sleeps would be woken by them. */
  roundTrip: RoundTrip | undefined

  constructor(link: Link, options: SessionOptions) {
    this.link = link
    this.options = options
    this.outbox = new Outbox(link)
    this.keepsMemory = link.givesMemory === true
    this.budget = options.memoryBudget ?? new MemoryBudget(DEFAULT_MEMORY_BYTES)
    this.maxWindow = Math.max(YAMUX_INITIAL_WINDOW, options.maxWindow ?? YAMUX_MAX_WINDOW)
    this.maxStreams = options.maxStreams ?? YAMUX_MAX_STREAMS
    this.nextId = options.role === 'client' ? 1 : 2
    this.incoming = new Incoming(this)
    this.budget.holders.add(this)
  }

  /** Begins to read the link. `head`: bytes of it that were read before. */
  start(head?: Uint8Array): void {
    this.link.attach(this, head)
    this.outbox.pump()
  }

  get streamCount(): number {
    return this.streams.size
  }

  stream(id: number): YamuxStream | undefined {
    const last = this.lastStream
    if (last !== undefined && last.id === id) return last
    const found = this.streams.get(id)
    if (found !== undefined) this.lastStream = found
    return found
  }

  /** Throws SESSION_ENDED, YAMUX_GO_AWAY or YAMUX_TOO_MANY_STREAMS. */
  open(): YamuxStream {
    if (this.isClosed) throw new FrpError('SESSION_ENDED', 'open: the session is over')
    if (this.incoming.isPeerLeaving) throw new FrpError('YAMUX_GO_AWAY', 'open: the peer takes no more streams')
    while (this.streams.has(this.nextId)) this.nextId += 2
    if (this.streams.size >= this.maxStreams || this.nextId > YAMUX_WINDOW_LIMIT) {
      throw new FrpError('YAMUX_TOO_MANY_STREAMS', `open: ${this.streams.size} streams, limit ${this.maxStreams}`)
    }
    const stream = this.add(this.nextId)
    this.nextId += 2
    this.backlog.outgoing(stream)
    return stream
  }

  /** The id that the next `ping` will have: an answer may come before `ping` returns. */
  get nextPingId(): number {
    return this.outbox.nextPing
  }

  /** Sends a ping; `onPong` tells when the answer to this id came. */
  ping(): number {
    const id = this.outbox.nextPing
    if (this.isClosed) return id
    this.roundTrip?.sent(id, this.options.nowMs())
    this.outbox.nextPing = (id + 1) >>> 0
    this.incoming.outstandingPings += 1
    this.outbox.pump()
    return id
  }

  /** From now on windows grow only as far as the round trip asks for; costs a ping a second while streams open. */
  measureRoundTrip(): void {
    this.roundTrip ??= new RoundTrip()
    this.sampleRoundTrip()
  }

  /** Ends the link after what was written to it; all streams end with SESSION_ENDED. */
  close(reason?: Error): void {
    if (this.isClosed) return
    this.finish(reason)
    this.link.end()
    this.options.onClose?.(reason)
  }

  /**
   * Resets streams that we ended and whose peer sent nothing for 5 minutes, as frp does after
   * StreamCloseTimeout, and a link that the peer does not close. The next time it has something to do.
   */
  tick(nowMs: number): number | undefined {
    if (this.isClosed) {
      const deadline = this.closedAtMs + CLOSE_TIMEOUT_MS
      if (nowMs < deadline) return deadline
      this.link.destroy()
      return undefined
    }
    return this.halfClosed.tick(nowMs)
  }

  /** Everything that must outlive sleep, between two events. Throws SESSION_ENDED. */
  snapshot(): Uint8Array {
    if (this.isClosed) throw new FrpError('SESSION_ENDED', 'snapshot: the session is over')
    const to = new SnapshotWriter()
    to.uint(SNAPSHOT_VERSION)
    to.uint(this.options.role === 'client' ? 1 : 0)
    to.uint(this.nextId)
    to.uint(this.maxStreams)
    to.uint(this.maxHeldBytes === Number.POSITIVE_INFINITY ? 0 : this.maxHeldBytes + 1)
    to.uints([...this.streams.keys()])
    for (const stream of this.streams.values()) writeStream(to, stream)
    to.uints(this.backlog.save())
    to.uints(this.halfClosed.save(this.options.nowMs()))
    this.incoming.save(to)
    this.outbox.save(to)
    return to.finish()
  }

  /**
   * A session as it was at `snapshot`; the link must be too. `onStream` is not called for its streams: take
   * them by `stream(id)`, attach, then `start`. Throws YAMUX_BAD_SNAPSHOT.
   */
  static restore(link: Link, options: SessionOptions, bytes: Uint8Array): Session {
    const session = new Session(link, options)
    session.load(new SnapshotReader(bytes))
    return session
  }

  // --- the link below ---

  onData(chunk: Uint8Array, headRoom: number): boolean {
    if (this.isClosed) return true
    let isFree = false
    try {
      isFree = this.incoming.push(chunk, headRoom)
    } catch (error) {
      if (!(error instanceof FrpError)) throw error
      this.fail(error)
    }
    // A reader keeps a part of it: the link reads on, into other memory.
    if (!isFree) this.link.resume()
    return isFree
  }

  onEnd(): void {
    if (this.isClosed) return
    if (this.incoming.isAtBoundary) this.close()
    else this.close(new FrpError('LINK_CLOSED', 'the link ended inside a yamux frame'))
  }

  onDrain(): void {
    this.outbox.onDrain()
  }

  onClose(error?: Error): void {
    this.outbox.release()
    if (!this.isClosed) {
      this.finish(error)
      this.options.onClose?.(error)
    }
    this.options.onLinkClose?.()
  }

  // --- for streams ---

  forget(stream: YamuxStream): void {
    this.streams.delete(stream.id)
    if (this.lastStream === stream) this.lastStream = undefined
    this.incoming.forget(stream)
    this.halfClosed.delete(stream)
    this.backlog.answered(stream)
  }

  sendReset(id: number): void {
    if (this.isClosed) return
    if (this.outbox.resets.length >= YAMUX_MAX_STREAMS) {
      this.fail(new FrpError('YAMUX_FLOOD', `${YAMUX_MAX_STREAMS} resets wait for the link`))
      return
    }
    this.outbox.resets.push(id)
    this.outbox.pump()
  }

  finSent(stream: YamuxStream): void {
    if (stream.isPeerEnded) return
    stream.hasHeard = false
    this.halfClosed.add(stream, this.options.nowMs())
  }

  /** reliability L5: who holds most is reset while more is held than allowed. */
  checkMemory(): void {
    while (this.heldBytes > this.maxHeldBytes) {
      const stream = this.heaviest()
      if (stream === undefined) break
      resetForMemory(stream)
    }
    while (this.budget.isOver) {
      const stream = this.budget.heaviest()
      if (stream === undefined) break
      resetForMemory(stream)
    }
  }

  heaviest(): YamuxStream | undefined {
    let most: YamuxStream | undefined
    for (const stream of this.streams.values()) {
      if (stream.heldBytes > (most?.heldBytes ?? 0)) most = stream
    }
    return most
  }

  private load(from: SnapshotReader): void {
    const version = from.uint()
    if (version !== SNAPSHOT_VERSION) throw badSnapshot(`version ${version}, expected ${SNAPSHOT_VERSION}`)
    if (from.uint() !== (this.options.role === 'client' ? 1 : 0)) throw badSnapshot('of the other role')
    this.nextId = from.uint()
    this.maxStreams = from.uint()
    const maxHeld = from.uint()
    this.maxHeldBytes = maxHeld === 0 ? Number.POSITIVE_INFINITY : maxHeld - 1
    for (const id of from.uints()) readStream(from, this.add(id))
    const streamOf = (id: number) => this.saved(id)
    this.backlog.load(this.streams.values(), from.uints().map(streamOf))
    this.halfClosed.load(from.uints(), this.options.nowMs(), streamOf)
    this.incoming.load(from, streamOf)
    this.outbox.load(from, streamOf)
    from.finish()
  }

  private saved(id: number): YamuxStream {
    const stream = this.streams.get(id)
    if (stream === undefined) throw badSnapshot(`no stream ${id}`)
    return stream
  }

  add(id: number): YamuxStream {
    const stream = new YamuxStream(this, this.outbox, id)
    this.streams.set(id, stream)
    if (this.roundTrip !== undefined) this.sampleRoundTrip()
    return stream
  }

  private sampleRoundTrip(): void {
    if (this.roundTrip?.isDue(this.options.nowMs()) === true) this.ping()
  }

  /** The peer broke the protocol: it is told, and the link is cut. */
  private fail(error: FrpError): void {
    if (this.isClosed) return
    if (error.code !== 'YAMUX_GO_AWAY') this.outbox.goAway(GO_AWAY_PROTOCOL_ERROR)
    this.finish(error)
    this.link.destroy(error)
    this.options.onClose?.(error)
  }

  private finish(reason: Error | undefined): void {
    this.isClosed = true
    this.closedAtMs = this.options.nowMs()
    this.outbox.close()
    this.backlog.clear()
    this.halfClosed.clear()
    this.lastStream = undefined
    this.budget.holders.delete(this)
    const streams = [...this.streams.values()]
    this.streams.clear()
    for (const stream of streams) {
      // Both ends said all they had to: a slow reader may still read it.
      if (stream.isFinSent && stream.isPeerEnded) continue
      if (stream.isClosed) continue
      const text = `yamux stream ${stream.id}: the session is over`
      stream.close(new FrpError('SESSION_ENDED', text, reason === undefined ? {} : { cause: reason }))
    }
  }
}

function resetForMemory(stream: YamuxStream): void {
  const text = `yamux stream ${stream.id}: memory is short and it holds ${stream.heldBytes} bytes`
  stream.destroy(new FrpError('LIMIT', text))
}
