/** Classes of bytes (RFC 9110 5.5 and 5.6.2), and the way between bytes and latin-1 strings. */

export const CR = 13
export const LF = 10

/** 1 for each byte of a token: the names of fields, methods, chunk extensions. */
export const TOKEN_BYTES = bytesOf("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

/** 1 for each byte of a field value or reason: HTAB, SP, VCHAR and obs-text; no other control. */
export const VALUE_BYTES = new Uint8Array(256).fill(1, 0x20).fill(1, 9, 10).fill(0, 0x7f, 0x80)

/** 1 for each byte of a request target: VCHAR but `#`. More than RFC 3986 has (`{|}"<>^`), as browsers send it. */
export const TARGET_BYTES = new Uint8Array(256).fill(1, 0x21, 0x7f).fill(0, 0x23, 0x24)

function bytesOf(characters: string): Uint8Array {
  const table = new Uint8Array(256)
  for (let i = 0; i < characters.length; i++) table[characters.charCodeAt(i)] = 1
  return table
}

/** Arguments of one call of `fromCharCode`; engines allow at least 65,535, a smaller number spares stack. */
const DECODE_STEP = 4_096

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

/** Bytes `start` to `end` as a string of the characters 0 to 255 (`TextDecoder`'s latin1 is windows-1252). */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  // Ten times as quick for ASCII. Any other byte shows: as U+FFFD, or as one character for several bytes.
  const ascii = utf8.decode(bytes.subarray(start, end))
  if (ascii.length === end - start && !ascii.includes('\ufffd')) return ascii
  let text = ''
  for (let at = start; at < end; at += DECODE_STEP) {
    const part = bytes.subarray(at, Math.min(end, at + DECODE_STEP))
    // fromCharCode takes any array-like; its type knows only number[].
    text += String.fromCharCode.apply(null, part as unknown as number[])
  }
  return text
}

const encoder = new TextEncoder()

/** Writes `text`, which has only the characters 0 to 255, as one byte each; `out` has room for all of it. */
export function putLatin1(text: string, out: Uint8Array): void {
  const { read } = encoder.encodeInto(text, out)
  // Of any other character UTF-8 has two bytes, so the end of the text found no room.
  if (read === text.length) return
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i)
}

/** Whether a head can carry `text` within a line: no control but HTAB, nothing above 255. */
export function isLineText(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (VALUE_BYTES[text.charCodeAt(i)] !== 1) return false
  }
  return true
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false
  return true
}

/** Whether `text` is a token. */
export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (TOKEN_BYTES[text.charCodeAt(i)] !== 1) return false
  }
  return text.length > 0
}

/** A text for people as field values carry it: its UTF-8 bytes as the characters 0 to 255 (Go writes UTF-8). */
export function utf8AsLatin1(text: string): string {
  if (isAscii(text)) return text
  const bytes = encoder.encode(text)
  return latin1(bytes, 0, bytes.length)
}

/** Whether `text` is `lower` (which has no capitals) but for the case of ASCII letters. */
export function isSameText(text: string, lower: string): boolean {
  return text === lower || (text.length === lower.length && text.toLowerCase() === lower)
}

/** A byte as a person may read it in an error: `'x'` or `0x0a`. */
export function showByte(byte: number): string {
  return byte > 0x20 && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `0x${byte.toString(16).padStart(2, '0')}`
}

/** The start of a stranger's text, fit for an error message. */
export function showText(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text)
}
