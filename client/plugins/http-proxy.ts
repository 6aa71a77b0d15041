import type { IncomingMessage, ServerResponse } from 'node:http'
import { FrpError, messageOf } from '../../contract/errors.ts'
import { socketStream } from '../../node/socket.ts'
import { parseTarget } from '../../protocol/http1/authority.ts'
import { type RequestHead, readRequestHead, removeHopByHop } from '../../protocol/http1/head.ts'
import { MAX_HTTP_HEAD_BYTES } from '../../protocol/limits.ts'
import { join } from '../../protocol/stream/join.ts'
import { dialLocal } from '../proxies/local.ts'
import type { Backend } from '../proxies/proxy.ts'
import { parseLocalAddr } from './bridge.ts'
import { Credentials } from './credentials.ts'
import { Forwarder, type Onward } from './forwarder.ts'
import { addressOf } from './http-backend.ts'
import { duplexOfUser, HttpDoor, sayAndClose, type TakeOver, userStream } from './http-door.ts'
import { fieldsOf, upgradeOf } from './http-fields.ts'
import { fail, responseOn } from './http-response.ts'
import type { Parsed } from './opening.ts'
import type { PluginParts } from './plugin.ts'
import { type TunnelUser, tunnelBackend } from './tunnel-user.ts'

const CONNECT = Buffer.from('CONNECT ')
const ESTABLISHED = Buffer.from('HTTP/1.1 200 OK\r\n\r\n')
const BAD_REQUEST = ownAnswer('400 Bad Request')
const BAD_GATEWAY = ownAnswer('502 Bad Gateway')
const CHALLENGE = 'Basic realm="Restricted"'
const UNAUTHORIZED = ownAnswer('407 Proxy Authentication Required', `Proxy-Authenticate: ${CHALLENGE}\r\n`)
/** The head, and what the client sends behind it without waiting. */
const MAX_OPENING_BYTES = 2 * MAX_HTTP_HEAD_BYTES

/** `http_proxy`: CONNECT, and plain requests that name a whole URL, with user and password if there are any. */
export function httpProxy(parts: PluginParts<'http_proxy'>): Backend {
  const proxy = new HttpProxy(parts)
  return tunnelBackend(
    parts,
    MAX_OPENING_BYTES,
    (user) => proxy.serve(user),
    () => proxy.close(),
  )
}

class HttpProxy {
  private readonly parts: PluginParts<'http_proxy'>
  private readonly credentials: Credentials
  private readonly forwarder: Forwarder
  private readonly door: HttpDoor

  constructor(parts: PluginParts<'http_proxy'>) {
    const { options, runtime, log } = parts
    this.parts = parts
    this.credentials = new Credentials(options.httpUser, options.httpPassword, runtime)
    this.forwarder = new Forwarder(runtime, log, true)
    this.door = new HttpDoor(runtime, {
      onRequest: (request, response) => void this.forward(request, response),
      onUpgrade: (request, socket, head) => void this.upgrade(request, socket, head),
      onConnect: (request, socket, head) => void this.connectLater(request, socket, head),
    })
  }

  close(): void {
    this.forwarder.close()
  }

  /** A tunnel is joined as it is; all else goes through Node's server. */
  async serve(user: TunnelUser): Promise<void> {
    const { opening, work } = user
    if (!(await opening.read(beginsWithConnect))) {
      const http = { address: addressOf(work), halfClose: work.halfClose, onClose: () => user.over() }
      this.door.serve(duplexOfUser(this.parts.runtime, user.release(), http))
      return
    }
    let head: RequestHead
    try {
      head = await opening.read(requestHead)
    } catch (error) {
      if (opening.isGone || !(error instanceof FrpError) || error.code === 'STREAM_CUT') throw error
      return user.refuse(BAD_REQUEST)
    }
    if (!(await this.isAllowed(head.fields.get('Proxy-Authorization')))) return user.refuse(UNAUTHORIZED)
    const { host, port } = parseLocalAddr(head.authority, true)
    let socket: Awaited<ReturnType<TunnelUser['dial']>>
    try {
      socket = await user.dial(host, port)
    } catch (error) {
      if (opening.isGone) throw error
      this.parts.log.warn(`http_proxy: ${messageOf(error)}`)
      return user.refuse(BAD_GATEWAY)
    }
    await user.join(socket, ESTABLISHED)
  }

