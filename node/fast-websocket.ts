import { asError, FrpError } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import { MAX_WEBSOCKET_MESSAGE_BYTES_BEFORE_LOGIN } from '../protocol/limits.ts'
import type { Link, StreamHandler } from '../protocol/stream/byte-stream.ts'
import { Inlet } from '../protocol/stream/inlet.ts'
import {
  applyMask,
  FrameHeader,
  MAX_CONTROL_BYTES,
  OPCODE_CLOSE,
  OPCODE_PING,
  OPCODE_PONG,
  OPCODE_TEXT,
} from '../protocol/websocket/frame.ts'
import {
  CLOSE_NORMAL,
  CLOSE_PROTOCOL_ERROR,
  CLOSE_RESET,
  CLOSE_TOO_LARGE,
  closeError,
  PingClock,
  type WebsocketLink,
  type WebsocketOptions,
} from './websocket-link.ts'
import { FrameSender } from './websocket-sender.ts'

/** After a close frame that says what the peer did wrong: it has this long to read it before the reset. */
const FAILURE_LINGER_MS = 1_000
/** After a clean end: a slow peer may still be reading, so the socket goes only when this long nothing came of it. */
const END_LINGER_MS = 5 * 60_000

/**
 * Our own RFC 6455 framing on a connection that was upgraded; payload is handed on as it arrives, in the memory it
 * was read into. `below` is taken over. Errors: WEBSOCKET_PROTOCOL, WEBSOCKET_TOO_LARGE, STREAM_RESET, STREAM_CUT,
 * TIMEOUT (pings), and those of `below`.
 */
export function fastWebsocket(below: Link, options: WebsocketOptions): WebsocketLink {
  return new FastWebsocket(below, options)
}

class FastWebsocket implements WebsocketLink, StreamHandler {
  readonly isOwnPeer: boolean
  maxMessageBytes: number
  onPong: (() => void) | undefined
  private readonly below: Link
  private readonly sender: FrameSender
  private readonly inlet = new Inlet(() => {
    this.isLent = false
  })
  private readonly header: FrameHeader
  private pings: PingClock | undefined
  private head: Uint8Array | undefined
  private isStarted = false

  /** Payload of the current data frame that is still to come, and how much of it came. */
  private payloadLeft = 0
  private payloadDone = 0
  private readonly control = new Uint8Array(MAX_CONTROL_BYTES)
  private controlLeft = 0
  private controlDone = 0

  /** Bytes that could not be handed on yet; a copy, ours. */
  private rest: Uint8Array | undefined
  /** The reader keeps a part of the chunk that came last. */
  private isLent = false
  private isParsing = false
  private isBelowPaused = false
  private isEnded = false
  private isPeerEnded = false
  /** A close frame came: nothing after it counts. */
  private isPeerClosed = false
  private lingering: NodeJS.Timeout | undefined

  constructor(below: Link, options: WebsocketOptions) {
    this.below = below
    this.isOwnPeer = options.isOwnPeer
    this.maxMessageBytes = options.maxMessageBytes ?? MAX_WEBSOCKET_MESSAGE_BYTES_BEFORE_LOGIN
    this.head = options.head
    this.header = new FrameHeader(options.role === 'server')
    const masking = options.role === 'server' ? 'none' : options.isOwnPeer ? 'zero' : 'random'
    this.sender = new FrameSender(below, masking, () => this.inlet.drained())
  }

  // --- what the user of the link calls

  write(chunk: Uint8Array, headRoom = 0): boolean {
    if (this.isEnded || this.inlet.isClosed || chunk.length === 0) return true
    return this.sender.write(chunk, headRoom)
  }

  end(): void {
    if (this.isEnded || this.inlet.isClosed) return
    this.isEnded = true
    if (this.isOwnPeer) this.sender.finish(OPCODE_TEXT, new Uint8Array(0), false)
    else this.sender.finish(OPCODE_CLOSE, closePayload(CLOSE_NORMAL), true)
    this.closeIfDone()
  }

