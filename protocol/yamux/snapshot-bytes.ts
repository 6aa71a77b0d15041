import { FrpError } from '../../contract/errors.ts'

/** Builds a snapshot: integers of 7 bits a byte, byte strings with their length in front. */
export class SnapshotWriter {
  private bytes = new Uint8Array(256)
  private length = 0

  /** A whole number from 0 to 2^53 - 1. */
  uint(value: number): void {
    let rest = value
    while (rest > 127) {
      this.byte((rest % 128) + 128)
      rest = Math.floor(rest / 128)
    }
    this.byte(rest)
  }

  uints(values: readonly number[]): void {
    this.uint(values.length)
    for (const value of values) this.uint(value)
  }

  blob(value: Uint8Array): void {
    this.uint(value.length)
    this.reserve(value.length)
    this.bytes.set(value, this.length)
    this.length += value.length
  }

  finish(): Uint8Array {
    return this.bytes.slice(0, this.length)
  }

  private byte(value: number): void {
    this.reserve(1)
    this.bytes[this.length] = value
    this.length += 1
  }

  private reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count))
    larger.set(this.bytes)
    this.bytes = larger
  }
}

/** Reads what {@link SnapshotWriter} wrote; throws YAMUX_BAD_SNAPSHOT. */
export class SnapshotReader {
  private readonly bytes: Uint8Array
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  uint(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.bytes[this.at]
      if (byte === undefined) throw badSnapshot(`cut at byte ${this.at}`)
      this.at += 1
      value += (byte % 128) * scale
      if (value > Number.MAX_SAFE_INTEGER) throw badSnapshot(`number too large at byte ${this.at}`)
      if (byte < 128) return value
    }
  }

  uints(): number[] {
    const values: number[] = []
    for (let left = this.uint(); left > 0; left--) values.push(this.uint())
    return values
  }

  /** A copy. */
  blob(): Uint8Array {
    const length = this.uint()
    if (length > this.bytes.length - this.at) throw badSnapshot(`${length} bytes announced at byte ${this.at}`)
    this.at += length
    return this.bytes.slice(this.at - length, this.at)
  }

  finish(): void {
    if (this.at < this.bytes.length) throw badSnapshot(`${this.bytes.length - this.at} bytes too many`)
  }
}

export function badSnapshot(what: string): FrpError {
  return new FrpError('YAMUX_BAD_SNAPSHOT', `yamux snapshot: ${what}`)
}
