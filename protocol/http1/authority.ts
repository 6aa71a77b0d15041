import { FrpError } from '../../contract/errors.ts'
import { showText } from './text.ts'

/** What a request target says (RFC 9112 3.2). */
export interface Target {
  /** The authority of an absolute-form or authority-form target, `host` or `host:port`; else undefined. */
  authority: string | undefined
  /** Path and query as they came, `*`, or `''` for CONNECT. */
  path: string
  isAbsoluteForm: boolean
}

/** Takes a request target apart; throws HTTP_BAD_REQUEST for a form that does not fit the method. */
export function parseTarget(method: string, target: string): Target {
  if (method === 'CONNECT') {
    // RFC 9110 9.3.6 wants a port; frp's own proxy dialer sends a bare name, and Go takes it.
    checkAuthority(target, 'target')
    if (target.endsWith(':')) {
      throw new FrpError('HTTP_BAD_REQUEST', `target ${showText(target)}: CONNECT with an empty port`)
    }
    return { authority: target, path: '', isAbsoluteForm: false }
  }
  if (target.charCodeAt(0) === SLASH) return { authority: undefined, path: target, isAbsoluteForm: false }
  if (target === '*') {
    if (method === 'OPTIONS') return { authority: undefined, path: '*', isAbsoluteForm: false }
    throw new FrpError('HTTP_BAD_REQUEST', `target '*' with method ${showText(method)}, only OPTIONS has it`)
  }
  return absoluteForm(method, target)
}

const SLASH = 47

function absoluteForm(method: string, target: string): Target {
  const start = schemeLength(target)
  if (start === 0) {
    throw new FrpError('HTTP_BAD_REQUEST', `target ${showText(target)} is neither a path nor an http URL`)
  }
  let end = start
  while (end < target.length && target[end] !== '/' && target[end] !== '?') end += 1
  const authority = target.substring(start, end)
  checkAuthority(authority, 'target')
  const rest = target.substring(end)
  if (rest === '' && method === 'OPTIONS') return { authority, path: '*', isAbsoluteForm: true }
  return { authority, path: rest.startsWith('/') ? rest : `/${rest}`, isAbsoluteForm: true }
}

function schemeLength(target: string): number {
  const start = target.slice(0, 8).toLowerCase()
  if (start.startsWith('http://')) return 7
  return start === 'https://' ? 8 : 0
}

/**
 * Checks `host`, `host:port`, `[ip6]` or `[ip6]:port`. Names are letters, digits, `-`, `.` and `_`: what
 * RFC 3986 allows beyond that no name server answers, and back ends read it in several ways. An empty port
 * is legal there.
 */
export function checkAuthority(authority: string, field: string): void {
  const problem = authorityProblem(authority)
  if (problem !== undefined) throw new FrpError('HTTP_BAD_REQUEST', `${field} ${showText(authority)}: ${problem}`)
}

function authorityProblem(authority: string): string | undefined {
  let at = 0
  if (authority.charCodeAt(0) === 0x5b) {
    const close = authority.indexOf(']')
    if (close < 2) return 'a bracket without address'
    for (let i = 1; i < close; i++) {
      if (!isAddressCharacter(authority.charCodeAt(i))) return `${showText(authority[i] ?? '')} in an IPv6 address`
    }
    at = close + 1
  } else {
    while (at < authority.length && isNameCharacter(authority.charCodeAt(at))) at += 1
    if (at === 0) return authority === '' ? 'the host is empty' : `${showText(authority[0] ?? '')} in the host`
  }
  if (at === authority.length) return undefined
  if (authority.charCodeAt(at) !== 0x3a) return `${showText(authority[at] ?? '')} in the host`
  return portProblem(authority, at + 1)
}

function portProblem(authority: string, start: number): string | undefined {
  let port = 0
  for (let i = start; i < authority.length; i++) {
    const digit = authority.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return `${showText(authority[i] ?? '')} in the port`
    port = port * 10 + digit
  }
  return port > 65_535 || authority.length - start > 5 ? 'the port is above 65535' : undefined
}

function isNameCharacter(code: number): boolean {
  return isAlphanumeric(code) || code === 0x2e || code === 0x2d || code === 0x5f
}

/** Hexadecimal digits, colons and dots, and a zone with its percent sign (RFC 6874). */
function isAddressCharacter(code: number): boolean {
  return isNameCharacter(code) || code === 0x3a || code === 0x25
}

function isAlphanumeric(code: number): boolean {
  const lower = code | 0x20
  return (code >= 0x30 && code <= 0x39) || (lower >= 0x61 && lower <= 0x7a)
}