  destroy(reason?: Error): void {
    if (this.inlet.isClosed) return
    this.close(reason ?? new FrpError('STREAM_ABORTED', 'WebSocket aborted by this side'))
    if (this.isOwnPeer) this.sender.finish(OPCODE_CLOSE, closePayload(CLOSE_RESET), false)
    this.sender.drop()
    this.below.destroy(reason)
  }

  pause(): void {
    this.inlet.pause()
    this.pauseBelow()
  }

  resume(): void {
    this.inlet.resume()
    this.goOn()
  }

  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.inlet.attach(handler, head)
    if (!this.isStarted) {
      this.isStarted = true
      const first = this.head
      this.head = undefined
      this.below.attach(this, first)
    }
    this.goOn()
  }

  cork(): void {
    this.sender.cork()
  }

  ping(): void {
    if ((!this.isEnded || this.isOwnPeer) && !this.inlet.isClosed) this.sender.sendPing()
  }

  startPings(intervalMs: number, timeoutMs: number, runtime: Pick<Runtime, 'after'>): void {
    this.pings?.stop()
    if (!this.inlet.isClosed) this.pings = new PingClock(this, intervalMs, timeoutMs, runtime)
  }

  get isHeld(): boolean {
    return !this.inlet.isOpen
  }

  // --- what the connection below calls

  onData(chunk: Uint8Array, headRoom: number): boolean {
    if (this.pings !== undefined) this.pings.hasHeard = true
    if (this.inlet.isClosed || this.isPeerClosed) return true
    const { offset, isTaken } = this.parse(chunk, headRoom)
    // Copied: the reader may later keep parts for good, and only now could we keep them from the source.
    if (offset < chunk.length) this.rest = chunk.slice(offset)
    if (!isTaken && this.isLent) return false
    if (isTaken || this.isBelowPaused) this.resumeBelow()
    if (!this.isFlowing()) this.pauseBelow()
    return !isTaken
  }

  onEnd(): void {
    if (this.inlet.isClosed) return
    if (this.isPeerEnded) this.closeIfDone()
    else this.cut(closeError(undefined))
  }

  onDrain(): void {
    this.sender.onDrain()
  }

  onClose(error?: Error): void {
    clearTimeout(this.lingering)
    if (this.inlet.isClosed) return
    // A stock peer closes at once after its close frame; what we sent meanwhile it answers with a reset.
    const isClean = this.isPeerEnded && this.isEnded
    if (!isClean) this.close(error ?? closeError(undefined))
    else this.closeIfDone()
  }

  // --- parsing

  private goOn(): void {
    if (this.isParsing) return
    const { rest } = this
    if (rest !== undefined && this.inlet.isOpen) {
      this.rest = undefined
      const { offset } = this.parse(rest, 0)
      // The memory is ours, so what was taken or lent of it needs no return.
      if (offset < rest.length) this.rest = rest.subarray(offset)
    }
    if (this.isFlowing()) this.resumeBelow()
    this.closeIfDone()
  }

  private isFlowing(): boolean {
    return this.inlet.isClosed || (this.inlet.isOpen && this.rest === undefined)
  }

  private pauseBelow(): void {
    this.isBelowPaused = true
    this.below.pause()
  }

  private resumeBelow(): void {
    this.isBelowPaused = false
    this.below.resume()
  }

  /** Hands on as much as the reader takes. `isTaken`: it keeps some of the memory for good. */
  private parse(chunk: Uint8Array, headRoom: number): { offset: number; isTaken: boolean } {
    const { header, inlet } = this
    let offset = 0
    // Where memory begins that the reader may use in front of the next payload.
    let roomFrom = -headRoom
    let isTaken = false
    this.isParsing = true
    while (offset < chunk.length && !inlet.isClosed && !this.isPeerClosed) {
      if (this.payloadLeft > 0) {
        if (!inlet.isOpen) break
        const size = Math.min(this.payloadLeft, chunk.length - offset)
        const part = size === chunk.length ? chunk : chunk.subarray(offset, offset + size)
        if (header.hasKey) applyMask(part, header.key, this.payloadDone)
        this.payloadLeft -= size
        this.payloadDone += size
        const room = offset - roomFrom
        offset += size
        if (inlet.push(part, room)) continue
        roomFrom = offset
        if (inlet.isLent) this.isLent = true
        else isTaken = true
      } else if (this.controlLeft > 0) {
        offset = this.readControl(chunk, offset)
      } else {
        offset = this.readHeader(chunk, offset)
      }
    }
    this.isParsing = false
    if (inlet.isClosed || this.isPeerClosed) offset = chunk.length
    return { offset, isTaken }
  }

  private readHeader(chunk: Uint8Array, offset: number): number {
    const { header } = this
    let behind: number
    try {
      behind = header.read(chunk, offset, this.maxMessageBytes)
    } catch (error) {
      this.fail(asError(error))
      return chunk.length
    }
    if (behind === -1) return chunk.length
    if (header.isControl) {
      this.controlLeft = header.length
      this.controlDone = 0
      if (header.length === 0) this.onControl()
      return behind
    }
    this.payloadLeft = header.length
    this.payloadDone = 0
    if (this.isPeerEnded) this.fail(new FrpError('WEBSOCKET_PROTOCOL', 'WebSocket frame: after the end of its stream'))
    else if (header.length === 0 && header.opcode === OPCODE_TEXT && this.isOwnPeer) this.peerEnded()
    return behind
  }

  private readControl(chunk: Uint8Array, offset: number): number {
    const part = chunk.subarray(offset, offset + this.controlLeft)
    if (this.header.hasKey) applyMask(part, this.header.key, this.controlDone)
    this.control.set(part, this.controlDone)
    this.controlDone += part.length
    this.controlLeft -= part.length
    if (this.controlLeft === 0) this.onControl()
    return offset + part.length
  }

  private onControl(): void {
    const payload = this.control.slice(0, this.header.length)
    if (this.header.opcode === OPCODE_PING) {
      if (!this.isEnded || this.isOwnPeer) this.sender.sendPong(payload)
    } else if (this.header.opcode === OPCODE_PONG) {
      this.onPong?.()
    } else if (this.header.opcode === OPCODE_CLOSE) {
      this.onCloseFrame(payload)
    }
  }

  private onCloseFrame(payload: Uint8Array): void {
    const code = payload.length >= 2 ? ((payload[0] as number) << 8) | (payload[1] as number) : undefined
    this.isPeerClosed = true
    if (code === CLOSE_NORMAL) {
      if (!this.isPeerEnded) this.peerEnded()
      return
    }
    this.cut(closeError(code))
  }

  private peerEnded(): void {
    this.isPeerEnded = true
    this.inlet.end()
    this.closeIfDone()
  }

  // --- the end

  private closeIfDone(): void {
    if (this.inlet.isClosed || !this.isEnded || !this.inlet.endDelivered) return
    if (this.isOwnPeer) this.sender.finish(OPCODE_CLOSE, closePayload(CLOSE_NORMAL), true)
    this.close()
    this.linger(END_LINGER_MS)
  }

  /** The peer broke a rule: it is told which, and gets a moment to read it. */
  private fail(error: Error): void {
    if (this.inlet.isClosed) return
    const isTooLarge = error instanceof FrpError && error.code === 'WEBSOCKET_TOO_LARGE'
    if (!this.isEnded || this.isOwnPeer) {
      this.sender.finish(OPCODE_CLOSE, closePayload(isTooLarge ? CLOSE_TOO_LARGE : CLOSE_PROTOCOL_ERROR), true)
    }
    this.close(error)
    this.linger(FAILURE_LINGER_MS)
  }

  private cut(error: Error): void {
    this.close(error)
    this.below.destroy()
  }

  private close(error?: Error): void {
    this.pings?.stop()
    this.rest = undefined
    this.inlet.close(error)
  }

  /** What still comes is dropped until the peer's end. */
  private linger(ms: number): void {
    this.resumeBelow()
    this.lingering = setTimeout(() => this.below.destroy(), ms).unref()
  }
}

function closePayload(code: number): Uint8Array {
  return new Uint8Array([code >>> 8, code & 0xff])
}
