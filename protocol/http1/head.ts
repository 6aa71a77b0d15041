import { FrpError } from '../../contract/errors.ts'
import { checkAuthority, parseTarget } from './authority.ts'
import { type Facts, factsOf } from './facts.ts'
import { lineEnd, scanFieldLines, takeFields, tooLarge } from './field-lines.ts'
import type { Fields } from './fields.ts'
import { HEAD_LIMITS, type HeadLimits } from './head-limits.ts'
import { CR, LF, latin1, showByte, showText, TARGET_BYTES, TOKEN_BYTES, VALUE_BYTES } from './text.ts'

export { Fields } from './fields.ts'
export type { HeadLimits } from './head-limits.ts'
export { HeadReader } from './head-reader.ts'
export { type Framed, type HopOptions, normalizeFraming, removeHopByHop } from './hop-by-hop.ts'
export { serializeRequestHead, serializeResponseHead } from './serialize.ts'
export { utf8AsLatin1 } from './text.ts'

/** The head of a checked request. `fields` may be changed; what the other members say was read before. */
export interface RequestHead extends Omit<Facts, 'host'> {
  method: string
  /** The request target as it came. */
  target: string
  /** Path and query for the next hop, `*`, or `''` for CONNECT. */
  path: string
  /** Whom the request is for, `host` or `host:port`: the target's authority wins over Host; `''` only in HTTP/1.0. */
  authority: string
  isAbsoluteForm: boolean
  /** 0 or 1: HTTP/1.0 or HTTP/1.1. */
  minorVersion: number
  fields: Fields
  /** Bytes of the head on the wire. */
  byteLength: number
}

/** The head of a checked response. */
export interface ResponseHead extends Omit<Facts, 'host' | 'expectsContinue'> {
  /** 100 to 999. */
  status: number
  /** May be empty. */
  reason: string
  minorVersion: number
  fields: Fields
  byteLength: number
}

/** Methods are short; the longest registered one has 17 letters (UPDATEREDIRECTREF). */
const MAX_METHOD_BYTES = 32
const SPACE = 32
const ZERO = 48

/** Reads the request head at the start of `bytes`; undefined: it is not complete. Throws HTTP_BAD_REQUEST, HTTP_HEAD_TOO_LARGE. */
export function readRequestHead(bytes: Uint8Array, limits: HeadLimits = HEAD_LIMITS): RequestHead | undefined {
  const limit = Math.min(bytes.length, limits.bytes)
  // RFC 9112 2.2: one empty line before a request is forgiven; old browsers end a form with it.
  const start = bytes[0] === CR && bytes[1] === LF ? 2 : 0
  if (bytes[0] === CR && bytes.length === 1) return undefined
  let at = start
  while (at < limit && TOKEN_BYTES[bytes[at] as number] === 1) at += 1
  if (at === limit) return incompleteRequest(bytes, start, at)
  const methodEnd = at
  if (bytes[at] !== SPACE || at === start || at - start > MAX_METHOD_BYTES) throw badMethod(bytes, start, at)
  at += 1
  while (at < limit && TARGET_BYTES[bytes[at] as number] === 1) at += 1
  if (at === limit) return incomplete(limit, limits)
  const targetEnd = at
  if (bytes[at] !== SPACE || at === methodEnd + 1) {
    throw new FrpError('HTTP_BAD_REQUEST', `request line byte ${at}: ${showByte(bytes[at] as number)} in the target`)
  }
  const minorVersion = minorVersionAt(bytes, at + 1, limit)
  if (minorVersion < 0) {
    const version = showText(latin1(bytes, at + 1, Math.min(at + 9, limit)))
    throw new FrpError('HTTP_BAD_REQUEST', `version ${version} is not HTTP/1.0 or HTTP/1.1`)
  }
  if (at + VERSION.length + 1 >= limit) return incomplete(limit, limits)
  const fieldStart = lineEnd(bytes, at + 9, limit, false, 'HTTP_BAD_REQUEST')
  if (fieldStart === undefined) return incomplete(limit, limits)
  const lines = scanFieldLines(bytes, fieldStart, 'HTTP_BAD_REQUEST', limits)
  if (lines === undefined) return undefined

  const text = latin1(bytes, start, lines.end)
  const fields = takeFields(text, start, lines.count)
  const method = text.substring(0, methodEnd - start)
  const target = text.substring(methodEnd + 1 - start, targetEnd - start)
  return requestHead(method, target, minorVersion, fields, lines.end)
}

function requestHead(method: string, target: string, minorVersion: number, fields: Fields, byteLength: number) {
  const facts = factsOf(fields, minorVersion, 'HTTP_BAD_REQUEST')
  const { authority, path, isAbsoluteForm } = parseTarget(method, target)
  const { host } = facts
  if (host !== undefined) checkAuthority(host, 'Host')
  else if (minorVersion > 0) throw new FrpError('HTTP_BAD_REQUEST', 'HTTP/1.1 without Host')
  if (method === 'CONNECT' && (facts.isChunked || facts.contentLength > 0)) {
    throw new FrpError('HTTP_BAD_REQUEST', 'CONNECT with a body')
  }
  return {
    method,
    target,
    path,
    authority: authority ?? host ?? '',
    isAbsoluteForm,
    minorVersion,
    fields,
    contentLength: facts.contentLength,
    isChunked: facts.isChunked,
    keepAlive: facts.keepAlive,
    upgrade: facts.upgrade,
    expectsContinue: facts.expectsContinue,
    byteLength,
  }
}

