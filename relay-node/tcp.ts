import type { Socket } from 'node:net'
import { messageOf } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import { socketStream } from '../node/socket.ts'
import type { ByteStream } from '../protocol/stream/byte-stream.ts'
import type { Addresses, PortListener } from '../relay/ingress.ts'
import { addressesOf } from './addresses.ts'
import type { ConnectionLimit } from './connection-limit.ts'
import { listenTcp, portOf } from './listen.ts'

export interface UserPortOptions {
  runtime: Runtime
  /** frp's proxyBindAddr. */
  address: string
  /** frp's tcpKeepalive in seconds; negative: none. */
  keepAliveSeconds: number
  limit: ConnectionLimit
}

/** Opens a TCP port for users; closing it stops listening at once, and running connections live on. */
export async function openTcpPort(
  port: number,
  onUser: (user: ByteStream, addresses: Addresses) => void,
  options: UserPortOptions,
): Promise<PortListener> {
  const { limit } = options
  const { log } = options.runtime
  const accept = (socket: Socket): void => {
    if (!limit.admit(socket, 'user')) return
    const addresses = addressesOf(socket)
    if (addresses === undefined) {
      socket.destroy()
      return
    }
    try {
      onUser(socketStream(socket), addresses)
    } catch (error) {
      log.error(`user connection [${addresses.sourceIp}] on port ${port}: ${messageOf(error)}`)
      socket.destroy()
    }
  }
  const server = await listenTcp({
    address: options.address,
    port,
    keepAliveSeconds: options.keepAliveSeconds,
    onConnection: accept,
    onError: (error) => log.warn(`tcp port ${port}: ${error.message}`),
  })
  return { port: portOf(server), close: () => server.close() }
}
