import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { FrpError } from '../../contract/errors.ts'
import type { Deadline, Runtime } from '../../contract/runtime.ts'
import { duplexOf, streamOf } from '../../node/duplex.ts'
import { socketStream } from '../../node/socket.ts'
import { serializeRequestHead } from '../../protocol/http1/head.ts'
import { MAX_HTTP_HEAD_BYTES } from '../../protocol/limits.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { Waiting } from '../proxies/waiting.ts'
import { fieldsOf } from './http-fields.ts'
import { LINGER_MS, OPENING_MS } from './tunnel-user.ts'

/** Takes a connection over that asks for another protocol, or for a tunnel; `head` was read behind the request. */
export type TakeOver = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

export interface HttpHandlers {
  onRequest: RequestListener
  /** A request without a body asks for another protocol than h2c. Absent: that is ignored, as RFC 9110 allows. */
  onUpgrade?: TakeOver
  /** Absent: CONNECT closes the connection. */
  onConnect?: TakeOver
}

/** A user at the door. */
export interface HttpUser {
  /** The user's IP address, as the relay says; '' if it does not. */
  address: string
  /** Whether a FIN of the user ends one direction alone; else it ends all. */
  halfClose: boolean
  /** Called once, when the connection is over. */
  onClose(): void
}

/** Node's HTTP server over streams of ours instead of a listener. */
export class HttpDoor {
  private readonly runtime: Runtime
  private readonly server: Server
  private readonly openings = new WeakMap<Duplex, Deadline>()
  /** The last answer of each connection; those before it are done when it is. */
  private readonly answers = new WeakMap<Duplex, ServerResponse>()

  constructor(runtime: Runtime, { onRequest, onUpgrade, onConnect }: HttpHandlers) {
    this.runtime = runtime
    this.server = createServer({ maxHeaderSize: MAX_HTTP_HEAD_BYTES }, (request, response) => {
      // Node reads on while an answer is due; what changes something may not overtake (RFC 9112 9.3.2).
      this.afterAnswers(request.socket, () => onRequest(request, response))
      this.answers.set(request.socket, response)
    })
    // Whether a FIN ends all is a matter of the connection: `duplexOfUser`.
    Object.assign(this.server, { httpAllowHalfOpen: true })
    // As in frp an idle connection stays: whoever keeps it (a relay's pool) may send on it at any time.
    this.server.keepAliveTimeout = 0
    // Node drops fields above its count without a word; the size of the head is the bound.
    this.server.maxHeadersCount = 0
    this.server.on('clientError', (error, socket) => this.refuse(socket, error))
    if (onUpgrade !== undefined) {
      this.server.on('upgrade', (request, socket, head) => {
        if (mayUpgrade(request)) this.afterAnswers(socket, () => onUpgrade(request, socket, head))
        else this.afterAnswers(socket, () => this.serveWithoutUpgrade(request, socket, head))
      })
    }
    if (onConnect !== undefined) {
      this.server.on('connect', (request, socket, head) => {
        this.afterAnswers(socket, () => onConnect(request, socket, head))
      })
    }
  }

  /** Serves a connection; its first request must come within 60 s. */
  serve(socket: Duplex): void {
    const deadline = this.runtime.after(OPENING_MS, () => socket.destroy(new FrpError('TIMEOUT', 'no request in time')))
    this.openings.set(socket, deadline)
    socket.once('close', () => deadline.cancel())
    this.server.emit('connection', socket)
  }

  /** What came is no request. */
  private refuse(socket: Duplex, error: Error): void {
    const last = this.answers.get(socket)
    const isAnswering = last?.headersSent === true && !last.writableFinished
    if (socket.destroyed || !socket.writable || isAnswering) {
      socket.destroy(error)
      return
    }
    const isTooLarge = 'code' in error && error.code === 'HPE_HEADER_OVERFLOW'
    const status = isTooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request'
    sayAndClose(socket, `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
  }

  /** Requests of one connection are served one after the other, and so is what comes behind the last. */
  private afterAnswers(socket: Duplex, next: () => void): void {
    this.openings.get(socket)?.cancel()
    const last = this.answers.get(socket)
    if (last === undefined || last.writableFinished) next()
    else {
      last.once('close', () => {
        if (!socket.destroyed) next()
      })
    }
  }

  /** Node has no way back from an upgrade: the request is written anew, and the server reads the connection again. */
  private serveWithoutUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const fields = fieldsOf(request.rawHeaders)
    const isLast = fields.getAll('connection').some((value) => /\bclose\b/i.test(value))
    for (const name of ['connection', 'upgrade', 'http2-settings']) fields.delete(name)
    if (isLast) fields.append('Connection', 'close')
    const again = serializeRequestHead({ method: request.method ?? '', target: request.url ?? '', fields })
    socket.unshift(Buffer.concat([again, head]))
    this.server.emit('connection', socket)
  }
}

/**
 * h2c is another hop's (RFC 9113 3.1 has dropped it), and a body would have to be carried before the answer is
 * known: no client of WebSocket has one.
 */
function mayUpgrade({ headers }: IncomingMessage): boolean {
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
  return !hasBody && !/\bh2c\b/i.test(headers.upgrade ?? '')
}

/** A user's stream as Node's servers take it; attaches before it returns. */
export function duplexOfUser(runtime: Runtime, stream: ByteStream, user: HttpUser): Duplex {
  // The duplex attaches a moment later: until then only a close may come, and must not be missed.
  stream.pause()
  stream.attach(new Waiting((error) => duplex.destroy(error)))
  const duplex = duplexOf(stream)
  tellAddress(duplex, user.address)
  duplex.once('close', () => user.onClose())
  // What nobody listens for would end the process; the close says it too.
  duplex.on('error', () => undefined)
  if (!user.halfClose) duplex.once('end', () => duplex.destroy())
  // Node calls it after a last answer: the user has a moment to read it and to leave.
  const destroySoon = (): void => {
    duplex.end()
    const deadline = runtime.after(LINGER_MS, () => duplex.destroy())
    duplex.once('close', () => deadline.cancel())
  }
  return Object.assign(duplex, { destroySoon })
}

/** A connection that Node's server gave away, as a stream. */
export function userStream(socket: Duplex): ByteStream {
  return socket instanceof TLSSocket ? socketStream(socket) : streamOf(socket)
}

/** Says the last thing on a connection that Node's server gave away. */
export function sayAndClose(socket: Duplex, bytes: string | Uint8Array): void {
  socket.end(bytes, () => socket.destroy())
}

/** Where node:http and node:http2 look for it. */
export function tellAddress(socket: Duplex, address: string): void {
  Object.defineProperty(socket, 'remoteAddress', { value: address, configurable: true })
}
