/**
 * AES-128, one block at a time, encryption only (FIPS 197, with tables of 32-bit words). A native call costs
 * 3 µs on Node and 15 µs in workerd whatever its size; a block here costs a tenth of a microsecond, and most
 * frp messages are a few blocks.
 */
export class AesBlock {
  private readonly schedule: Int32Array

  constructor(key: Uint8Array) {
    if (key.length !== 16) throw new RangeError(`AES-128 key of ${key.length} bytes`)
    this.schedule = expand(key)
  }

  /** Encrypts the 16 bytes at `from` into the 16 bytes at `to`; the same place is fine. */
  encrypt(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number): void {
    const k = this.schedule
    let a = load(from, fromAt) ^ word(k, 0)
    let b = load(from, fromAt + 4) ^ word(k, 1)
    let c = load(from, fromAt + 8) ^ word(k, 2)
    let d = load(from, fromAt + 12) ^ word(k, 3)
    for (let i = 4; i < 40; i += 4) {
      const e = mix(a, b, c, d) ^ word(k, i)
      const f = mix(b, c, d, a) ^ word(k, i + 1)
      const g = mix(c, d, a, b) ^ word(k, i + 2)
      d = mix(d, a, b, c) ^ word(k, i + 3)
      a = e
      b = f
      c = g
    }
    store(to, toAt, substitute(a, b, c, d) ^ word(k, 40))
    store(to, toAt + 4, substitute(b, c, d, a) ^ word(k, 41))
    store(to, toAt + 8, substitute(c, d, a, b) ^ word(k, 42))
    store(to, toAt + 12, substitute(d, a, b, c) ^ word(k, 43))
  }
}

const SBOX = new Uint8Array(256)
/** SubBytes and MixColumns of a byte in row 0 to 3, as a column. */
const ROW0 = new Int32Array(256)
const ROW1 = new Int32Array(256)
const ROW2 = new Int32Array(256)
const ROW3 = new Int32Array(256)
fillTables()

function fillTables(): void {
  // p runs through all of GF(2^8) but 0 by powers of 3, q through the inverses.
  let p = 1
  let q = 1
  do {
    p = p ^ double(p)
    q ^= q << 1
    q ^= q << 2
    q ^= q << 4
    q &= 0xff
    if (q & 0x80) q ^= 0x09
    const rotated = q ^ rotate8(q, 1) ^ rotate8(q, 2) ^ rotate8(q, 3) ^ rotate8(q, 4)
    SBOX[p] = rotated ^ 0x63
  } while (p !== 1)
  SBOX[0] = 0x63
  for (let i = 0; i < 256; i++) {
    const s = SBOX[i] as number
    const twice = double(s)
    const column = (twice << 24) | (s << 16) | (s << 8) | (twice ^ s) | 0
    ROW0[i] = column
    ROW1[i] = (column >>> 8) | (column << 24)
    ROW2[i] = (column >>> 16) | (column << 16)
    ROW3[i] = (column >>> 24) | (column << 8)
  }
}

function double(value: number): number {
  return ((value << 1) ^ (value & 0x80 ? 0x1b : 0)) & 0xff
}

function rotate8(value: number, bits: number): number {
  return ((value << bits) | (value >> (8 - bits))) & 0xff
}

function expand(key: Uint8Array): Int32Array {
  const k = new Int32Array(44)
  for (let i = 0; i < 4; i++) k[i] = load(key, 4 * i)
  let round = 1
  for (let i = 4; i < 44; i++) {
    let next = word(k, i - 1)
    if (i % 4 === 0) {
      const turned = (next << 8) | (next >>> 24)
      next = substitute(turned, turned, turned, turned) ^ (round << 24)
      round = double(round)
    }
    k[i] = word(k, i - 4) ^ next
  }
  return k
}

function mix(a: number, b: number, c: number, d: number): number {
  return word(ROW0, a >>> 24) ^ word(ROW1, (b >>> 16) & 255) ^ word(ROW2, (c >>> 8) & 255) ^ word(ROW3, d & 255)
}

function substitute(a: number, b: number, c: number, d: number): number {
  return (
    ((SBOX[a >>> 24] as number) << 24) |
    ((SBOX[(b >>> 16) & 255] as number) << 16) |
    ((SBOX[(c >>> 8) & 255] as number) << 8) |
    (SBOX[d & 255] as number)
  )
}

/** A table's entry; the index is always inside. */
function word(table: Int32Array, index: number): number {
  return table[index] as number
}

function load(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  )
}

function store(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}
