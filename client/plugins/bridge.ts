import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { FrpError, messageOf } from '../../contract/errors.ts'
import { checkAuthority, parseTarget } from '../../protocol/http1/authority.ts'
import { Fields, removeHopByHop, utf8AsLatin1 } from '../../protocol/http1/head.ts'
import type { TcpParts } from '../proxies/tcp.ts'
import { Forwarder, type Onward, type UserRequest, type UserResponse } from './forwarder.ts'
import { fieldsOf, upgradeOf } from './http-fields.ts'
import { fail, responseOn } from './http-response.ts'
import type { HttpsService } from './https-backend.ts'
import type { WebTarget } from './web-connections.ts'

/** The keys that http2http, http2https, https2http and https2https share. */
export interface BridgeOptions {
  localAddr: string
  hostHeaderRewrite: string
  requestHeaders: { set: Record<string, string> }
}

export interface BridgeRules {
  /** How the local service is spoken to; its certificate is not checked, as in frp. */
  scheme: 'http' | 'https'
  /**
   * What becomes of X-Forwarded-For, -Host and -Proto: `strip` drops them, `pass` leaves what is there, `tell`
   * adds the user's address to For and sets the others.
   */
  forwarded: 'strip' | 'pass' | 'tell'
  /** Users came by TLS: the name that they asked for there must be the request's host. */
  isTls: boolean
}

/** What a request line can carry. */
const TARGET = /^[\x21-\x7e\x80-\xff]+$/
/** RFC 9110 15.5.20. */
const MISDIRECTED = 421
/** Go's Request.Write takes these from elsewhere: a field set to one of them changes nothing in frp. */
const NOT_SETTABLE = new Set(['host', 'content-length', 'transfer-encoding', 'trailer'])

/** Carries users' HTTP to a local web server that speaks HTTP or HTTPS (frp's http bridge plugins). */
export class Bridge implements HttpsService {
  private readonly forwarder: Forwarder
  private readonly target: WebTarget
  private readonly rules: BridgeRules
  private readonly host: string
  private readonly added: Fields
  private readonly localAddr: string

  /** Throws CONFIG_FIELD, naming the field that no request could be sent with. */
  constructor({ runtime, log }: TcpParts, options: BridgeOptions, rules: BridgeRules) {
    this.rules = rules
    this.localAddr = options.localAddr
    this.target = parseLocalAddr(options.localAddr, rules.scheme === 'https')
    this.host = options.hostHeaderRewrite
    this.added = addedFields(options)
    this.forwarder = new Forwarder(runtime, log, false)
  }

  readonly onRequest = (request: UserRequest, response: UserResponse): void => {
    const refused = this.refusalOf(request)
    if (refused !== undefined) fail(response, ...refused)
    else this.forwarder.forward(request, response, this.onwardOf(request, undefined))
  }

  readonly onHttp2Request = this.onRequest

  readonly onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const refused = this.refusalOf(request)
    if (refused !== undefined) fail(responseOn(request, socket), ...refused)
    else this.forwarder.forwardUpgrade(request, socket, head, this.onwardOf(request, request.headers.upgrade))
  }

  close(): void {
    this.forwarder.close()
  }

  private refusalOf(request: UserRequest): [status: number, reason: string] | undefined {
    const { method = '', url = '' } = request
    try {
      parseTarget(method, url)
    } catch {
      return [400, 'Bad Request'] // the text of the parser is for no stranger's eyes
    }
    // HTTP/2 has no line that a space would end.
    if (!TARGET.test(url)) return [400, 'Bad Request']
    if (!this.rules.isTls) return undefined
    const { socket } = request
    const asked = 'servername' in socket && typeof socket.servername === 'string' ? socket.servername : ''
    if (asked === '' || canonicalHost(asked) === canonicalHost(authorityOf(request))) return undefined
    return [MISDIRECTED, 'Misdirected Request']
  }

  private onwardOf(request: UserRequest, upgrade: string | undefined): Onward {
    const method = request.method ?? ''
    const { path } = parseTarget(method, request.url ?? '')
    const authority = authorityOf(request)
    const fields = fieldsOf(request.rawHeaders)
    removeHopByHop(fields, upgradeOf(upgrade))
    this.setForwarded(fields, authority, request.socket.remoteAddress ?? '')
    joinCookies(fields)
    fields.delete('host')
    fields.prepend('Host', this.host || authority || this.localAddr)
    for (const [name, value] of this.added) fields.set(name, value)
    return { target: this.target, method, path, fields, upgrade }
  }

  private setForwarded(fields: Fields, authority: string, address: string): void {
    const { forwarded, isTls } = this.rules
    fields.delete('Forwarded')
    if (forwarded === 'pass') return
    const before = forwarded === 'tell' ? fields.getAll('X-Forwarded-For') : []
    for (const name of ['X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Proto']) fields.delete(name)
    if (forwarded === 'strip') return
    if (address !== '') before.push(address)
    if (before.length > 0) fields.append('X-Forwarded-For', before.join(', '))
    fields.append('X-Forwarded-Host', authority)
    fields.append('X-Forwarded-Proto', isTls ? 'https' : 'http')
  }
}

/** Whom a request is for, `host` or `host:port`; '' of HTTP/1.0 without Host. */
function authorityOf(request: UserRequest): string {
  const inTarget = parseTarget(request.method ?? '', request.url ?? '').authority
  return inTarget ?? request.headers[':authority']?.toString() ?? request.headers.host ?? ''
}

/** RFC 9113 8.2.3: HTTP/2 may have cut the field, HTTP/1.1 has it in one piece. */
function joinCookies(fields: Fields): void {
  const cookies = fields.getAll('cookie')
  if (cookies.length > 1) fields.set('cookie', cookies.join('; '))
}

/** Lower case, without port and the dot of a full name. */
function canonicalHost(authority: string): string {
  return authority.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')
}

function addedFields({ hostHeaderRewrite, requestHeaders }: BridgeOptions): Fields {
  const fields = new Fields()
  try {
    if (hostHeaderRewrite !== '') new Fields().append('Host', hostHeaderRewrite)
  } catch (error) {
    throw new FrpError('CONFIG_FIELD', `plugin.hostHeaderRewrite: ${messageOf(error)}`, { cause: error })
  }
  for (const [name, value] of Object.entries(requestHeaders.set)) {
    if (NOT_SETTABLE.has(name.toLowerCase())) continue
    try {
      fields.append(name, utf8AsLatin1(value))
    } catch (error) {
      throw new FrpError('CONFIG_FIELD', `plugin.requestHeaders.set: ${messageOf(error)}`, { cause: error })
    }
  }
  return fields
}

/** `host:port`; without a port that of the scheme. */
export function parseLocalAddr(text: string, isTls: boolean): WebTarget {
  try {
    checkAuthority(text, 'plugin.localAddr')
  } catch (error) {
    // A bare IPv6 address is clear enough.
    if (isIP(text) !== 6) throw new FrpError('CONFIG_FIELD', messageOf(error), { cause: error })
    return { host: text, port: isTls ? 443 : 80, isTls }
  }
  const [, host = '', port = ''] = /^(.*?)(?::(\d*))?$/.exec(text) ?? []
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? (isTls ? 443 : 80) : Number(port), isTls }
}
