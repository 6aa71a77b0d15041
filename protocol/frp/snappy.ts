import { FrpError } from '../../contract/errors.ts'
import { HEAD_ROOM } from '../limits.ts'
import type { ByteStream } from '../stream/byte-stream.ts'
import { type Fate, StreamWrapper } from '../stream/wrapper.ts'
import { maskedCrc32c } from './crc32c.ts'
import { compressBlock, decompressBlock, MAX_BLOCK_BYTES, MAX_COMPRESSED_BYTES } from './snappy-block.ts'

const COMPRESSED = 0x00
const UNCOMPRESSED = 0x01
const FIRST_SKIPPABLE = 0x80
const STREAM_IDENTIFIER = 0xff
const IDENTIFIER = Uint8Array.of(0xff, 6, 0, 0, 0x73, 0x4e, 0x61, 0x50, 0x70, 0x59)

/** Type and length of a chunk. */
const HEAD_BYTES = 4
const CRC_BYTES = 4
/** golang/snappy refuses a longer chunk of any type: its buffer is that long. */
const MAX_CHUNK_BYTES = MAX_COMPRESSED_BYTES + CRC_BYTES

/** Room for one chunk, compressed or not. */
const BUFFER_BYTES = HEAD_ROOM + IDENTIFIER.length + HEAD_BYTES + MAX_CHUNK_BYTES
/** A buffer that nobody uses: one is enough, as work on a chunk is synchronous unless a reader keeps it. */
let spare: Uint8Array | undefined

function takeBuffer(): Uint8Array {
  const buffer = spare ?? new Uint8Array(BUFFER_BYTES)
  spare = undefined
  return buffer
}

/** The snappy framing format both ways over `stream`, as golang/snappy writes and reads it. */
export function compress(stream: ByteStream): SnappyStream {
  return new SnappyStream(stream)
}

const SNAPSHOT_VERSION = 1
const WRITING = 1
const IDENTIFIED = 2
const ENDED = 4
const REST = 8
/** Where the bits of the reading side begin. */
const READING_SHIFT = 4

export class SnappyStream extends StreamWrapper {
  private isWriting = false
  private isEnding = false
  private isEnded = false
  private isIdentified = false
  /** A write of which only a part was compressed and sent. */
  private outgoing: Uint8Array | undefined
  /** The first bytes of a chunk that is not complete. */
  private partial = new Uint8Array(0)
  private partialLength = 0
  /** What follows in the inner stream's chunk, while the reader has a piece. */
  private rest: Uint8Array | undefined
  /** The buffer of the piece that the reader has, or that is on loan below. */
  private readerBuffer: Uint8Array | undefined
  private writerBuffer: Uint8Array | undefined

  override get isSavable(): boolean {
    return super.isSavable && this.outgoing === undefined
  }

  /**
   * The state, with the partial chunk: mostly a few bytes, at most 75 KiB; while the reader keeps a piece, with
   * what follows it. Take it when `isSavable`.
   */
  snapshot(): Uint8Array {
    // While there is a rest no chunk is partial.
    const waiting = this.rest ?? this.partial.subarray(0, this.partialLength)
    const bytes = new Uint8Array(2 + waiting.length)
    const flags =
      (this.isWriting ? WRITING : 0) |
      (this.isIdentified ? IDENTIFIED : 0) |
      (this.isEnding ? ENDED : 0) |
      (this.rest === undefined ? 0 : REST)
    bytes[0] = SNAPSHOT_VERSION
    bytes[1] = flags | (this.saveReading() << READING_SHIFT)
    bytes.set(waiting, 2)
    return bytes
  }

  /** Goes on from a snapshot, over the stream that carries on; before `attach`. */
  static restore(inner: ByteStream, bytes: Uint8Array): SnappyStream {
    const flags = bytes[1]
    const isRest = ((flags ?? 0) & REST) !== 0
    const isTooLong = !isRest && bytes.length > 2 + HEAD_BYTES + MAX_CHUNK_BYTES
    if (bytes[0] !== SNAPSHOT_VERSION || flags === undefined || isTooLong) {
      throw new RangeError(`snapshot of a compressed stream: version ${bytes[0]}, ${bytes.length} bytes`)
    }
    const stream = new SnappyStream(inner)
    stream.isWriting = (flags & WRITING) !== 0
    stream.isIdentified = (flags & IDENTIFIED) !== 0
    stream.isEnding = (flags & ENDED) !== 0
    stream.isEnded = stream.isEnding
    stream.loadReading(flags >> READING_SHIFT)
    if (isRest) stream.rest = bytes.slice(2)
    else stream.partial = bytes.slice(2)
    stream.partialLength = stream.partial.length
    return stream
  }

