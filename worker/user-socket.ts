import { FrpError } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import { HEAD_ROOM, MAX_WEBSOCKET_MESSAGE_BYTES } from '../protocol/limits.ts'
import type { ByteStream, StreamHandler } from '../protocol/stream/byte-stream.ts'
import { Inlet } from '../protocol/stream/inlet.ts'
import {
  FrameHeader,
  headerBytes,
  OPCODE_BINARY,
  OPCODE_CLOSE,
  OPCODE_CONTINUATION,
  OPCODE_PING,
  OPCODE_PONG,
  OPCODE_TEXT,
  putHeader,
} from '../protocol/websocket/frame.ts'
import type { MemoryBudget } from '../protocol/yamux/memory-budget.ts'
import { reasonText } from './sockets.ts'

/** What may wait for a service that does not read: nothing holds a user's WebSocket back. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024
/** What may wait for a user who does not read, and how often that is looked at: the platform tells nobody. */
const MAX_UNSENT_BYTES = 256 * 1024
const UNSENT_LOOK_MS = 50
/** Close codes that an endpoint may not send (RFC 6455 7.4.1). */
const UNSENDABLE = new Set([1005, 1006, 1015])
/** A service behind the tunnel is no browser's script: masking protects nothing there, and zeros cost nothing. */
const ZERO_KEY = new Uint8Array(4)

/**
 * A user's WebSocket as the bytes that its service speaks: what the user sends becomes masked frames, and frames
 * of the service become messages. So it can be joined to a work connection like any other stream, and sleep.
 */
export class UserSocket implements ByteStream {
  /** Its tag, by which it is found after sleep. */
  readonly name: string
  private readonly socket: WebSocket
  private readonly runtime: Runtime
  private readonly budget: MemoryBudget
  private readonly inlet = new Inlet((bytes) => this.charge(-bytes))
  /** Bytes of the user that wait here or at the service's stream. */
  private waitingBytes = 0
  private isUnsent = false
  private readonly header = new FrameHeader(false)
  private payloadLeft = -1
  private parts: Uint8Array[] = []
  private partBytes = 0
  private messageOpcode = OPCODE_BINARY
  private control: Uint8Array | undefined
  private isPeerClosed = false
  private isEnded = false

  constructor(socket: WebSocket, name: string, runtime: Runtime, budget: MemoryBudget) {
    this.socket = socket
    this.runtime = runtime
    this.budget = budget
    this.name = name
  }

  /** Nothing but the socket itself has to be kept: no half frame of the service, no byte of the user, no goodbye. */
  get isSavable(): boolean {
    if (this.isEnded || this.isPeerClosed || this.isUnsent || this.payloadLeft >= 0 || this.parts.length > 0)
      return false
    const { waiting, isKeeping, paused, ended } = this.inlet.save()
    return this.header.isAtStart && waiting.length === 0 && !isKeeping && !paused && !ended
  }

  // --- from the user

  receive(message: string | ArrayBuffer): void {
    if (typeof message === 'string') this.pushFrame(OPCODE_TEXT, new TextEncoder().encode(message))
    else this.pushFrame(OPCODE_BINARY, new Uint8Array(message))
  }

  /** The user said goodbye; the service answers with its own close frame or its FIN. */
  userClosed(code: number, reason: string): void {
    if (this.inlet.isClosed) return
    this.isPeerClosed = true
    const text = new TextEncoder().encode(reasonText(reason))
    const isBare = UNSENDABLE.has(code)
    const payload = new Uint8Array(isBare ? 0 : 2 + text.length)
    if (!isBare) {
      payload[0] = code >>> 8
      payload[1] = code
      payload.set(text, 2)
    }
    this.pushFrame(OPCODE_CLOSE, payload)
    this.inlet.end()
    this.closeIfDone()
  }

  /** The user is gone without a word. */
  userLost(error: Error): void {
    this.close(error)
  }

  // --- from the service

  write(chunk: Uint8Array): boolean {
    if (this.isEnded || this.inlet.isClosed) return true
    try {
      this.parse(chunk)
    } catch (error) {
      if (!(error instanceof FrpError)) throw error
      this.destroy(error)
    }
    // It was copied; false only asks to wait.
    if (unsentBytes(this.socket) <= MAX_UNSENT_BYTES || this.inlet.isClosed) return true
    this.isUnsent = true
    this.watchUnsent()
    return false
  }

  /** The service's FIN without a close frame: the connection below was lost, which WebSocket calls 1006. */
  end(): void {
    if (this.isEnded) return
    this.isEnded = true
    if (!this.isPeerClosed) this.socket.close(1011, 'the service closed the connection')
    this.closeIfDone()
  }

