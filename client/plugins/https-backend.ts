import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { FrpError, messageOf } from '../../contract/errors.ts'
import { Http2Heads } from '../../node/http2-heads.ts'
import { serverTls } from '../../node/tls.ts'
import { MAX_HTTP_FIELDS, MAX_HTTP_HEAD_BYTES } from '../../protocol/limits.ts'
import type { Backend } from '../proxies/proxy.ts'
import type { TcpParts } from '../proxies/tcp.ts'
import { addressOf, type HttpService, userDuplex } from './http-backend.ts'
import { HttpDoor, tellAddress } from './http-door.ts'
import { OPENING_MS } from './tunnel-user.ts'

/** Go's net/http: requests of one connection at a time, and bytes that a sender may be ahead (per stream, in all). */
const HTTP2_STREAMS = 250
const HTTP2_WINDOW_BYTES = 1024 * 1024

/** What the plugins that terminate TLS have in common. */
export interface CertificateOptions {
  crtPath: string
  keyPath: string
  enableHTTP2: boolean
}

/** The same service for HTTP/2; its requests have the methods of node:http's. */
export interface HttpsService extends HttpService {
  onHttp2Request(request: Http2ServerRequest, response: Http2ServerResponse): void
}

/** What errors call the files of a plugin. */
export const CERTIFICATE_NAMES = { certFile: 'plugin.crtPath', keyFile: 'plugin.keyPath' }

/** Terminates TLS on each work connection and serves HTTP/1.1 and, unless it is off, HTTP/2. Rejects for wrong files. */
export async function httpsBackend(
  parts: TcpParts,
  { crtPath, keyPath, enableHTTP2 }: CertificateOptions,
  service: HttpsService,
): Promise<Backend> {
  const { runtime, log } = parts
  const files = { certFile: crtPath, keyFile: keyPath }
  const alpn = enableHTTP2 ? ['h2', 'http/1.1'] : ['http/1.1']
  const tls = serverTls(files, { alpn, names: CERTIFICATE_NAMES })
  const door = new HttpDoor(runtime, service)
  const http2 = enableHTTP2 ? await http2Server(service) : undefined
  return {
    take(work) {
      const duplex = userDuplex(parts, work)
      const deadline = runtime.after(OPENING_MS, () => duplex.destroy(new FrpError('TIMEOUT', 'no TLS in time')))
      tls.accept(duplex).then(
        (socket) => {
          deadline.cancel()
          tellAddress(socket, addressOf(work))
          if (socket.alpnProtocol === 'h2' && http2 !== undefined) http2.emit('connection', socket)
          else door.serve(socket)
        },
        (error: unknown) => {
          deadline.cancel()
          log.warn(`tls handshake error: ${messageOf(error)}`)
        },
      )
    },
    close: () => service.close(),
  }
}

async function http2Server(service: HttpsService) {
  const { createServer } = await import('node:http2')
  const heads = new Http2Heads(MAX_HTTP_HEAD_BYTES)
  const server = createServer(
    {
      // With the four that are the request's own.
      maxHeaderListPairs: MAX_HTTP_FIELDS + 4,
      settings: {
        maxConcurrentStreams: HTTP2_STREAMS,
        initialWindowSize: HTTP2_WINDOW_BYTES,
        maxHeaderListSize: MAX_HTTP_HEAD_BYTES,
      },
    },
    (request, response) => {
      if (heads.admit(request.stream, request.rawHeaders)) service.onHttp2Request(request, response)
    },
  )
  server.on('session', (session) => session.setLocalWindowSize(HTTP2_WINDOW_BYTES))
  return server
}
