import { randomFillSync } from 'node:crypto'
import { HEAD_ROOM, SMALL_WRITE } from '../protocol/limits.ts'
import type { Link } from '../protocol/stream/byte-stream.ts'
import {
  applyMask,
  headerBytes,
  OPCODE_BINARY,
  OPCODE_PING,
  OPCODE_PONG,
  putHeader,
} from '../protocol/websocket/frame.ts'
import { Batch } from './batch.ts'
import { giveBuffer, levelFor, takeBuffer } from './read-buffer.ts'

/** Small writes that are gathered while the carrier is busy: then the writer has to wait. */
const MAX_GATHERED_WHILE_BUSY = 16 * 1024
const ZERO_KEY = new Uint8Array(4)
const NOTHING = new Uint8Array(0)

/** Who masks, and how: nobody (a server), with zeros (our own client to our own relay), or at random. */
export type Masking = 'none' | 'zero' | 'random'

/** The sending half of a WebSocket: one frame per write, small writes of a turn in one frame, control frames between. */
export class FrameSender {
  private readonly below: Link
  private readonly masking: Masking
  private readonly drained: () => void
  private readonly batch = new Batch()
  private isCorked = false
  /** `below` has a frame on loan. */
  private isBusy = false
  /** A write that came while `below` was busy. */
  private held: { chunk: Uint8Array; headRoom: number } | undefined
  /** The last write answered `false`. */
  private isOwed = false
  private copyInFlight: Uint8Array | undefined
  private pong: Uint8Array | undefined
  private isPingDue = false
  private readonly tails: { frame: Uint8Array; endsBelow: boolean }[] = []
  private isDropped = false

  /** `drained` is called once for each write that answered `false`. */
  constructor(below: Link, masking: Masking, drained: () => void) {
    this.below = below
    this.masking = masking
    this.drained = drained
  }

  /** As ByteStream.write. */
  write(chunk: Uint8Array, headRoom: number): boolean {
    if (this.isCorked && chunk.length <= SMALL_WRITE && this.gather(chunk)) {
      if (!this.isBusy || this.batch.length < MAX_GATHERED_WHILE_BUSY) return true
      this.isOwed = true
      return false
    }
    this.flush()
    if (this.isBusy) {
      this.held = { chunk, headRoom }
      this.isOwed = true
      return false
    }
    if (this.sendFrame(chunk, headRoom)) return true
    this.isOwed = true
    return false
  }

  /** Writes up to SMALL_WRITE bytes are one frame until the end of this turn. */
  cork(): void {
    if (this.isCorked) return
    this.isCorked = true
    setImmediate(this.uncork)
  }

  /** Sends a ping with no payload, as soon as a frame may go. */
  sendPing(): void {
    this.isPingDue = true
    if (!this.isBusy) this.sendControl()
  }

  /** Answers a ping; of several only the last, as RFC 6455 section 5.5.3 allows. */
  sendPong(payload: Uint8Array): void {
    this.pong = payload
    if (!this.isBusy) this.sendControl()
  }

  /** A last frame behind everything written, and then the end of `below` if `endsBelow`. */
  finish(opcode: number, payload: Uint8Array, endsBelow: boolean): void {
    this.tails.push({ frame: this.controlFrame(opcode, payload), endsBelow })
    if (!this.isBusy) this.pump()
  }

  /** Nothing more is sent, what waits is dropped. */
  drop(): void {
    this.isDropped = true
    this.held = undefined
    this.tails.length = 0
  }

  /** `below` has sent what it had on loan. */
  onDrain(): void {
    this.isBusy = false
    this.batch.allSent()
    if (this.copyInFlight !== undefined) giveBuffer(this.copyInFlight)
    this.copyInFlight = undefined
    this.pump()
  }

  private readonly uncork = () => {
    this.isCorked = false
    this.flush()
  }