  override write(chunk: Uint8Array): boolean {
    if (this.isEnding || this.inlet.isClosed || chunk.length === 0) return true
    this.outgoing = chunk
    return this.sendOn()
  }

  override end(): void {
    this.isEnding = true
    this.endInner()
  }

  override onDrain(): void {
    spare ??= this.writerBuffer
    this.writerBuffer = undefined
    if (this.sendOn()) this.inlet.drained()
  }

  override onEnd(): void {
    if (this.partialLength === 0) super.onEnd()
    else this.fail(new FrpError('SNAPPY_CORRUPT', `the stream ended after ${this.partialLength} bytes of a chunk`))
  }

  override onClose(error?: Error): void {
    this.outgoing = undefined
    this.rest = undefined
    super.onClose(error)
  }

  protected override receive(chunk: Uint8Array): Fate {
    return this.readChunks(chunk) ? 'used' : 'kept'
  }

  protected override released(isTaken = false): void {
    if (!isTaken) spare ??= this.readerBuffer
    this.readerBuffer = undefined
    const { rest } = this
    this.rest = undefined
    if (rest === undefined || this.readChunks(rest)) this.readOn()
  }

  protected override mayReadOn(): boolean {
    return this.rest === undefined && this.inlet.isOpen
  }

  /** Compresses and sends what is left of a write; `true` when all of it is sent. */
  private sendOn(): boolean {
    for (let out = this.outgoing; out !== undefined; out = this.outgoing) {
      const block = out.subarray(0, MAX_BLOCK_BYTES)
      this.outgoing = block.length < out.length ? out.subarray(MAX_BLOCK_BYTES) : undefined
      const buffer = takeBuffer()
      const isFree = this.inner.write(this.chunkOf(block, buffer), HEAD_ROOM)
      this.endInner()
      if (!isFree) {
        this.writerBuffer = buffer
        return false
      }
      spare ??= buffer
    }
    return true
  }

  private endInner(): void {
    if (!this.isEnding || this.isEnded || this.outgoing !== undefined) return
    this.isEnded = true
    this.inner.end()
  }

  private chunkOf(block: Uint8Array, buffer: Uint8Array): Uint8Array {
    let at = HEAD_ROOM
    if (!this.isWriting) {
      this.isWriting = true
      buffer.set(IDENTIFIER, at)
      at += IDENTIFIER.length
    }
    const body = at + HEAD_BYTES + CRC_BYTES
    let end = compressBlock(block, buffer, body)
    // golang/snappy: an eighth must be saved, else the receiver's work is not worth it.
    const isWorthIt = end - body < block.length - (block.length >> 3)
    if (!isWorthIt) {
      buffer.set(block, body)
      end = body + block.length
    }
    const length = end - body + CRC_BYTES
    buffer[at] = isWorthIt ? COMPRESSED : UNCOMPRESSED
    buffer[at + 1] = length
    buffer[at + 2] = length >> 8
    buffer[at + 3] = length >> 16
    putUint32(buffer, at + HEAD_BYTES, maskedCrc32c(block))
    return buffer.subarray(HEAD_ROOM, end)
  }

  /** Reads the chunks in `bytes`. `false`: the reader keeps a piece, and `rest` is what follows it. */
  private readChunks(bytes: Uint8Array): boolean {
    let at = 0
    try {
      while (at < bytes.length && !this.inlet.isClosed) {
        let chunk = this.partialLength > 0 ? this.partial.subarray(0, this.partialLength) : bytes.subarray(at)
        const missing = this.missing(chunk)
        if (missing > 0) {
          // A chunk that is cut waits as a copy, which is given no more than it needs.
          const count = this.partialLength > 0 ? Math.min(missing, bytes.length - at) : chunk.length
          this.keep(bytes.subarray(at, at + count))
          at += count
          chunk = this.partial.subarray(0, this.partialLength)
          if (this.missing(chunk) > 0) continue
        }
        const length = HEAD_BYTES + chunkLength(chunk)
        if (this.partialLength === 0) at += length
        this.partialLength = 0
        if (!this.readChunk(chunk[0] as number, chunk.subarray(HEAD_BYTES, length))) {
          this.rest = at < bytes.length ? bytes.subarray(at) : undefined
          return false
        }
      }
    } catch (error) {
      if (!(error instanceof FrpError)) throw error
      this.fail(error)
    }
    return true
  }

