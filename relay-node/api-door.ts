import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { requestListener } from '../node/web-requests.ts'
import type { RelayApp } from '../relay/api/app.ts'
import { plainIp } from './addresses.ts'

/** frp's read and write timeout of its web server. */
const REQUEST_MS = 60_000

/** Serves the relay's own paths on connections whose first request was looked at. */
export interface ApiDoor {
  /** `head`: all that was read of the connection. */
  accept(socket: Socket | TLSSocket, head: Uint8Array): void
}

/**
 * Node's HTTP server without a port: connections are handed to it. One request each, since the next one on the
 * same connection may be for a tunnel.
 */
export function apiDoor(app: RelayApp): ApiDoor {
  const answer = requestListener((request, peer) => app.fetch(request, plainIp(peer)))
  const server = createServer((request, response) => {
    // Closed by us after the answer; `maxRequestsPerSocket` would say so and wait for the user to close.
    response.shouldKeepAlive = false
    answer(request, response)
  })
  server.timeout = REQUEST_MS
  return {
    accept(socket, head) {
      socket.unshift(head)
      server.emit('connection', socket)
      socket.resume()
    },
  }
}
