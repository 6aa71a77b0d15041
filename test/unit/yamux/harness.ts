import { expect } from 'vitest'
import { codeOf } from '../../../contract/errors.ts'
import { type ByteStream, type Link, READ_ONLY, type StreamHandler } from '../../../protocol/stream/byte-stream.ts'
import {
  FLAG_SYN,
  HEADER_BYTES,
  header,
  readUint32,
  TYPE_DATA,
  TYPE_WINDOW_UPDATE,
} from '../../../protocol/yamux/frame.ts'
import { Session, type SessionOptions } from '../../../protocol/yamux/session.ts'
import type { YamuxStream } from '../../../protocol/yamux/stream.ts'

/** A link that records, and that uses every freedom the contract gives: what is its own again it overwrites. */
export class RecordingLink implements Link {
  /** Answers false to every write until `drain`. */
  isSlow = false
  isEnded = false
  destroyedBy: Error | undefined
  writes = 0
  private sent: Uint8Array[] = []
  private handler: StreamHandler | undefined
  private lent: { chunk: Uint8Array; copy: Uint8Array } | undefined
  private wasResumed = false

  write(chunk: Uint8Array, headRoom = 0): boolean {
    if (this.destroyedBy !== undefined || this.isEnded) return true
    expect(this.lent, 'a write while the last chunk is on loan').toBe(undefined)
    this.writes += 1
    const copy = chunk.slice()
    this.sent.push(copy)
    if (this.isSlow) {
      this.lent = { chunk, copy }
      return false
    }
    scribble(chunk, headRoom)
    return true
  }

  /** Gives back what is on loan, which nobody may have changed. */
  drain(): void {
    const { lent } = this
    if (lent === undefined) return
    expect(lent.chunk).toEqual(lent.copy)
    this.lent = undefined
    scribble(lent.chunk, 0)
    this.handler?.onDrain()
  }

  get isLending(): boolean {
    return this.lent !== undefined
  }

  /** Bytes from the peer. */
  feed(bytes: Uint8Array, headRoom = 0): void {
    const memory = new Uint8Array(headRoom + bytes.length)
    memory.set(bytes, headRoom)
    this.wasResumed = false
    const isFree = this.handler?.onData(memory.subarray(headRoom), headRoom) ?? true
    if (isFree) memory.fill(0xee)
    else expect(this.wasResumed, 'a demultiplexer never stops its link').toBe(true)
  }

  feedEnd(): void {
    this.handler?.onEnd()
  }

  /** What was written since the last call. */
  take(): Uint8Array {
    const bytes = concat(this.sent)
    this.sent = []
    return bytes
  }

  takeHex(): string {
    return hex(this.take())
  }

  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.handler = handler
    if (head !== undefined) this.feed(head)
  }

  end(): void {
    this.isEnded = true
  }

  destroy(reason?: Error): void {
    if (this.destroyedBy !== undefined) return
    this.destroyedBy = reason ?? new Error('destroyed')
    this.lent = undefined
    this.handler?.onClose(this.destroyedBy)
  }

  pause(): void {
    throw new Error('a demultiplexer never pauses its link')
  }

  resume(): void {
    this.wasResumed = true
  }

  cork(): void {
    // Every write is recorded at once.
  }
}

/** `use` answers true; `keep` false, until `release`; `take` keeps the memory for good. */
export type Mode = 'use' | 'keep' | 'take'

export class Reader implements StreamHandler {
  mode: Mode
  readonly events: string[] = []
  error: Error | undefined
  readonly rooms: number[] = []
  private readonly parts: Uint8Array[] = []
  stream: ByteStream
  onChunk: (() => void) | undefined
  /** For those who write: a write answered false and its onDrain has not come. */
  isLending = false

  constructor(stream: ByteStream, mode: Mode = 'use') {
    this.stream = stream
    this.mode = mode
  }

  /** Attached. */
  static of(stream: ByteStream, mode: Mode = 'use'): Reader {
    const reader = new Reader(stream, mode)
    stream.attach(reader)
    return reader
  }

  onData(chunk: Uint8Array, headRoom: number): boolean {
    this.rooms.push(headRoom)
    if (this.mode === 'use') {
      this.parts.push(chunk.slice())
      scribble(chunk, headRoom)
      this.onChunk?.()
      return true
    }
    // Not copied: what we keep, the source must leave alone.
    this.parts.push(chunk)
    scribbleBefore(chunk, headRoom)
    this.onChunk?.()
    if (this.mode === 'take') this.stream.resume()
    return false
  }

