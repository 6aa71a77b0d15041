import { FrpError } from '../../contract/errors.ts'
import { HEAD_ROOM, YAMUX_INITIAL_WINDOW } from '../limits.ts'
import { type ByteStream, READ_ONLY, type StreamHandler } from '../stream/byte-stream.ts'
import { Inlet } from '../stream/inlet.ts'
import { FLAG_ACK, FLAG_FIN, FLAG_SYN, TYPE_WINDOW_UPDATE } from './frame.ts'
import type { Outbox } from './outbox.ts'
import type { Session } from './session.ts'

/**
 * One stream of a session. Readers and writers use what {@link ByteStream} names; the other members belong
 * to the session, its outbox and its snapshot.
 */
export class YamuxStream implements ByteStream {
  readonly id: number
  readonly session: Session
  readonly inlet: Inlet
  private readonly outbox: Outbox

  /** Bytes that the peer lets us send. */
  sendWindow = YAMUX_INITIAL_WINDOW
  /** What is left of the chunk that `write` kept, and the room before it. */
  loan: Uint8Array | undefined
  loanRoom = 0
  isSynDue = false
  /** Our SYN waits until the peer has answered others: it would reset what exceeds its backlog. */
  isSynHeld = false
  isAckDue = false
  isGrantDue = false
  isFinDue = false
  isFinSent = false
  /** `end()` was called. */
  isEnded = false
  isOurs = false
  /** We opened it and the peer has not answered, or the peer opened it and our ACK has not left. */
  isUnanswered = false

  /** Bytes that the peer may still send. */
  recvWindow = YAMUX_INITIAL_WINDOW
  /** What we let the peer send ahead of the reader. */
  windowBytes = YAMUX_INITIAL_WINDOW
  /** Bytes received that the reader has not consumed, and the most of them since the last grant. */
  heldBytes = 0
  peakHeldBytes = 0
  /** When the last grant was due, by the session's clock, while its round trip is known. */
  private grantedAtMs = 0
  isPeerEnded = false
  /** Bytes went over it, in either direction. */
  hasCarried = false
  /** Since the last look at half-closed streams, the peer sent bytes. */
  hasHeard = false
  /** No more bytes either way; `onClose` may still be due. */
  isClosed = false

  // The outbox's list of streams with work.
  isQueued = false
  queuedBefore: YamuxStream | undefined
  queuedAfter: YamuxStream | undefined

  private chargedBytes = 0
  private isInWrite = false
  private isClosing = false
  private closeError: Error | undefined

  constructor(session: Session, outbox: Outbox, id: number) {
    this.session = session
    this.outbox = outbox
    this.id = id
    this.inlet = new Inlet((bytes) => this.released(bytes))
  }

  write(chunk: Uint8Array, headRoom = 0): boolean {
    if (this.isEnded || this.isClosed || chunk.length === 0) return true
    if (this.loan !== undefined) {
      // Our own write has led to this one, through a link that answers at once: it goes behind.
      if (!this.isInWrite) throw new Error(`yamux stream ${this.id}: write before onDrain`)
      this.lend(this.loan, chunk)
      return true
    }
    const outbox = this.outbox
    this.loan = chunk
    this.loanRoom = headRoom
    this.isInWrite = true
    if (outbox.isIdle && this.sendWindow > 0 && !this.isSynHeld) outbox.sendData(this)
    else if (this.hasWork) outbox.enqueue(this)
    if (outbox.hasWork) outbox.pump()
    this.isInWrite = false
    return this.loan === undefined
  }

  end(): void {
    if (this.isEnded || this.isClosed) return
    this.isEnded = true
    this.isFinDue = true
    this.schedule()
  }

  destroy(reason?: Error): void {
    if (this.isClosed) return
    const isKnownToPeer = !this.isSynDue && !(this.isFinSent && this.isPeerEnded)
    this.session.forget(this)
    this.close(reason ?? new FrpError('STREAM_ABORTED', `yamux stream ${this.id} aborted by this side`))
    if (isKnownToPeer) this.session.sendReset(this.id)
  }

  pause(): void {
    this.inlet.pause()
  }

