import {
  constants,
  createServer,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Socket } from 'node:net'
import { FrpError } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import { Http2Heads } from '../node/http2-heads.ts'
import type { HeadLimits } from '../protocol/http1/head.ts'
import type { Link } from '../protocol/stream/byte-stream.ts'
import { pair } from '../protocol/stream/pair.ts'
import type { Addresses } from '../relay/ingress.ts'
import { H2cRun } from './h2c-run.ts'

/** RFC 9113 3.4: what a client that knows of HTTP/2 begins with. */
export const H2_PREFACE = new TextEncoder().encode('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** nginx's bound; Go's is 250. Each stream may hold a window. */
const MAX_STREAMS = 128
/** Between two requests of one connection: as HTTP/1.1 has it here. */
const IDLE_MS = 60_000

export interface H2cOptions {
  runtime: Runtime
  headLimits: HeadLimits
  /** Serves one connection of HTTP/1.1, which here is one of memory for each request. */
  serve: (user: Link, addresses: Addresses) => void
}

/** HTTP/2 without TLS, by clients that know beforehand (frp: golang.org/x/net/http2/h2c on its vhost HTTP port). */
export interface H2cDoor {
  /** `head`: all that was read of the connection, from the preface on. */
  accept(socket: Socket, head: Uint8Array, addresses: Addresses): void
}

/**
 * Node's HTTP/2 without a port: connections are handed to it. Each request becomes one of HTTP/1.1 over memory, so that
 * routes, rules, limits and counters are those of every other request.
 */
export function h2cDoor({ runtime, headLimits, serve }: H2cOptions): H2cDoor {
  const addressesOf = new WeakMap<Http2Session, Addresses>()
  /** Whose connection is being handed over: Node tells of its session inside that call. */
  let arriving: Addresses | undefined
  const server = createServer({
    maxHeaderListPairs: headLimits.fields,
    settings: { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: headLimits.bytes, enablePush: false },
  })
  const heads = new Http2Heads(headLimits.bytes)
  server.on('sessionError', (error) => runtime.log.debug(`http2: ${error.message}`))
  server.on('session', (session) => {
    if (arriving !== undefined) addressesOf.set(session, arriving)
    session.setTimeout(IDLE_MS, () => session.close())
    // The listener lets sockets half-close, and then Node's session would stay until it has been idle for long.
    session.socket.once('end', () => session.close())
  })
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, raw: string[]) => {
    stream.on('error', ignore)
    const addresses = stream.session && addressesOf.get(stream.session)
    if (addresses === undefined) stream.close(constants.NGHTTP2_REFUSED_STREAM)
    else if (heads.admit(stream, raw)) {
      start(stream, headers, (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0, (user) => serve(user, addresses))
    }
  })
  return {
    accept(socket, head, addresses) {
      arriving = addresses
      // Not resumed: Node takes what was read, and then reads below the socket.
      socket.unshift(head)
      server.emit('connection', socket)
      arriving = undefined
    },
  }
}

function start(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  hasBody: boolean,
  serve: (user: Link) => void,
): void {
  try {
    const run = new H2cRun(stream, headers, hasBody)
    const [ours, theirs] = pair()
    serve(theirs)
    run.start(ours)
  } catch (error) {
    if (!(error instanceof FrpError)) throw error
    stream.respond({ ':status': 400 }, { endStream: true })
  }
}

function ignore(): void {
  // 'close' follows, and says all that is needed.
}