  private pump(): void {
    if (this.isDropped) return
    this.sendControl()
    this.flush()
    const { held } = this
    if (this.isBusy) return
    if (held !== undefined) {
      this.held = undefined
      if (!this.sendFrame(held.chunk, held.headRoom)) return
    }
    if (this.isOwed) {
      this.isOwed = false
      this.drained()
    }
    while (!this.isBusy && this.batch.length === 0 && this.held === undefined) {
      const tail = this.tails.shift()
      if (tail === undefined) return
      this.isBusy = !this.below.write(tail.frame)
      if (tail.endsBelow) this.below.end()
    }
  }

  private gather(chunk: Uint8Array): boolean {
    if (!this.batch.fits(chunk.length)) this.flush()
    if (!this.batch.fits(chunk.length)) return false
    this.batch.append(chunk)
    return true
  }

  private flush(): void {
    if (this.isBusy || this.isDropped || this.batch.length === 0) return
    this.isBusy = !this.sendInRoom(this.batch.take(), HEAD_ROOM)
    if (!this.isBusy) this.batch.allSent()
  }

  /** `true`: the memory of `chunk` is the caller's again. */
  private sendFrame(chunk: Uint8Array, headRoom: number): boolean {
    if (headRoom >= headerBytes(chunk.length, this.masking !== 'none')) {
      this.isBusy = !this.sendInRoom(chunk, headRoom)
      return !this.isBusy
    }
    const level = levelFor(chunk.length)
    const buffer = level === undefined ? undefined : takeBuffer(level)
    const memory = buffer ?? new Uint8Array(HEAD_ROOM + chunk.length).subarray(HEAD_ROOM)
    memory.set(chunk)
    this.isBusy = !this.sendInRoom(memory.subarray(0, chunk.length), HEAD_ROOM)
    if (this.isBusy) this.copyInFlight = buffer
    else if (buffer !== undefined) giveBuffer(buffer)
    return true
  }

  /** Header and mask go where the bytes are: one piece of memory, one write. */
  private sendInRoom(chunk: Uint8Array, headRoom: number): boolean {
    const { length } = chunk
    const key = this.nextKey()
    const header = headerBytes(length, key !== undefined)
    const frame = new Uint8Array(chunk.buffer, chunk.byteOffset - header, header + length)
    putHeader(frame, 0, OPCODE_BINARY, length, key)
    if (this.masking === 'random' && key !== undefined) applyMask(chunk, key, 0)
    return this.below.write(frame, headRoom - header)
  }

  private sendControl(): void {
    if (this.isDropped) return
    const { pong } = this
    if (pong !== undefined) {
      this.pong = undefined
      this.isBusy = !this.below.write(this.controlFrame(OPCODE_PONG, pong))
    }
    if (this.isPingDue && !this.isBusy) {
      this.isPingDue = false
      this.isBusy = !this.below.write(this.controlFrame(OPCODE_PING, NOTHING))
    }
  }

  private controlFrame(opcode: number, payload: Uint8Array): Uint8Array {
    const key = this.nextKey()
    const header = headerBytes(payload.length, key !== undefined)
    const frame = new Uint8Array(header + payload.length)
    putHeader(frame, 0, opcode, payload.length, key)
    frame.set(payload, header)
    if (key !== undefined) applyMask(frame.subarray(header), key, 0)
    return frame
  }

  private nextKey(): Uint8Array | undefined {
    if (this.masking === 'none') return undefined
    return this.masking === 'zero' ? ZERO_KEY : randomKey()
  }
}

/** Keys are drawn in bulk: a call for four bytes costs as much as one for thousands. */
const keys = new Uint8Array(4 * 1024)
let nextKeyAt = keys.length

function randomKey(): Uint8Array {
  if (nextKeyAt === keys.length) {
    randomFillSync(keys)
    nextKeyAt = 0
  }
  nextKeyAt += 4
  return keys.subarray(nextKeyAt - 4, nextKeyAt)
}
