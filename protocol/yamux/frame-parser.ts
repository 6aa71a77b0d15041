import { FrpError } from '../../contract/errors.ts'
import { HEADER_BYTES, readUint32, TYPE_DATA, TYPE_GO_AWAY, VERSION } from './frame.ts'
import { badSnapshot, type SnapshotReader, type SnapshotWriter } from './snapshot-bytes.ts'

/** What a parser tells. Both may throw a FrpError: the peer broke the protocol. */
export interface FrameSink {
  /** No more bytes are wanted, not even the rest of this chunk. */
  readonly isClosed: boolean
  /** A whole header, checked for version and type; of a Data frame, `onBody` brings the body. */
  onFrame(type: number, flags: number, id: number, length: number): void
  /** A part of the body as it came. True: the memory is free again. */
  onBody(slice: Uint8Array, headRoom: number): boolean
  /** The last part of a body was delivered. */
  onBodyEnd(): void
}

/** Cuts a link's bytes into headers and slices of bodies; it never waits for a whole frame. */
export class FrameParser {
  /** Bytes of the current body that have not come. */
  private bodyLeft = 0
  /** The start of a header that was cut. */
  private readonly header = new Uint8Array(HEADER_BYTES)
  private headerFilled = 0

  /** True: nobody keeps a part of `chunk`. `headRoom` bytes before it are free to overwrite. */
  push(chunk: Uint8Array, headRoom: number, sink: FrameSink): boolean {
    let isFree = true
    let at = 0
    // Where memory starts that nobody uses any more: it is head room for what follows.
    let unusedFrom = -Math.max(0, headRoom)
    while (at < chunk.length && !sink.isClosed) {
      if (this.bodyLeft > 0) {
        const length = Math.min(this.bodyLeft, chunk.length - at)
        const slice = length === chunk.length ? chunk : chunk.subarray(at, at + length)
        this.bodyLeft -= length
        if (!sink.onBody(slice, at - unusedFrom)) {
          isFree = false
          unusedFrom = at + length
        }
        at += length
        if (this.bodyLeft === 0) sink.onBodyEnd()
      } else if (this.headerFilled === 0 && chunk.length - at >= HEADER_BYTES) {
        at += HEADER_BYTES
        this.parseHeader(chunk, at - HEADER_BYTES, sink)
      } else {
        const part = chunk.subarray(at, at + HEADER_BYTES - this.headerFilled)
        this.header.set(part, this.headerFilled)
        this.headerFilled += part.length
        at += part.length
        if (this.headerFilled < HEADER_BYTES) break
        this.headerFilled = 0
        this.parseHeader(this.header, 0, sink)
      }
    }
    return isFree
  }

  /** Between two frames. */
  get isAtBoundary(): boolean {
    return this.bodyLeft === 0 && this.headerFilled === 0
  }

  save(to: SnapshotWriter): void {
    to.blob(this.header.subarray(0, this.headerFilled))
    to.uint(this.bodyLeft)
  }

  load(from: SnapshotReader): void {
    const header = from.blob()
    if (header.length >= HEADER_BYTES) throw badSnapshot(`a header of ${header.length} bytes`)
    this.header.set(header)
    this.headerFilled = header.length
    this.bodyLeft = from.uint()
  }

  private parseHeader(bytes: Uint8Array, at: number, sink: FrameSink): void {
    const version = bytes[at] as number
    if (version !== VERSION) throw new FrpError('YAMUX_BAD_VERSION', `frame version ${version}, expected ${VERSION}`)
    const type = bytes[at + 1] as number
    if (type > TYPE_GO_AWAY) throw new FrpError('YAMUX_BAD_TYPE', `frame type ${type}, at most ${TYPE_GO_AWAY}`)
    const flags = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)
    const id = readUint32(bytes, at + 4)
    const length = readUint32(bytes, at + 8)
    sink.onFrame(type, flags, id, length)
    if (type !== TYPE_DATA || sink.isClosed) return
    this.bodyLeft = length
    if (length === 0) sink.onBodyEnd()
  }
}
