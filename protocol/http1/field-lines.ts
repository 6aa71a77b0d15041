import { type ErrorCode, FrpError } from '../../contract/errors.ts'
import { Fields } from './fields.ts'
import { HEAD_LIMITS, type HeadLimits } from './head-limits.ts'
import { CR, LF, latin1, showByte, TOKEN_BYTES, VALUE_BYTES } from './text.ts'

/** Which of the two directions a message goes: it decides the code of errors and what is tolerated. */
export type BadMessage = Extract<ErrorCode, 'HTTP_BAD_REQUEST' | 'HTTP_BAD_RESPONSE'>

/** Start and end of each name and value of the head that is being read; reading is synchronous. */
let marks = new Int32Array(HEAD_LIMITS.fields * 4)

const COLON = 58
const SPACE = 32
const TAB = 9

/** Field lines and the empty line after them. */
export interface FieldLines {
  /** Index after the empty line. */
  end: number
  count: number
}

/**
 * Checks the field lines from `start` to the empty line in one pass (RFC 9112 5); undefined: more bytes are
 * needed. A response may end its lines with a bare LF, which Go and nginx accept from a service; a request
 * may not. The fields are made by {@link takeFields}, which must be called before the next `scanFieldLines`.
 */
export function scanFieldLines(
  bytes: Uint8Array,
  start: number,
  bad: BadMessage,
  limits: HeadLimits = HEAD_LIMITS,
): FieldLines | undefined {
  const limit = Math.min(bytes.length, limits.bytes)
  const isLenient = bad === 'HTTP_BAD_RESPONSE'
  let at = start
  let count = 0
  while (at < limit) {
    const first = bytes[at] as number
    if (first === CR || first === LF) {
      const next = lineEnd(bytes, at, limit, isLenient, bad)
      return next === undefined ? undefined : { end: next, count }
    }
    if (count === limits.fields) throw tooManyFields(limits)
    if (count * 4 === marks.length) marks = grown(marks)
    const nameStart = at
    while (at < limit && TOKEN_BYTES[bytes[at] as number] === 1) at += 1
    if (at === limit) break
    if (bytes[at] !== COLON || at === nameStart) throw badName(bytes, nameStart, at, count, bad)
    const nameEnd = at
    at += 1
    while (at < limit && (bytes[at] === SPACE || bytes[at] === TAB)) at += 1
    const valueStart = at
    while (at < limit && VALUE_BYTES[bytes[at] as number] === 1) at += 1
    if (at === limit) break
    let valueEnd = at
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === SPACE || bytes[valueEnd - 1] === TAB)) valueEnd -= 1
    const next = lineEnd(bytes, at, limit, isLenient, bad)
    if (next === undefined) break
    const mark = count * 4
    marks[mark] = nameStart
    marks[mark + 1] = nameEnd
    marks[mark + 2] = valueStart
    marks[mark + 3] = valueEnd
    count += 1
    at = next
  }
  if (limit === limits.bytes) throw tooLarge(limits)
  return undefined
}

/** The fields that the last scan found, cut out of `text`, the string of `bytes` from its index `textStart` on. */
export function takeFields(text: string, textStart: number, count: number): Fields {
  const fields = new Fields()
  for (let mark = 0; mark < count * 4; mark += 4) {
    fields.appendChecked(
      text.substring((marks[mark] as number) - textStart, (marks[mark + 1] as number) - textStart),
      text.substring((marks[mark + 2] as number) - textStart, (marks[mark + 3] as number) - textStart),
    )
  }
  return fields
}

/** The index after the line end that is due at `at`; undefined: its LF has not come yet. */
export function lineEnd(
  bytes: Uint8Array,
  at: number,
  limit: number,
  isLenient: boolean,
  bad: BadMessage,
): number | undefined {
  const byte = bytes[at] as number
  if (byte === CR) {
    if (at + 1 >= limit) return undefined
    if (bytes[at + 1] === LF) return at + 2
    throw new FrpError(bad, `head byte ${at}: a CR without LF`)
  }
  if (byte === LF) {
    if (isLenient) return at + 1
    throw new FrpError(bad, `head byte ${at}: a LF without CR`)
  }
  throw new FrpError(bad, `head byte ${at}: ${showByte(byte)} is not allowed there`)
}

/** The error of a head that does not end within the limit. */
export function tooLarge(limits: HeadLimits): FrpError {
  return new FrpError('HTTP_HEAD_TOO_LARGE', `head is longer than ${limits.bytes} bytes`)
}

/** The error of a head with more fields than allowed. */
export function tooManyFields(limits: HeadLimits): FrpError {
  return new FrpError('HTTP_HEAD_TOO_LARGE', `head has more than ${limits.fields} fields`)
}

function grown(before: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(before.length * 2)
  larger.set(before)
  return larger
}

function badName(bytes: Uint8Array, start: number, at: number, count: number, bad: BadMessage): FrpError {
  const byte = bytes[at] as number
  const isBlank = byte === SPACE || byte === TAB
  if (at > start) {
    const name = latin1(bytes, start, Math.min(at, start + 64))
    const what = isBlank ? 'white space before the colon' : `${showByte(byte)} in its name`
    return new FrpError(bad, `field ${count + 1} '${name}': ${what}`)
  }
  if (isBlank) return new FrpError(bad, `field ${count + 1}: a folded line (obs-fold)`)
  return new FrpError(bad, `field ${count + 1}: its name starts with ${showByte(byte)}`)
}