  /** How many more bytes must come before one can go on with the chunk that `bytes` starts; 0: it is complete. */
  private missing(bytes: Uint8Array): number {
    const type = bytes[0]
    if (type === undefined || bytes.length < HEAD_BYTES) return HEAD_BYTES - bytes.length
    const length = chunkLength(bytes)
    checkChunk(type, length, this.isIdentified)
    return Math.max(0, HEAD_BYTES + length - bytes.length)
  }

  /** Copies bytes of a chunk that is cut; the buffer grows with what came. */
  private keep(bytes: Uint8Array): void {
    const needed = this.partialLength + bytes.length
    if (needed > this.partial.length) {
      const grown = new Uint8Array(Math.min(HEAD_BYTES + MAX_CHUNK_BYTES, Math.max(needed, 2 * this.partial.length)))
      grown.set(this.partial.subarray(0, this.partialLength))
      this.partial = grown
    }
    this.partial.set(bytes, this.partialLength)
    this.partialLength = needed
  }

  /** `false`: the reader keeps the piece. */
  private readChunk(type: number, body: Uint8Array): boolean {
    if (type === STREAM_IDENTIFIER) {
      if (!body.every((byte, i) => byte === IDENTIFIER[HEAD_BYTES + i])) throw corrupt('a wrong stream identifier')
      this.isIdentified = true
      return true
    }
    if (type >= FIRST_SKIPPABLE) return true
    const buffer = takeBuffer()
    const piece = unpack(type, body.subarray(CRC_BYTES), buffer)
    const crc = getUint32(body, 0)
    if (maskedCrc32c(piece) !== crc) throw corrupt(`a chunk of ${piece.length} bytes with a wrong checksum`)
    this.readerBuffer = buffer
    const fate = piece.length === 0 ? 'used' : this.deliver(piece, HEAD_ROOM)
    if (fate === 'kept') return false
    this.readerBuffer = undefined
    if (fate === 'used') spare ??= buffer
    return true
  }
}

function unpack(type: number, body: Uint8Array, buffer: Uint8Array): Uint8Array {
  if (type === UNCOMPRESSED) {
    buffer.set(body, HEAD_ROOM)
    return buffer.subarray(HEAD_ROOM, HEAD_ROOM + body.length)
  }
  const end = decompressBlock(body, buffer, HEAD_ROOM)
  if (end < 0) throw corrupt(`a compressed chunk of ${body.length} bytes that cannot be read`)
  return buffer.subarray(HEAD_ROOM, end)
}

/** What golang/snappy checks before it reads a chunk's body. */
function checkChunk(type: number, length: number, isIdentified: boolean): void {
  if (!isIdentified && type !== STREAM_IDENTIFIER) {
    throw corrupt(`chunk type 0x${type.toString(16)} before the stream identifier`)
  }
  if (type > UNCOMPRESSED && type < FIRST_SKIPPABLE) throw corrupt(`unknown chunk type 0x${type.toString(16)}`)
  if (length > MAX_CHUNK_BYTES) throw corrupt(`a chunk of ${length} bytes, more than ${MAX_CHUNK_BYTES}`)
  if (type === STREAM_IDENTIFIER && length !== 6) throw corrupt(`a stream identifier of ${length} bytes, expected 6`)
  if (type <= UNCOMPRESSED && length < CRC_BYTES) throw corrupt(`a chunk of ${length} bytes has no checksum`)
  if (type === UNCOMPRESSED && length > MAX_BLOCK_BYTES + CRC_BYTES) {
    throw corrupt(`an uncompressed chunk of ${length - CRC_BYTES} bytes, more than ${MAX_BLOCK_BYTES}`)
  }
}

function corrupt(what: string): FrpError {
  return new FrpError('SNAPPY_CORRUPT', `compressed stream: ${what}`)
}

function chunkLength(head: Uint8Array): number {
  return (head[1] as number) | ((head[2] as number) << 8) | ((head[3] as number) << 16)
}

function putUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
  bytes[at + 2] = value >>> 16
  bytes[at + 3] = value >>> 24
}

function getUint32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true)
}
