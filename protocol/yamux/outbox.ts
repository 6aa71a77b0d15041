import { HEAD_ROOM, SMALL_WRITE } from '../limits.ts'
import type { Link } from '../stream/byte-stream.ts'
import {
  encodeHeader,
  FLAG_ACK,
  FLAG_RST,
  FLAG_SYN,
  HEADER_BYTES,
  MAX_DATA_BYTES,
  TYPE_DATA,
  TYPE_GO_AWAY,
  TYPE_PING,
  TYPE_WINDOW_UPDATE,
} from './frame.ts'
import type { SnapshotReader, SnapshotWriter } from './snapshot-bytes.ts'
import type { YamuxStream } from './stream.ts'

/** Answers to pings that may wait for a busy link; of more, the oldest are forgotten. */
const MAX_WAITING_PONGS = 8

/**
 * The sending half of a session. While the link is busy nothing is turned into bytes: what is due stays as
 * flags and numbers, so a peer that does not read costs no memory. Streams with work take turns, a frame each.
 */
export class Outbox {
  readonly link: Link
  /** The link keeps what it was given last, until its onDrain. */
  isBusy = false
  /** The session is over: nothing more is written. */
  isClosed = false
  /** Whose memory the link has, or whose header went out without its body. */
  owner: YamuxStream | undefined
  /** Bytes of the owner's chunk that the link keeps. */
  inFlight = 0
  /** Bytes of the owner's chunk whose header the link keeps: they go out next. */
  bodyDue = 0
  /** Revived from a snapshot: such a body of a stream that is gone. */
  orphanBody: Uint8Array | undefined
  readonly pongs: number[] = []
  /** Streams that are gone and whose peer has to be told. */
  readonly resets: number[] = []
  /** The next ping's id, and the first one that has not left. */
  nextPing = 0
  firstUnsentPing = 0
  private readonly scratch = new Uint8Array(HEAD_ROOM + HEADER_BYTES)
  private readonly scratchHeader = this.scratch.subarray(HEAD_ROOM)
  private isWriting = false
  private isPumping = false
  private first: YamuxStream | undefined
  private last: YamuxStream | undefined

  constructor(link: Link) {
    this.link = link
  }

  /**
   * Whether a stream may write at once: nobody waits, nothing is under way. A ping or its answer waits too: who
   * writes each time that the link is free again would keep it back for ever, and it may be what frees the link.
   */
  get isIdle(): boolean {
    return !this.isBusy && !this.isWriting && !this.isPumping && !this.isClosed && !this.hasWork
  }

  get hasWork(): boolean {
    return (
      this.first !== undefined ||
      this.resets.length > 0 ||
      this.pongs.length > 0 ||
      this.firstUnsentPing !== this.nextPing
    )
  }

  /** Appends a stream to those with work. */
  enqueue(stream: YamuxStream): void {
    if (stream.isQueued || this.isClosed) return
    stream.isQueued = true
    stream.queuedBefore = this.last
    stream.queuedAfter = undefined
    if (this.last === undefined) this.first = stream
    else this.last.queuedAfter = stream
    this.last = stream
  }

  dequeue(stream: YamuxStream): void {
    if (!stream.isQueued) return
    stream.isQueued = false
    if (stream.queuedBefore === undefined) this.first = stream.queuedAfter
    else stream.queuedBefore.queuedAfter = stream.queuedAfter
    if (stream.queuedAfter === undefined) this.last = stream.queuedBefore
    else stream.queuedAfter.queuedBefore = stream.queuedBefore
    stream.queuedBefore = undefined
    stream.queuedAfter = undefined
  }

  pong(id: number): void {
    if (this.pongs.length === MAX_WAITING_PONGS) this.pongs.shift()
    this.pongs.push(id)
    this.pump()
  }

  /** Sends what is due until the link is busy. Called again from inside, it leaves the work to the first call. */
  pump(): void {
    if (this.isPumping || this.isWriting || this.isBusy) return
    this.isPumping = true
    while (!this.isBusy && !this.isClosed) {
      if (this.sendControl()) continue
      const stream = this.first
      if (stream === undefined) break
      this.dequeue(stream)
      this.serve(stream)
      if (stream.hasWork) this.enqueue(stream)
    }
    this.isPumping = false
  }

  /** One Data frame from the front of the stream's chunk. */
  sendData(stream: YamuxStream): void {
    const loan = stream.loan
    if (loan === undefined) return
    const length = Math.min(loan.length, stream.sendWindow, MAX_DATA_BYTES)
    const room = stream.loanRoom
    stream.sendWindow -= length
    stream.hasCarried = true
    this.owner = stream
    this.isWriting = true
    if (length + HEADER_BYTES <= SMALL_WRITE || room < HEADER_BYTES) this.link.cork()
    let isFree: boolean
    if (room >= HEADER_BYTES) {
      const whole = new Uint8Array(loan.buffer, loan.byteOffset - HEADER_BYTES, HEADER_BYTES + length)
      encodeHeader(whole, 0, TYPE_DATA, 0, stream.id, length)
      isFree = this.link.write(whole, room - HEADER_BYTES)
    } else {
      encodeHeader(this.scratchHeader, 0, TYPE_DATA, 0, stream.id, length)
      isFree = this.link.write(this.scratchHeader, HEAD_ROOM)
      if (!isFree) {
        this.bodyDue = length
        this.isWriting = false
        this.isBusy = true
        return
      }
      isFree = this.link.write(length === loan.length ? loan : loan.subarray(0, length), room)
    }
    this.isWriting = false
    this.written(isFree, length)
  }