  destroy(reason?: Error, code = 1011): void {
    if (this.inlet.isClosed) return
    this.isEnded = true
    if (!this.isPeerClosed) this.socket.close(code, reasonText(reason?.message ?? 'the connection broke'))
    this.close(reason ?? new FrpError('STREAM_ABORTED', 'WebSocket aborted by this side'))
  }

  pause(): void {
    this.inlet.pause()
  }

  resume(): void {
    this.inlet.resume()
    this.closeIfDone()
  }

  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.inlet.attach(handler, head)
    this.closeIfDone()
  }

  private pushFrame(opcode: number, payload: Uint8Array): void {
    const header = headerBytes(payload.length, true)
    const memory = new Uint8Array(HEAD_ROOM + header + payload.length)
    putHeader(memory, HEAD_ROOM, opcode, payload.length, ZERO_KEY)
    memory.set(payload, HEAD_ROOM + header)
    const isTaken = this.inlet.push(memory.subarray(HEAD_ROOM), HEAD_ROOM)
    if (!isTaken && this.inlet.isLent) this.charge(memory.length - HEAD_ROOM)
    if (this.waitingBytes <= MAX_WAITING_BYTES && !this.budget.isOver) return
    this.destroy(new FrpError('LIMIT', `${this.waitingBytes} bytes wait for a service that does not read`), 1013)
  }

  private charge(bytes: number): void {
    this.waitingBytes += bytes
    this.budget.used += bytes
  }

  /** Nobody reads any more: what waited is gone. */
  private close(error?: Error): void {
    this.inlet.close(error)
    this.charge(-this.waitingBytes)
  }

  /** Looks again and again whether the user has read on. */
  private watchUnsent(): void {
    this.runtime.after(UNSENT_LOOK_MS, () => {
      if (this.inlet.isClosed) return
      if (unsentBytes(this.socket) > MAX_UNSENT_BYTES) {
        this.watchUnsent()
        return
      }
      this.isUnsent = false
      this.inlet.drained()
    })
  }

  private parse(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) {
      if (this.payloadLeft < 0) {
        const next = this.header.read(chunk, at, MAX_WEBSOCKET_MESSAGE_BYTES)
        if (next < 0) return
        at = next
        this.startFrame()
        if (this.payloadLeft < 0) continue
      }
      const part = chunk.subarray(at, Math.min(chunk.length, at + this.payloadLeft))
      at += part.length
      this.payloadLeft -= part.length
      // A copy: the memory is the source's again.
      if (part.length > 0) this.parts.push(part.slice())
      this.partBytes += part.length
      if (this.payloadLeft === 0) this.endFrame()
    }
  }

  private startFrame(): void {
    const { header } = this
    this.payloadLeft = header.length
    if (header.isControl) {
      // A control frame may come between the fragments of a message.
      this.control = joined(this.parts, this.partBytes)
      this.parts = []
      this.partBytes = 0
    } else if (header.opcode !== OPCODE_CONTINUATION) this.messageOpcode = header.opcode
    if (this.payloadLeft === 0) this.endFrame()
  }

  private endFrame(): void {
    const { header } = this
    this.payloadLeft = -1
    const payload = joined(this.parts, this.partBytes)
    if (header.isControl) {
      const before = this.control ?? new Uint8Array(0)
      this.control = undefined
      this.parts = before.length > 0 ? [before] : []
      this.partBytes = before.length
      this.onControl(header.opcode, payload)
      return
    }
    if (!header.isFinal) return
    this.parts = []
    this.partBytes = 0
    this.socket.send(this.messageOpcode === OPCODE_TEXT ? new TextDecoder().decode(payload) : payload)
  }

  private onControl(opcode: number, payload: Uint8Array): void {
    if (opcode === OPCODE_PING) this.pushFrame(OPCODE_PONG, payload)
    if (opcode !== OPCODE_CLOSE || this.isEnded) return
    this.isEnded = true
    const code = payload.length >= 2 ? ((payload[0] ?? 0) << 8) | (payload[1] ?? 0) : 1005
    const reason = new TextDecoder().decode(payload.subarray(2))
    if (UNSENDABLE.has(code)) this.socket.close()
    else this.socket.close(code, reason)
    if (!this.isPeerClosed) this.pushFrame(OPCODE_CLOSE, payload.subarray(0, 2))
    this.inlet.end()
    this.closeIfDone()
  }

  private closeIfDone(): void {
    if (this.isEnded && this.inlet.endDelivered) this.close()
  }
}

/** Bytes of `send` that have not left; 0 where the runtime does not tell. */
function unsentBytes(socket: WebSocket): number {
  const { bufferedAmount } = socket as { bufferedAmount?: number } // newer than the types
  return bufferedAmount ?? 0
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
