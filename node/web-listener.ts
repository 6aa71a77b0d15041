import { readFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { FrpError, messageOf } from '../contract/errors.ts'
import { listenError } from './listen-error.ts'

/** frp: pkg/util/http/server.go, read and write timeout. */
const REQUEST_MS = 60_000
/** From accept to a whole request head, looked at each second: Node's own pace makes 60 s into 90 s. */
const HEAD_MS = 10_000
const CHECK_MS = 1_000
/** A page, a few scrapers and scripts; more are somebody's flood, and the process has other sockets to keep. */
const MAX_CONNECTIONS = 512

export interface WebListenerOptions {
  addr: string
  /** 0: a free one. */
  port: number
  tls: { certFile: string; keyFile: string; trustedCaFile: string } | undefined
  onRequest: RequestListener
}

export interface WebListener {
  port: number
  /** Stops listening and ends all connections. */
  close(): void
}

/** Opens the port of a web server; rejects with CONFIG_FILE or, with Go's text, PORT_TAKEN. */
export function listenWeb({ addr, port, tls, onRequest }: WebListenerOptions): Promise<WebListener> {
  const options = { headersTimeout: HEAD_MS, requestTimeout: REQUEST_MS, connectionsCheckingInterval: CHECK_MS }
  const server =
    tls === undefined ? createServer(options, onRequest) : createTlsServer({ ...options, ...filesOf(tls) }, onRequest)
  server.maxConnections = MAX_CONNECTIONS
  server.timeout = REQUEST_MS
  return new Promise((resolve, reject) => {
    const refuse = (error: Error): void => reject(listenError(addr, port, error))
    server.once('error', refuse)
    server.listen(port, addr, () => {
      server.off('error', refuse)
      // An accept that failed (no more descriptors) costs that connection alone.
      server.on('error', () => undefined)
      const bound = server.address()
      resolve({
        port: typeof bound === 'object' && bound !== null ? bound.port : port,
        close() {
          server.close()
          server.closeAllConnections()
        },
      })
    })
  })
}

/** With a CA, browsers must show a certificate of it, as in frp. */
function filesOf(tls: NonNullable<WebListenerOptions['tls']>) {
  const { certFile, keyFile, trustedCaFile } = tls
  return {
    minVersion: 'TLSv1.2' as const,
    cert: read(certFile, 'certFile'),
    key: read(keyFile, 'keyFile'),
    ...(trustedCaFile === ''
      ? {}
      : { ca: read(trustedCaFile, 'trustedCaFile'), requestCert: true, rejectUnauthorized: true }),
  }
}

function read(path: string, key: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new FrpError('CONFIG_FILE', `webServer.tls.${key}: ${messageOf(error)}`, { cause: error })
  }
}