  /** The link gave back what it kept. */
  onDrain(): void {
    if (!this.isBusy) return
    this.isBusy = false
    const owner = this.owner
    if (this.bodyDue > 0 && !this.isClosed) {
      const length = this.bodyDue
      const body = owner === undefined ? this.orphanBody : owner.loan?.subarray(0, length)
      this.bodyDue = 0
      this.orphanBody = undefined
      this.isWriting = true
      const isFree = body === undefined || this.link.write(body, owner?.loanRoom ?? 0)
      this.isWriting = false
      this.written(isFree, length)
    } else if (owner !== undefined) {
      const length = this.inFlight
      this.owner = undefined
      this.inFlight = 0
      this.bodyDue = 0
      owner.sent(length)
    }
    this.pump()
  }

  sendHeader(type: number, flags: number, id: number, length: number): void {
    this.link.cork()
    encodeHeader(this.scratchHeader, 0, type, flags, id, length)
    this.isWriting = true
    if (!this.link.write(this.scratchHeader, HEAD_ROOM)) this.isBusy = true
    this.isWriting = false
  }

  /** Before the link is closed for a reason; it may not arrive, as in Go. */
  goAway(code: number): void {
    if (!this.isBusy && !this.isWriting) this.sendHeader(TYPE_GO_AWAY, 0, 0, code)
  }

  /** The session is over. A stream whose memory the link still has learns it at the link's onDrain or onClose. */
  close(): void {
    this.isClosed = true
    this.pongs.length = 0
    this.resets.length = 0
    while (this.first !== undefined) this.dequeue(this.first)
  }

  /** The link is closed: it has nobody's memory any more. */
  release(): void {
    const owner = this.owner
    this.owner = undefined
    this.isBusy = false
    owner?.sent(0)
  }

  save(to: SnapshotWriter): void {
    const { owner } = this
    // Of a stream that is gone only the rest of its frame matters.
    const isOrphan = owner === undefined || owner.isClosed
    const orphan = owner === undefined ? this.orphanBody : isOrphan ? owner.loan?.subarray(0, this.bodyDue) : undefined
    to.uint(this.isBusy ? 1 : 0)
    to.uints(isOrphan ? [] : [owner.id])
    to.uint(isOrphan ? 0 : this.inFlight)
    to.uint(this.bodyDue)
    to.blob(orphan ?? new Uint8Array(0))
    to.uints(this.pongs)
    to.uints(this.resets)
    to.uint(this.nextPing)
    to.uint(this.firstUnsentPing)
    const queue: number[] = []
    for (let stream = this.first; stream !== undefined; stream = stream.queuedAfter) queue.push(stream.id)
    to.uints(queue)
  }

  load(from: SnapshotReader, streamOf: (id: number) => YamuxStream): void {
    this.isBusy = from.uint() === 1
    this.owner = from.uints().map(streamOf)[0]
    this.inFlight = from.uint()
    this.bodyDue = from.uint()
    this.orphanBody = from.blob()
    this.pongs.push(...from.uints())
    this.resets.push(...from.uints())
    this.nextPing = from.uint()
    this.firstUnsentPing = from.uint()
    for (const id of from.uints()) this.enqueue(streamOf(id))
  }

  private written(isFree: boolean, length: number): void {
    if (!isFree) {
      this.isBusy = true
      this.inFlight = length
      return
    }
    const owner = this.owner
    this.owner = undefined
    owner?.sent(length)
  }

  private sendControl(): boolean {
    const reset = this.resets.shift()
    if (reset !== undefined) {
      this.sendHeader(TYPE_WINDOW_UPDATE, FLAG_RST, reset, 0)
      return true
    }
    const pong = this.pongs.shift()
    if (pong !== undefined) {
      this.sendHeader(TYPE_PING, FLAG_ACK, 0, pong)
      return true
    }
    if (this.firstUnsentPing === this.nextPing) return false
    const ping = this.firstUnsentPing
    this.firstUnsentPing = (ping + 1) >>> 0
    this.sendHeader(TYPE_PING, FLAG_SYN, 0, ping)
    return true
  }

  /** A turn of a stream: its flags, then one frame of data, then its FIN. */
  private serve(stream: YamuxStream): void {
    stream.sendUpdate()
    if (!this.isBusy && stream.canSendData) this.sendData(stream)
    if (!this.isBusy) stream.sendFin()
  }
}
