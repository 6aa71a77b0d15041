import { HEAD_ROOM } from '../protocol/limits.ts'

/** Sizes of buffers in bytes: idle sockets hold the first; a full read moves one up. Measured best with three steps. */
const SIZES = [4 * 1024, 64 * 1024, 256 * 1024] as const
/** How many free buffers of each size are kept for the next socket: 1, 4 and 8 MiB. */
const MAX_FREE = [256, 64, 32] as const
/** So many reads in a row that would have fitted the next smaller size move a socket one down. */
const SMALL_READS = 8

/** Index into the sizes of buffers. */
export type BufferLevel = 0 | 1 | 2
const free: [Uint8Array[], Uint8Array[], Uint8Array[]] = [[], [], []]

/** A buffer of 4, 64 or 256 KiB with `HEAD_ROOM` bytes before it in the same memory; its content is arbitrary. */
export function takeBuffer(level: BufferLevel): Uint8Array {
  const found = free[level].pop()
  if (found !== undefined) return found
  // allocUnsafeSlow: memory of its own (not a slice of Node's shared slab), and not cleared.
  const memory = Buffer.allocUnsafeSlow(HEAD_ROOM + SIZES[level])
  return new Uint8Array(memory.buffer, memory.byteOffset + HEAD_ROOM, SIZES[level])
}

/** Gives back what `takeBuffer` gave, whole; nobody may touch it afterwards. */
export function giveBuffer(buffer: Uint8Array): void {
  const level = buffer.length === SIZES[0] ? 0 : buffer.length === SIZES[1] ? 1 : 2
  const list = free[level]
  if (list.length < MAX_FREE[level]) list.push(buffer)
}

/** The smallest level whose buffers hold `length` bytes, or undefined above 256 KiB. */
export function levelFor(length: number): BufferLevel | undefined {
  if (length <= SIZES[0]) return 0
  if (length <= SIZES[1]) return 1
  return length <= SIZES[2] ? 2 : undefined
}

/** The buffer that a socket reads into; its size follows what comes. */
export class ReadBuffer {
  current: Uint8Array
  /** No more than 64 KiB in one read, for the sake of others. */
  isBounded = false
  private level: BufferLevel = 0
  private smallReads = 0
  /** On loan to the reader, and no longer the one to read into. */
  private retired: Uint8Array | undefined

  constructor() {
    this.current = takeBuffer(0)
  }

  get isLarge(): boolean {
    return this.level > 0
  }

  /** `length` bytes were read into `current`. `isFree`: the reader is done with them, else they are on loan. */
  used(length: number, isFree: boolean): void {
    const next = this.nextLevel(length)
    if (next === this.level) return
    const old = this.current
    this.level = next
    this.smallReads = 0
    this.current = takeBuffer(next)
    if (isFree) giveBuffer(old)
    else this.retired = old
  }

  /** The loan is over. */
  returned(): void {
    if (this.retired === undefined) return
    giveBuffer(this.retired)
    this.retired = undefined
  }

  /** The reader keeps `current`, which held `length` bytes, for good. */
  lost(length: number): void {
    const next = this.nextLevel(length)
    if (next !== this.level) this.smallReads = 0
    this.level = next
    this.current = takeBuffer(next)
  }

  /** Back to the smallest size: nothing came for a while. */
  shrink(): void {
    giveBuffer(this.current)
    this.level = 0
    this.smallReads = 0
    this.current = takeBuffer(0)
  }

  private nextLevel(length: number): BufferLevel {
    const level = this.level
    if (this.isBounded && level === 2) return 1
    if (length === SIZES[level]) {
      this.smallReads = 0
      return level === 0 || this.isBounded ? 1 : 2
    }
    if (level === 0) return 0
    if (length > SIZES[(level - 1) as BufferLevel]) {
      this.smallReads = 0
      return level
    }
    this.smallReads += 1
    if (this.smallReads < SMALL_READS) return level
    return level === 2 ? 1 : 0
  }
}
