/** Bytes as lower-case hex, two digits each. */
export function hexOf(bytes: Uint8Array): string {
  let hex = ''
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0')
  return hex
}

/** The parts one behind the other, as a copy; a single part is answered itself. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts
  if (first !== undefined && parts.length === 1) return first
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** No less is taken at a time: a head that drips in byte by byte is not copied with each. */
const MIN_BYTES = 64

/** Bytes that came in pieces, as copies. Its memory grows with what came, never with what a length announced. */
export class Gathered {
  length = 0
  private memory = new Uint8Array(0)

  /** All of them, to be read until the next `append` or `drop`. */
  get bytes(): Uint8Array {
    return this.memory.subarray(0, this.length)
  }

  append(piece: Uint8Array): void {
    const length = this.length + piece.length
    if (length > this.memory.length) {
      const larger = new Uint8Array(Math.max(MIN_BYTES, length, 2 * this.memory.length))
      larger.set(this.bytes)
      this.memory = larger
    }
    this.memory.set(piece, this.length)
    this.length = length
  }

  /** Forgets the first `count`; all of them if there are not so many. */
  drop(count = this.length): void {
    if (count < this.length) this.memory.copyWithin(0, count, this.length)
    this.length = Math.max(0, this.length - count)
  }
}
