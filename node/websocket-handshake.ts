import { createHash, randomBytes } from 'node:crypto'
import { FrpError } from '../contract/errors.ts'

/** RFC 6455 section 1.3. */
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const VERSION = '13'
/** Our ends announce themselves with `edgefrp: 1`, in the request and in the answer. */
const OWN_HEADER = 'edgefrp'
const OWN_VALUE = '1'
/** The answer to an upgrade is short; more than this is something else. */
const MAX_ANSWER_BYTES = 16 * 1024
/** A reason is a line or two; a longer answer is a page. */
const MAX_SAID_BYTES = 500
const KEY_BYTES = 16
/** Base64 of 16 bytes. */
const KEY_PATTERN = /^[A-Za-z0-9+/]{22}==$/

/** Values of a header, as a name in lower case maps to them; several values as one comma-separated list. */
export type HeaderFields = Readonly<Record<string, string | string[] | undefined>>

export type UpgradeAnswer =
  | { isAccepted: true; head: Uint8Array; isOwnPeer: boolean }
  | { isAccepted: false; status: number; head: Uint8Array; reason: string }

/**
 * What to answer to a request for an upgrade, path and host being the caller's to check. `head` is the whole answer.
 * Stock frps refuses a request without an Origin, we do not: no cookie or other credential comes with the socket.
 */
export function upgradeAnswer(method: string, fields: HeaderFields): UpgradeAnswer {
  const isUpgrade =
    method === 'GET' && hasToken(fields['upgrade'], 'websocket') && hasToken(fields['connection'], 'upgrade')
  if (!isUpgrade) return refusal(400, 'not websocket protocol')
  if (fieldText(fields['sec-websocket-version']) !== VERSION) {
    return refusal(400, 'not supported version', `Sec-WebSocket-Version: ${VERSION}\r\n`)
  }
  const key = fieldText(fields['sec-websocket-key'])
  if (!KEY_PATTERN.test(key)) return refusal(400, 'bad Sec-WebSocket-Key')
  // A web page of somebody else's; frpc and other programs send no such header.
  if (fieldText(fields['sec-fetch-site']) === 'cross-site') return refusal(403, 'cross-site upgrade')
  const isOwnPeer = fieldText(fields[OWN_HEADER]) === OWN_VALUE
  // Stock frpc compares the whole value of Connection, and accepts neither extensions nor a protocol.
  const text =
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
    `Sec-WebSocket-Accept: ${acceptOf(key)}\r\n${OWN_HEADER}: ${OWN_VALUE}\r\n\r\n`
  return { isAccepted: true, head: latin1(text), isOwnPeer }
}

export interface UpgradeTarget {
  /** As in the Host header: name, with port unless it is wss (as frpc does). */
  host: string
  /** Request target, e.g. `/~!frp`. */
  path: string
  /** Default: `http://<host>`, which frpc sends for wss too. */
  origin?: string
}

/** frpc's request for an upgrade (names and order of x/net/websocket), with our announcement behind it. */
export function upgradeRequest(target: UpgradeTarget): { head: Uint8Array; key: string } {
  const key = randomBytes(KEY_BYTES).toString('base64')
  const { host, path } = target
  const origin = target.origin ?? `http://${host}`
  const text =
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Key: ${key}\r\nOrigin: ${origin}\r\nSec-WebSocket-Version: ${VERSION}\r\n` +
    `${OWN_HEADER}: ${OWN_VALUE}\r\n\r\n`
  return { head: latin1(text), key }
}

export interface UpgradeResult {
  isOwnPeer: boolean
  /** Bytes of `received` that belong to the answer. */
  headBytes: number
}

/**
 * Reads the answer to an upgrade from all bytes that were received; undefined: it is not complete. Throws
 * WEBSOCKET_UPGRADE for what x/net/websocket does not accept either.
 */
export function readUpgradeAnswer(received: Uint8Array, key: string): UpgradeResult | undefined {
  const end = endOfHead(received)
  if (end === -1) {
    if (received.length > MAX_ANSWER_BYTES) throw refused(`its head has more than ${MAX_ANSWER_BYTES} bytes`)
    return undefined
  }
  const head = textOf(received.subarray(0, end - 4))
  const [startLine = '', ...lines] = head.split('\r\n')
  const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(startLine)?.[1]
  if (status === undefined) throw refused(`no HTTP answer but ${JSON.stringify(startLine.slice(0, 60))}`)
  if (status !== '101') {
    const said = saidBy(head, received.subarray(end))
    if (said === undefined) return undefined
    throw refused(`bad status ${status}${said === '' ? '' : `: ${said}`}`)
  }
  const fields = fieldsOf(lines)
  if (lower(fields['upgrade']) !== 'websocket' || lower(fields['connection']) !== 'upgrade') {
    throw refused('missing or bad upgrade')
  }
  if (fields['sec-websocket-accept'] !== acceptOf(key)) throw refused('mismatch challenge/response')
  if (fields['sec-websocket-extensions'] !== undefined) throw refused('unsupported extensions')
  if (fields['sec-websocket-protocol'] !== undefined) throw refused('missing or bad WebSocket-Protocol')
  return { isOwnPeer: fields[OWN_HEADER] === OWN_VALUE, headBytes: end }
}

/** What a refusal says in words, '' for none that is short and plain; undefined: it has not come yet. */
function saidBy(head: string, body: Uint8Array): string | undefined {
  const length = Number(/^content-length: *(\d{1,9}) *$/im.exec(head)?.[1] ?? 0)
  if (length === 0 || length > MAX_SAID_BYTES || !/^content-type: *text\/plain\b/im.test(head)) return ''
  if (body.length < length) return undefined
  return new TextDecoder().decode(body.subarray(0, length)).trim().replace(/\s+/g, ' ')
}

function refusal(status: 400 | 403, reason: string, field = ''): UpgradeAnswer {
  const phrase = status === 400 ? 'Bad Request' : 'Forbidden'
  const text =
    `HTTP/1.1 ${status} ${phrase}\r\n${field}Content-Type: text/plain\r\n` +
    `Content-Length: ${reason.length}\r\nConnection: close\r\n\r\n${reason}`
  return { isAccepted: false, status, head: latin1(text), reason }
}

function refused(what: string): FrpError {
  return new FrpError('WEBSOCKET_UPGRADE', `WebSocket upgrade: ${what}`)
}

function acceptOf(key: string): string {
  return createHash('sha1').update(key).update(ACCEPT_GUID).digest('base64')
}

function fieldsOf(lines: string[]): Record<string, string> {
  const fields: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon <= 0) throw refused(`bad header line ${JSON.stringify(line.slice(0, 60))}`)
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    const before = fields[name]
    fields[name] = before === undefined ? value : `${before}, ${value}`
  }
  return fields
}

function endOfHead(bytes: Uint8Array): number {
  const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf('\r\n\r\n')
  return at === -1 ? -1 : at + 4
}

function hasToken(value: string | string[] | undefined, token: string): boolean {
  return fieldText(value)
    .split(',')
    .some((part) => part.trim().toLowerCase() === token)
}

function fieldText(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value.trim() : (value?.join(', ') ?? '')
}

function lower(value: string | undefined): string | undefined {
  return value?.toLowerCase()
}

function latin1(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'latin1')
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}