  onEnd(): void {
    this.events.push('end')
  }

  onDrain(): void {
    this.isLending = false
    this.events.push('drain')
  }

  onClose(error?: Error): void {
    this.error = error
    this.events.push(error === undefined ? 'close' : `close ${codeOf(error) ?? error.message}`)
  }

  get bytes(): Uint8Array {
    return concat(this.parts)
  }

  get text(): string {
    return new TextDecoder().decode(this.bytes)
  }
}

/** A session over a recording link, with the streams that its peer opened. */
export class Side {
  readonly link: RecordingLink
  session: Session
  readonly accepted: YamuxStream[] = []
  readonly readers: Reader[] = []
  readonly pongs: number[] = []
  readonly closes: (string | undefined)[] = []
  nowMs = 0

  constructor(options: Partial<SessionOptions> = {}, mode: Mode = 'use') {
    this.link = new RecordingLink()
    this.session = new Session(this.link, {
      role: 'server',
      nowMs: () => this.nowMs,
      onStream: (stream) => {
        this.accepted.push(stream)
        this.readers.push(Reader.of(stream, mode))
      },
      onPong: (id) => this.pongs.push(id),
      onClose: (error) => this.closes.push(error === undefined ? undefined : (codeOf(error) ?? error.message)),
      ...options,
    })
    this.session.start()
  }

  /** Sleeps and wakes: the session is another one, its readers go on. */
  restore(): void {
    const bytes = this.session.snapshot()
    this.session = Session.restore(this.link, this.session.options, bytes)
    for (const [index, old] of this.accepted.entries()) {
      const stream = this.session.stream(old.id)
      const reader = this.readers[index]
      if (stream === undefined || reader === undefined || old.isClosed) continue
      this.accepted[index] = stream
      reader.stream = stream
      stream.attach(reader)
    }
    this.session.start()
  }

  /** Feeds frames as one chunk. */
  feed(...frames: Uint8Array[]): void {
    this.link.feed(concat(frames))
  }

  /** The peer opens a stream; our answer is taken away. */
  accept(id: number, windowBytes = 0): { stream: YamuxStream; reader: Reader } {
    this.feed(header(TYPE_WINDOW_UPDATE, FLAG_SYN, id, windowBytes))
    this.link.take()
    const stream = this.accepted.at(-1)
    const reader = this.readers.at(-1)
    if (stream === undefined || reader === undefined) throw new Error('no stream was accepted')
    return { stream, reader }
  }

  frames(): Frame[] {
    return framesOf(this.link.take())
  }
}

export interface Frame {
  type: number
  flags: number
  id: number
  length: number
  body: Uint8Array
}

/** A naive parser: the oracle beside the streaming one. */
export function framesOf(bytes: Uint8Array): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at < bytes.length; ) {
    const type = bytes[at + 1] as number
    const flags = (bytes[at + 2] as number) * 256 + (bytes[at + 3] as number)
    const length = readUint32(bytes, at + 8)
    const bodyLength = type === TYPE_DATA ? length : 0
    const body = bytes.slice(at + HEADER_BYTES, at + HEADER_BYTES + bodyLength)
    expect(body.length).toBe(bodyLength)
    frames.push({ type, flags, id: readUint32(bytes, at + 4), length, body })
    at += HEADER_BYTES + bodyLength
  }
  return frames
}

export function data(id: number, body: Uint8Array | string, flags = 0): Uint8Array {
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body
  return concat([header(TYPE_DATA, flags, id, bytes.length), bytes])
}

/** Bytes that tell where they belong. */
export function pattern(length: number, seed = 0): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) + seed) & 0xff
  return bytes
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let filled = 0
  for (const part of parts) {
    out.set(part, filled)
    filled += part.length
  }
  return out
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

export function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}

function scribble(chunk: Uint8Array, headRoom: number): void {
  if (headRoom === READ_ONLY) return
  chunk.fill(0xee)
  scribbleBefore(chunk, headRoom)
}

function scribbleBefore(chunk: Uint8Array, headRoom: number): void {
  if (headRoom > 0) new Uint8Array(chunk.buffer, chunk.byteOffset - headRoom, headRoom).fill(0xdd)
}