/** Reads the response head at the start of `bytes`; undefined: it is not complete. Throws HTTP_BAD_RESPONSE, HTTP_HEAD_TOO_LARGE. */
export function readResponseHead(bytes: Uint8Array, limits: HeadLimits = HEAD_LIMITS): ResponseHead | undefined {
  const limit = Math.min(bytes.length, limits.bytes)
  const minorVersion = minorVersionAt(bytes, 0, limit)
  const status = statusAt(bytes, 8, limit)
  if (minorVersion < 0 || status < 0) throw badStatusLine(bytes, limit)
  let at = 12
  // `HTTP/1.1 200` and one byte more, which is a space or the line's end.
  if (limit <= at) return undefined
  // Go and nginx take a missing reason, with or without the space before it.
  if (bytes[at] === SPACE) at += 1
  const reasonStart = at
  if (at === 13) while (at < limit && VALUE_BYTES[bytes[at] as number] === 1) at += 1
  if (at === limit) return incomplete(limit, limits)
  const reasonEnd = at
  const fieldStart = lineEnd(bytes, at, limit, true, 'HTTP_BAD_RESPONSE')
  if (fieldStart === undefined) return incomplete(limit, limits)
  const lines = scanFieldLines(bytes, fieldStart, 'HTTP_BAD_RESPONSE', limits)
  if (lines === undefined) return undefined

  const text = latin1(bytes, 0, lines.end)
  const fields = takeFields(text, 0, lines.count)
  const facts = factsOf(fields, minorVersion, 'HTTP_BAD_RESPONSE')
  return {
    status,
    reason: text.substring(reasonStart, reasonEnd),
    minorVersion,
    fields,
    contentLength: facts.contentLength,
    isChunked: facts.isChunked,
    keepAlive: facts.keepAlive,
    upgrade: facts.upgrade,
    byteLength: lines.end,
  }
}

/** As {@link readRequestHead}, for bytes that hold the whole head. */
export function parseRequestHead(bytes: Uint8Array): RequestHead {
  const head = readRequestHead(bytes)
  if (head === undefined) throw new FrpError('HTTP_TRUNCATED', `request head is not complete in ${bytes.length} bytes`)
  return head
}

/** As {@link readResponseHead}, for bytes that hold the whole head. */
export function parseResponseHead(bytes: Uint8Array): ResponseHead {
  const head = readResponseHead(bytes)
  if (head === undefined) throw new FrpError('HTTP_TRUNCATED', `response head is not complete in ${bytes.length} bytes`)
  return head
}

/** `HTTP/1.` and one digit. */
const VERSION = Uint8Array.of(72, 84, 84, 80, 47, 49, 46, 49)

/** 0 or 1 (also while bytes are missing), or -1 if there is another version at `at`. */
function minorVersionAt(bytes: Uint8Array, at: number, limit: number): number {
  const end = Math.min(VERSION.length - 1, limit - at)
  for (let i = 0; i < end; i++) {
    if (bytes[at + i] !== VERSION[i]) return -1
  }
  if (at + 7 >= limit) return 0
  const minor = (bytes[at + 7] as number) - ZERO
  return minor === 0 || minor === 1 ? minor : -1
}

/** A space and three digits at `at` as a number from 100 on (less while bytes are missing), or -1. */
function statusAt(bytes: Uint8Array, at: number, limit: number): number {
  if (at < limit && bytes[at] !== SPACE) return -1
  let status = 0
  for (let i = at + 1; i < Math.min(at + 4, limit); i++) {
    const digit = (bytes[i] as number) - ZERO
    if (digit < 0 || digit > 9 || (status === 0 && digit === 0)) return -1
    status = status * 10 + digit
  }
  return status
}

function incomplete(limit: number, limits: HeadLimits): undefined {
  if (limit === limits.bytes) throw tooLarge(limits)
  return undefined
}

function incompleteRequest(bytes: Uint8Array, start: number, at: number): undefined {
  if (at - start > MAX_METHOD_BYTES) throw badMethod(bytes, start, at)
  return undefined
}

function badMethod(bytes: Uint8Array, start: number, at: number): FrpError {
  if (at - start > MAX_METHOD_BYTES) {
    return new FrpError('HTTP_BAD_REQUEST', `method is longer than ${MAX_METHOD_BYTES} bytes`)
  }
  return new FrpError('HTTP_BAD_REQUEST', `request line byte ${at}: ${showByte(bytes[at] as number)} in the method`)
}

function badStatusLine(bytes: Uint8Array, limit: number): FrpError {
  const line = showText(latin1(bytes, 0, Math.min(limit, 16)))
  return new FrpError('HTTP_BAD_RESPONSE', `status line starts with ${line}, expected 'HTTP/1.1 200'`)
}
