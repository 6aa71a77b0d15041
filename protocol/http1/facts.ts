import { FrpError } from '../../contract/errors.ts'
import type { BadMessage } from './field-lines.ts'
import type { Fields } from './fields.ts'
import { isSameText, showText } from './text.ts'

/** What the fields of a message say about its framing and its connection, read once. */
export interface Facts {
  /** Content-Length in bytes, or -1 without one. */
  contentLength: number
  /** Transfer-Encoding is exactly `chunked`. */
  isChunked: boolean
  /** The connection may carry another message after this one (RFC 9112 9.3). */
  keepAlive: boolean
  /** The protocol that `Upgrade` names while `Connection` says `upgrade`, in its spelling; else undefined. */
  upgrade: string | undefined
  /** `Expect: 100-continue`. */
  expectsContinue: boolean
  /** The one Host; undefined without one. */
  host: string | undefined
}

/** Digits of a Content-Length: a number below 10^15 is exact, and a petabyte is enough. */
const MAX_LENGTH_DIGITS = 15

/** Reads the fields that decide; throws what the direction calls a bad message. */
export function factsOf(fields: Fields, minorVersion: number, bad: BadMessage): Facts {
  const facts: Facts = {
    contentLength: -1,
    isChunked: false,
    keepAlive: minorVersion > 0,
    upgrade: undefined,
    expectsContinue: false,
    host: undefined,
  }
  const { names, values } = fields
  let options = 0
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string
    // By length first: most fields are none of these, and are not even put into lower case.
    switch (name.length) {
      case 4:
        if (isSameText(name, 'host')) readHost(facts, values[i] as string, bad)
        break
      case 6:
        if (isSameText(name, 'expect')) facts.expectsContinue = isSameText(values[i] as string, '100-continue')
        break
      case 7:
        if (isSameText(name, 'upgrade')) readUpgrade(facts, values[i] as string)
        break
      case 10:
        if (isSameText(name, 'connection')) options |= readOptions(values[i] as string)
        break
      case 14:
        if (isSameText(name, 'content-length')) readLength(facts, values[i] as string, bad)
        break
      case 17:
        if (isSameText(name, 'transfer-encoding')) readEncoding(facts, values[i] as string, minorVersion, bad)
        break
    }
  }
  if (facts.isChunked && facts.contentLength >= 0) {
    throw new FrpError(bad, 'both Transfer-Encoding and Content-Length')
  }
  if ((options & OPTION_CLOSE) !== 0) facts.keepAlive = false
  else if ((options & OPTION_KEEP_ALIVE) !== 0) facts.keepAlive = true
  // RFC 9110 7.8: an upgrade in HTTP/1.0 is to be ignored.
  if ((options & OPTION_UPGRADE) === 0 || minorVersion === 0) facts.upgrade = undefined
  return facts
}

function readHost(facts: Facts, value: string, bad: BadMessage): void {
  if (facts.host !== undefined && bad === 'HTTP_BAD_REQUEST') throw new FrpError(bad, 'two Host fields')
  facts.host = value
}

/** Several Upgrade fields are one list (RFC 9110 5.3). */
function readUpgrade(facts: Facts, value: string): void {
  facts.upgrade = facts.upgrade === undefined ? value : `${facts.upgrade}, ${value}`
}

const OPTION_CLOSE = 1
const OPTION_KEEP_ALIVE = 2
const OPTION_UPGRADE = 4

function readOptions(value: string): number {
  const whole = optionOf(value)
  if (whole !== 0 || !value.includes(',')) return whole
  let options = 0
  for (const part of value.split(',')) options |= optionOf(part.trim())
  return options
}

function optionOf(token: string): number {
  switch (token.toLowerCase()) {
    case 'close':
      return OPTION_CLOSE
    case 'keep-alive':
      return OPTION_KEEP_ALIVE
    case 'upgrade':
      return OPTION_UPGRADE
    default:
      return 0
  }
}

function readLength(facts: Facts, value: string, bad: BadMessage): void {
  // A list of equal numbers is legal to merge, but llhttp and nginx refuse it, and so do we.
  if (facts.contentLength >= 0) throw new FrpError(bad, 'two Content-Length fields')
  facts.contentLength = decimal(value, bad)
}

function decimal(value: string, bad: BadMessage): number {
  let length = 0
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) throw new FrpError(bad, `Content-Length ${showText(value)} is not a decimal number`)
    length = length * 10 + digit
  }
  if (value === '') throw new FrpError(bad, 'Content-Length is empty')
  if (value.length > MAX_LENGTH_DIGITS) {
    throw new FrpError(bad, `Content-Length ${showText(value)} has more than ${MAX_LENGTH_DIGITS} digits`)
  }
  return length
}

function readEncoding(facts: Facts, value: string, minorVersion: number, bad: BadMessage): void {
  if (facts.isChunked) throw new FrpError(bad, 'two Transfer-Encoding fields')
  if (!isSameText(value, 'chunked')) {
    throw new FrpError(bad, `Transfer-Encoding ${showText(value)}, only 'chunked' is accepted`)
  }
  if (minorVersion === 0) throw new FrpError(bad, 'Transfer-Encoding in HTTP/1.0')
  facts.isChunked = true
}