  private async forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!(await this.isAllowed(request.headers['proxy-authorization']))) {
      response.setHeader('Proxy-Authenticate', CHALLENGE)
      fail(response, 407, 'Proxy Authentication Required')
      return
    }
    const onward = onwardOf(request, undefined)
    if (onward === undefined) fail(response, 400, 'Bad Request')
    else this.forwarder.forward(request, response, onward)
  }

  private async upgrade(...[request, socket, head]: Parameters<TakeOver>): Promise<void> {
    const isAllowed = await this.isAllowed(request.headers['proxy-authorization'])
    const onward = onwardOf(request, request.headers.upgrade)
    if (isAllowed && onward !== undefined) {
      this.forwarder.forwardUpgrade(request, socket, head, onward)
      return
    }
    const response = responseOn(request, socket)
    if (!isAllowed) response.setHeader('Proxy-Authenticate', CHALLENGE)
    if (isAllowed) fail(response, 400, 'Bad Request')
    else fail(response, 407, 'Proxy Authentication Required')
  }

  /** CONNECT on a connection that had other requests before. */
  private async connectLater(...[request, socket, head]: Parameters<TakeOver>): Promise<void> {
    const { runtime, log } = this.parts
    if (!(await this.isAllowed(request.headers['proxy-authorization']))) {
      sayAndClose(socket, UNAUTHORIZED)
      return
    }
    const dialing = new AbortController()
    const userGone = (): void => dialing.abort(new FrpError('STREAM_CUT', 'the user is gone'))
    socket.once('close', userGone)
    try {
      const { authority } = parseTarget('CONNECT', request.url ?? '')
      const { host, port } = parseLocalAddr(authority ?? '', true)
      const server = await dialLocal({ host, port }, runtime, dialing.signal)
      socket.off('close', userGone)
      socket.write(ESTABLISHED)
      join(socketStream(server), userStream(socket), { headOfB: new Uint8Array(head) })
    } catch (error) {
      log.warn(`http_proxy: ${messageOf(error)}`)
      if (!socket.destroyed) sayAndClose(socket, BAD_GATEWAY)
    }
  }

  private async isAllowed(shown: string | undefined): Promise<boolean> {
    if (this.credentials.isRightHeader(shown)) return true
    if (shown !== undefined) await this.credentials.wrongOne()
    return false
  }
}

function beginsWithConnect(bytes: Uint8Array): Parsed<boolean> | undefined {
  const start = Buffer.from(bytes.subarray(0, CONNECT.length))
  if (!CONNECT.subarray(0, start.length).equals(start)) return { value: false, bytesUsed: 0 }
  return start.length < CONNECT.length ? undefined : { value: true, bytesUsed: 0 }
}

function requestHead(bytes: Uint8Array): Parsed<RequestHead> | undefined {
  const head = readRequestHead(bytes)
  return head && { value: head, bytesUsed: head.byteLength }
}

/** Undefined: the request names no whole URL. */
function onwardOf(request: IncomingMessage, upgrade: string | undefined): Onward | undefined {
  const { method = '', url = '' } = request
  try {
    const { authority, path, isAbsoluteForm } = parseTarget(method, url)
    if (authority === undefined || !isAbsoluteForm) return undefined
    const target = parseLocalAddr(authority, /^https:/i.test(url))
    const fields = fieldsOf(request.rawHeaders)
    removeHopByHop(fields, upgradeOf(upgrade))
    fields.delete('host')
    fields.prepend('Host', authority)
    return { target, method, path, fields, upgrade }
  } catch {
    return undefined // a URL that cannot be read in one way only is answered as none
  }
}

function ownAnswer(status: string, fields = ''): Buffer {
  return Buffer.from(`HTTP/1.1 ${status}\r\n${fields}Connection: close\r\nContent-Length: 0\r\n\r\n`)
}
