const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const PAD = 0x3d
/** Above the 24 bits of four digits: some character of them is none. */
const NO_DIGIT = 1 << 24

/** The two characters of 12 bits. */
const pairOf = new Uint16Array(4096)
/** What a character is worth as the last of four digits, the third, the second and the first. */
const fourth = new Int32Array(256).fill(NO_DIGIT)
for (let i = 0; i < 64; i++) fourth[ALPHABET.charCodeAt(i)] = i
for (let i = 0; i < 4096; i++) pairOf[i] = (ALPHABET.charCodeAt(i >> 6) << 8) | ALPHABET.charCodeAt(i & 63)
const third = shifted(6)
const second = shifted(12)
const first = shifted(18)

function shifted(bits: number): Int32Array {
  return fourth.map((value) => (value === NO_DIGIT ? NO_DIGIT : value << bits))
}

const ascii = new TextDecoder()
const utf8 = new TextEncoder()

/** How long the base64 of so many bytes is, with its padding. */
export function base64Length(bytes: number): number {
  return Math.ceil(bytes / 3) * 4
}

/** Writes the base64 of `bytes` into `target` from `at` on; answers the end of it. */
export function writeBase64(bytes: Uint8Array, target: Uint8Array, at: number): number {
  const { length } = bytes
  const whole = length - (length % 3)
  let to = at
  for (let i = 0; i < whole; i += 3) {
    const word = ((bytes[i] as number) << 16) | ((bytes[i + 1] as number) << 8) | (bytes[i + 2] as number)
    const high = pairOf[word >> 12] as number
    const low = pairOf[word & 4095] as number
    target[to] = high >> 8
    target[to + 1] = high
    target[to + 2] = low >> 8
    target[to + 3] = low
    to += 4
  }
  if (whole === length) return to
  const hasTwo = whole + 1 < length
  const word = ((bytes[whole] as number) << 16) | ((hasTwo ? (bytes[whole + 1] as number) : 0) << 8)
  const high = pairOf[word >> 12] as number
  target[to] = high >> 8
  target[to + 1] = high
  target[to + 2] = hasTwo ? (pairOf[word & 4095] as number) >> 8 : PAD
  target[to + 3] = PAD
  return to + 4
}

/** How many bytes the padded base64 between `from` and `to` has, when it is any; -1: it cannot be by its length. */
export function base64Bytes(chars: Uint8Array, from: number, to: number): number {
  const length = to - from
  if ((length & 3) !== 0) return -1
  if (length === 0 || chars[to - 1] !== PAD) return (length >> 2) * 3
  return (length >> 2) * 3 - (chars[to - 2] === PAD ? 2 : 1)
}

/** Reads padded base64 of exactly `target.length` bytes (`base64Bytes`) at `from`; `false`: it is none. */
export function readBase64(chars: Uint8Array, from: number, target: Uint8Array): boolean {
  const { length } = target
  const whole = length - (length % 3)
  let at = from
  let bad = 0
  for (let i = 0; i < whole; i += 3) {
    const word =
      (first[chars[at] as number] as number) |
      (second[chars[at + 1] as number] as number) |
      (third[chars[at + 2] as number] as number) |
      (fourth[chars[at + 3] as number] as number)
    bad |= word
    target[i] = word >> 16
    target[i + 1] = word >> 8
    target[i + 2] = word
    at += 4
  }
  if (whole < length) {
    const hasTwo = whole + 1 < length
    const last = hasTwo ? (third[chars[at + 2] as number] as number) : 0
    const word = (first[chars[at] as number] as number) | (second[chars[at + 1] as number] as number) | last
    bad |= word
    target[whole] = word >> 16
    if (hasTwo) target[whole + 1] = word >> 8
  }
  return bad < NO_DIGIT
}

/** Standard base64 with padding: how Go's JSON writes bytes. (Node 20 has no `Uint8Array.toBase64`.) */
export function encodeBase64(bytes: Uint8Array): string {
  const out = new Uint8Array(base64Length(bytes.length))
  writeBase64(bytes, out, 0)
  return ascii.decode(out)
}

/** The bytes of a padded standard base64 text, CR and LF ignored as in Go; undefined if it is none. */
export function decodeBase64(text: string): Uint8Array | undefined {
  // What is not ASCII has bytes that are no digits.
  const chars = utf8.encode(/[\r\n]/.test(text) ? text.replace(/[\r\n]/g, '') : text)
  const count = base64Bytes(chars, 0, chars.length)
  if (count < 0) return undefined
  const out = new Uint8Array(count)
  return readBase64(chars, 0, out) ? out : undefined
}
