const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const PAD = 0x3d
const NOT_IN_ALPHABET = 0xff

const charOf = new Uint8Array(64)
const digitOf = new Uint8Array(256).fill(NOT_IN_ALPHABET)
for (let i = 0; i < 64; i++) {
  const code = ALPHABET.charCodeAt(i)
  charOf[i] = code
  digitOf[code] = i
}

const ascii = new TextDecoder()

/** Standard base64 with padding: how Go's JSON writes bytes. (Node 20 has no `Uint8Array.toBase64`.) */
export function encodeBase64(bytes: Uint8Array): string {
  const out = new Uint8Array(Math.ceil(bytes.length / 3) * 4)
  const whole = bytes.length - (bytes.length % 3)
  let to = 0
  for (let i = 0; i < whole; i += 3) {
    const word = ((bytes[i] as number) << 16) | ((bytes[i + 1] as number) << 8) | (bytes[i + 2] as number)
    out[to] = charOf[word >> 18] as number
    out[to + 1] = charOf[(word >> 12) & 63] as number
    out[to + 2] = charOf[(word >> 6) & 63] as number
    out[to + 3] = charOf[word & 63] as number
    to += 4
  }
  if (whole < bytes.length) {
    const hasTwo = whole + 1 < bytes.length
    const word = ((bytes[whole] as number) << 16) | ((hasTwo ? (bytes[whole + 1] as number) : 0) << 8)
    out[to] = charOf[word >> 18] as number
    out[to + 1] = charOf[(word >> 12) & 63] as number
    out[to + 2] = hasTwo ? (charOf[(word >> 6) & 63] as number) : PAD
    out[to + 3] = PAD
  }
  return ascii.decode(out)
}

/** The bytes of a padded standard base64 text, CR and LF ignored as in Go; undefined if it is none. */
export function decodeBase64(text: string): Uint8Array | undefined {
  const chars = /[\r\n]/.test(text) ? text.replace(/[\r\n]/g, '') : text
  if (chars.length % 4 !== 0) return undefined
  const padding = chars.endsWith('==') ? 2 : chars.endsWith('=') ? 1 : 0
  const out = new Uint8Array((chars.length / 4) * 3 - padding)
  const digits = chars.length - padding
  let word = 0
  let to = 0
  for (let i = 0; i < digits; i++) {
    const code = chars.charCodeAt(i)
    const value = code < 256 ? (digitOf[code] as number) : NOT_IN_ALPHABET
    if (value === NOT_IN_ALPHABET) return undefined
    word = (word << 6) | value
    if ((i & 3) === 3) {
      out[to] = (word >> 16) & 0xff
      out[to + 1] = (word >> 8) & 0xff
      out[to + 2] = word & 0xff
      to += 3
      word = 0
    }
  }
  if (padding === 1) {
    out[to] = (word >> 10) & 0xff
    out[to + 1] = (word >> 2) & 0xff
  } else if (padding === 2) {
    out[to] = (word >> 4) & 0xff
  }
  return out
}