  resume(): void {
    if (this.isClosed) return
    this.inlet.resume()
    this.closeIfDone()
    this.grantIfDue()
  }

  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.inlet.attach(handler, head)
    this.closeIfDone()
  }

  /** Whether a turn of the outbox would send something. */
  get hasWork(): boolean {
    if (this.isClosed || this.isSynHeld) return false
    if (this.isSynDue || this.isAckDue || this.isGrantDue) return true
    return this.loan === undefined ? this.isFinDue : this.sendWindow > 0
  }

  get canSendData(): boolean {
    return this.loan !== undefined && this.sendWindow > 0 && !this.isClosed
  }

  /** Puts a copy of both, with room for headers, where the loan is. */
  lend(first: Uint8Array, second: Uint8Array): void {
    const roomy = new Uint8Array(HEAD_ROOM + first.length + second.length)
    roomy.set(first, HEAD_ROOM)
    roomy.set(second, HEAD_ROOM + first.length)
    this.loan = roomy.subarray(HEAD_ROOM)
    this.loanRoom = HEAD_ROOM
  }

  /** The outbox got rid of the first `length` bytes of the loan, or the link below is gone. */
  sent(length: number): void {
    if (this.isClosing) {
      this.finishClose()
      return
    }
    const loan = this.loan
    if (loan === undefined || this.isClosed) return
    if (length < loan.length) {
      this.loan = loan.subarray(length)
      // What was sent lies before the rest and may be overwritten.
      if (this.loanRoom !== READ_ONLY) this.loanRoom += length
      if (this.hasWork) this.outbox.enqueue(this)
      return
    }
    this.loan = undefined
    if (this.hasWork) this.outbox.enqueue(this)
    if (!this.isInWrite) this.inlet.drained()
  }

  /** SYN, ACK and the window that is due, in one frame. */
  sendUpdate(): void {
    if (this.isClosed || !(this.isSynDue || this.isAckDue || this.isGrantDue)) return
    const flags = (this.isSynDue ? FLAG_SYN : 0) | (this.isAckDue ? FLAG_ACK : 0)
    const delta = this.isGrantDue ? Math.max(0, this.owedBytes) : 0
    if (this.isAckDue) this.session.backlog.answered(this)
    this.isSynDue = false
    this.isAckDue = false
    this.isGrantDue = false
    this.recvWindow += delta
    if (flags !== 0 || delta !== 0) this.outbox.sendHeader(TYPE_WINDOW_UPDATE, flags, this.id, delta)
  }

  sendFin(): void {
    if (!this.isFinDue || this.isClosed || this.loan !== undefined) return
    this.isFinDue = false
    this.isFinSent = true
    this.outbox.sendHeader(TYPE_WINDOW_UPDATE, FLAG_FIN, this.id, 0)
    this.session.finSent(this)
    this.closeIfDone()
  }

  /** Bytes of a Data frame, as a slice of what the link handed over. True: the memory is the link's again. */
  deliver(chunk: Uint8Array, headRoom: number): boolean {
    if (this.isClosed) return true
    const length = chunk.length
    this.recvWindow -= length
    this.hasCarried = true
    this.hasHeard = true
    const { inlet } = this
    if (inlet.isOpen) {
      if (inlet.push(chunk, headRoom)) {
        this.grantIfDue()
        return true
      }
      if (inlet.isLent) this.hold(length)
      else this.grantIfDue()
      return false
    }
    // A small part of a large message would keep all of it.
    const isKept = this.session.keepsMemory && length * 2 >= chunk.buffer.byteLength
    if (isKept) inlet.push(chunk, headRoom)
    else inlet.pushCopy(chunk)
    this.hold(length)
    return !isKept
  }

  peerGranted(delta: number): void {
    this.sendWindow += delta
    if (this.loan !== undefined) this.schedule()
  }

  peerEnded(): void {
    this.isPeerEnded = true
    this.inlet.end()
    this.closeIfDone()
  }

  /** Ends it for our side; the session has forgotten it before. */
  close(error?: Error): void {
    this.isClosed = true
    this.outbox.dequeue(this)
    this.setHeld(0)
    if (this.outbox.owner === this) {
      // The link still has the writer's memory, which would be free with onClose.
      this.isClosing = true
      this.closeError = error
      this.inlet.pause()
      return
    }
    this.loan = undefined
    this.inlet.close(error)
  }

  /** Changes the count of held bytes and what the stream is charged for it. */
  setHeld(bytes: number): void {
    const { session } = this
    session.heldBytes += bytes - this.heldBytes
    this.heldBytes = bytes
    if (bytes > this.peakHeldBytes) this.peakHeldBytes = bytes
    const charge = this.isClosed ? 0 : Math.max(bytes, this.windowBytes - YAMUX_INITIAL_WINDOW)
    session.budget.used += charge - this.chargedBytes
    this.chargedBytes = charge
  }

  schedule(): void {
    if (!this.hasWork) return
    this.outbox.enqueue(this)
    this.outbox.pump()
  }

  /** Bytes that could be granted: consumed, or never granted since the window grew. */
  private get owedBytes(): number {
    return this.windowBytes - this.heldBytes - this.recvWindow
  }

  private hold(length: number): void {
    if (this.isClosed) return
    this.setHeld(this.heldBytes + length)
    this.session.checkMemory()
  }

  private released(bytes: number): void {
    if (this.isClosed) return
    this.setHeld(this.heldBytes - bytes)
    this.grantIfDue()
  }

  /**
   * Go yamux grants from half a window on (stream.go sendWindowUpdate): fewer frames, same speed. The window
   * doubles when its reader kept up and half of it was read within a round trip, so to two to four times what the path
   * holds, and falls back to yamux's first one when memory is short.
   */
  private grantIfDue(): void {
    if (this.isClosed || this.isPeerEnded || this.isGrantDue || this.inlet.isPaused) return
    const { budget, maxWindow } = this.session
    if (budget.isOver && this.windowBytes > YAMUX_INITIAL_WINDOW) {
      this.windowBytes = Math.max(YAMUX_INITIAL_WINDOW, this.heldBytes + this.recvWindow)
      this.setHeld(this.heldBytes)
    }
    const half = this.windowBytes / 2
    if (this.owedBytes < half) return
    const larger = Math.min(this.windowBytes * 2, maxWindow)
    if (
      this.isWindowShort() &&
      this.peakHeldBytes < half &&
      larger > this.windowBytes &&
      budget.allows(larger - this.windowBytes)
    ) {
      this.windowBytes = larger
      this.setHeld(this.heldBytes)
    }
    this.peakHeldBytes = this.heldBytes
    this.isGrantDue = true
    this.schedule()
  }

  /** Whether the peer may have had to wait for our grant: without a known round trip it is taken for true. */
  private isWindowShort(): boolean {
    const { roundTrip, options } = this.session
    if (roundTrip?.ms === undefined) return true
    const nowMs = options.nowMs()
    const elapsedMs = nowMs - this.grantedAtMs
    this.grantedAtMs = nowMs
    return elapsedMs < roundTrip.ms
  }

  private closeIfDone(): void {
    if (this.isClosed || !this.isFinSent || !this.inlet.endDelivered) return
    this.session.forget(this)
    this.close()
  }

  private finishClose(): void {
    this.isClosing = false
    this.loan = undefined
    this.inlet.close(this.closeError)
  }
}
