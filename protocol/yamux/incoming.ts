import { FrpError } from '../../contract/errors.ts'
import { type Rate, RateLimit } from '../../contract/rate-limit.ts'
import { YAMUX_IDLE_FRAMES_BURST, YAMUX_IDLE_FRAMES_PER_SECOND, YAMUX_WINDOW_LIMIT } from '../limits.ts'
import { FLAG_FIN, FLAG_RST, FLAG_SYN, GO_AWAY_NORMAL, TYPE_GO_AWAY, TYPE_PING, TYPE_WINDOW_UPDATE } from './frame.ts'
import { FrameParser, type FrameSink } from './frame-parser.ts'
import type { Session } from './session.ts'
import type { SnapshotReader, SnapshotWriter } from './snapshot-bytes.ts'
import type { YamuxStream } from './stream.ts'

/** Frames that carry nothing, unless a session is told otherwise. */
const IDLE_FRAMES: Rate = { perSecond: YAMUX_IDLE_FRAMES_PER_SECOND, burst: YAMUX_IDLE_FRAMES_BURST }

/** The receiving half of a session: what the peer's frames do, and what they may not do (thrown as FrpError). */
export class Incoming implements FrameSink {
  /** The peer sent GoAway(0): it takes no more streams. */
  isPeerLeaving = false
  /** Pings of ours without an answer. */
  outstandingPings = 0
  private readonly session: Session
  private readonly parser = new FrameParser()
  private readonly idleFrames: RateLimit
  /** Of the Data frame that is being read: undefined if its stream is unknown. */
  private bodyStream: YamuxStream | undefined
  private bodyHasFin = false

  constructor(session: Session) {
    this.session = session
    this.idleFrames = new RateLimit(session.options.idleFrames ?? IDLE_FRAMES, session.options.nowMs())
  }

  get isClosed(): boolean {
    return this.session.isClosed
  }

  /** Between two frames. */
  get isAtBoundary(): boolean {
    return this.parser.isAtBoundary
  }

  /** Bytes of the link. True: nobody keeps a part of them. */
  push(chunk: Uint8Array, headRoom: number): boolean {
    return this.parser.push(chunk, headRoom, this)
  }

  onFrame(type: number, flags: number, id: number, length: number): void {
    if (type === TYPE_PING) this.onPing(flags, length)
    else if (type === TYPE_GO_AWAY) this.onGoAway(length)
    else this.onStreamFrame(type, flags, id, length)
  }

  onBody(slice: Uint8Array, headRoom: number): boolean {
    const stream = this.bodyStream
    return stream === undefined || stream.deliver(slice, headRoom)
  }

  onBodyEnd(): void {
    const stream = this.bodyStream
    this.bodyStream = undefined
    if (stream !== undefined && this.bodyHasFin && !stream.isClosed) this.peerEnded(stream)
  }

  private onPing(flags: number, id: number): void {
    if ((flags & FLAG_SYN) !== 0) {
      if (this.allow('pings')) this.session.outbox.pong(id)
    } else if (this.outstandingPings > 0) {
      this.outstandingPings -= 1
      this.session.roundTrip?.answered(id, this.session.options.nowMs())
      this.session.options.onPong?.(id)
    } else this.allow('answers to no ping')
  }

  private onGoAway(code: number): void {
    if (code !== GO_AWAY_NORMAL) throw new FrpError('YAMUX_GO_AWAY', `the peer ended the session, code ${code}`)
    if (this.isPeerLeaving) this.allow('repeated GoAways')
    this.isPeerLeaving = true
  }

  private onStreamFrame(type: number, flags: number, id: number, length: number): void {
    let stream = this.session.stream(id)
    this.bodyStream = undefined
    if ((flags & FLAG_SYN) !== 0) {
      if (stream !== undefined) throw new FrpError('YAMUX_DUPLICATE_STREAM', `SYN for stream ${id}, which is open`)
      stream = this.accept(id)
      if (stream === undefined) return
    } else if (stream === undefined) {
      this.allow('frames for unknown streams')
      return
    }
    const isAnswer = stream.isOurs && stream.isUnanswered
    if (isAnswer) this.session.backlog.answered(stream)
    if ((flags & FLAG_RST) !== 0) {
      this.peerReset(stream)
      return
    }
    if (type === TYPE_WINDOW_UPDATE) this.onWindowUpdate(stream, flags, length, isAnswer)
    else this.onDataHeader(stream, flags, length)
  }

