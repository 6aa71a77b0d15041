import { FrpError } from '../../contract/errors.ts'
import { tooLarge, tooManyFields } from './field-lines.ts'
import { HEAD_LIMITS, type HeadLimits } from './head-limits.ts'
import { CR, LF } from './text.ts'

/** A complete head, and how many bytes of the chunk that was fed belong to it. */
export interface Found<Head> {
  head: Head
  bytesUsed: number
}

/** First size of the memory for a head that comes in pieces. */
const FIRST_BYTES = 1_024

/**
 * Finds heads in chunks cut anywhere: `new HeadReader(readRequestHead)`. A head that is whole in its chunk is
 * read in place, in one pass; else the pieces are kept as a copy, looked through once for the end, and read
 * when it came. After a head the reader is ready for the next one.
 */
export class HeadReader<Head extends { byteLength: number }> {
  private readonly read: (bytes: Uint8Array, limits: HeadLimits) => Head | undefined
  private readonly limits: HeadLimits
  private kept: Uint8Array | undefined
  private length = 0
  /** Bytes of the line that is being looked through, and lines so far. */
  private lineBytes = 0
  private lines = 0

  constructor(read: (bytes: Uint8Array, limits: HeadLimits) => Head | undefined, limits: HeadLimits = HEAD_LIMITS) {
    this.read = read
    this.limits = limits
  }

  /** Whether a part of a head is kept. */
  get isInside(): boolean {
    return this.length > 0
  }

  /** Undefined: the whole chunk was used, and more is needed. Throws what the read function throws. */
  feed(chunk: Uint8Array): Found<Head> | undefined {
    if (this.length === 0) {
      const head = this.read(chunk, this.limits)
      if (head !== undefined) return { head, bytesUsed: head.byteLength }
    }
    const bytesUsed = this.scan(chunk)
    this.keep(bytesUsed === chunk.length ? chunk : chunk.subarray(0, bytesUsed))
    if (!this.isAtEnd()) return undefined
    const head = this.read((this.kept as Uint8Array).subarray(0, this.length), this.limits)
    // The scan stops at any line end that the reader could take for the last: it has answered or thrown.
    if (head === undefined) throw new FrpError('HTTP_TRUNCATED', 'a head ended before its last line')
    this.reset()
    return { head, bytesUsed }
  }

  /** Forgets a part that is kept. */
  reset(): void {
    this.kept = undefined
    this.length = 0
    this.lineBytes = 0
    this.lines = 0
  }

  private isAtEnd(): boolean {
    return this.lineBytes < 0
  }

  /** Looks for the empty line; `lineBytes` is -1 when it was found. */
  private scan(chunk: Uint8Array): number {
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i] as number
      if (byte === LF) {
        // The empty line before a request (see readRequestHead) ends nothing.
        const isEmpty = this.lineBytes === 0 && this.lines > 0
        this.lines += 1
        if (this.lines > this.limits.fields + 3) throw tooManyFields(this.limits)
        if (isEmpty) {
          this.lineBytes = -1
          return i + 1
        }
        this.lineBytes = 0
      } else if (byte !== CR) {
        this.lineBytes += 1
      }
    }
    return chunk.length
  }

  private keep(piece: Uint8Array): void {
    const length = this.length + piece.length
    if (length > this.limits.bytes) throw tooLarge(this.limits)
    const kept = this.kept
    if (kept === undefined || kept.length < length) {
      const larger = new Uint8Array(Math.max(FIRST_BYTES, length, (kept?.length ?? 0) * 2))
      if (kept !== undefined) larger.set(kept.subarray(0, this.length))
      this.kept = larger
    }
    ;(this.kept as Uint8Array).set(piece, this.length)
    this.length = length
  }
}