  private onDataHeader(stream: YamuxStream, flags: number, length: number): void {
    if (length > stream.recvWindow) {
      const text = `stream ${stream.id}: Data of ${length} bytes, window ${stream.recvWindow}`
      throw new FrpError('YAMUX_WINDOW_EXCEEDED', text)
    }
    if (length === 0 && flags === 0) this.allow('empty Data frames')
    this.bodyHasFin = (flags & FLAG_FIN) !== 0
    if (!stream.isPeerEnded) this.bodyStream = stream
    // Go takes data after a FIN into a buffer that nobody may read any more; here it is not kept.
    else if (this.bodyHasFin) throw doubleFin(stream)
    else this.allow('Data after a FIN')
  }

  private onWindowUpdate(stream: YamuxStream, flags: number, delta: number, isAnswer: boolean): void {
    if (delta === 0 && !isAnswer && (flags & (FLAG_SYN | FLAG_FIN)) === 0) this.allow('empty window updates')
    if (stream.sendWindow + delta > YAMUX_WINDOW_LIMIT) {
      const text = `stream ${stream.id}: window ${stream.sendWindow} + ${delta}, at most ${YAMUX_WINDOW_LIMIT}`
      throw new FrpError('YAMUX_WINDOW_OVERFLOW', text)
    }
    if (delta > 0) stream.peerGranted(delta)
    if ((flags & FLAG_FIN) !== 0 && !stream.isClosed) this.peerEnded(stream)
  }

  private peerEnded(stream: YamuxStream): void {
    if (stream.isPeerEnded) throw doubleFin(stream)
    this.session.halfClosed.delete(stream)
    stream.peerEnded()
  }

  private peerReset(stream: YamuxStream): void {
    if (!stream.hasCarried) this.allow('streams that were reset unused')
    if (stream.isClosed) return
    this.session.forget(stream)
    stream.close(new FrpError('STREAM_RESET', `yamux stream ${stream.id} reset by the peer`))
  }

  /** A stream that the peer opens. Beyond the limits it is reset, as frp does beyond its backlog. */
  private accept(id: number): YamuxStream | undefined {
    const { onStream } = this.session.options
    const isFull = this.session.streamCount >= this.session.maxStreams || this.session.backlog.isFull
    if (onStream === undefined || isFull) {
      if (this.allow('streams beyond the limit')) this.session.sendReset(id)
      return undefined
    }
    const stream = this.session.add(id)
    this.session.backlog.incoming(stream)
    this.session.options.onStream?.(stream)
    return stream.isClosed ? undefined : stream
  }

  /** Counts a frame that carries nothing (reliability L6). */
  private allow(what: string): boolean {
    if (this.session.isClosed) return false
    if (this.idleFrames.take(this.session.options.nowMs())) return true
    throw new FrpError('YAMUX_FLOOD', `too many frames that carry nothing, the last were ${what}`)
  }

  /** The stream is gone; the rest of a frame for it is dropped. */
  forget(stream: YamuxStream): void {
    if (this.bodyStream === stream) this.bodyStream = undefined
  }

  /** The limit is not saved: who slept was quiet for longer than it takes to fill. */
  save(to: SnapshotWriter): void {
    to.uint((this.isPeerLeaving ? 1 : 0) + (this.bodyHasFin ? 2 : 0))
    to.uint(this.outstandingPings)
    to.uints(this.bodyStream === undefined ? [] : [this.bodyStream.id])
    this.parser.save(to)
  }

  load(from: SnapshotReader, streamOf: (id: number) => YamuxStream): void {
    const bits = from.uint()
    this.isPeerLeaving = (bits & 1) !== 0
    this.bodyHasFin = (bits & 2) !== 0
    this.outstandingPings = from.uint()
    this.bodyStream = from.uints().map(streamOf)[0]
    this.parser.load(from)
  }
}

function doubleFin(stream: YamuxStream): FrpError {
  return new FrpError('YAMUX_DOUBLE_FIN', `stream ${stream.id}: a second FIN`)
}
