import type { Socket } from 'node:net'
import { messageOf } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import { socketStream } from '../node/socket.ts'
import type { ByteStream } from '../protocol/stream/byte-stream.ts'
import { prefixed } from '../protocol/stream/prefixed.ts'
import type { Addresses, PortListener } from '../relay/ingress.ts'
import type { Arrivals } from './arrivals.ts'
import { listenTcp, portOf } from './listen.ts'

export interface UserPortOptions {
  runtime: Runtime
  /** frp's proxyBindAddr. */
  address: string
  /** frp's tcpKeepalive in seconds; negative: none. */
  keepAliveSeconds: number
  arrivals: Arrivals
}

/** Opens a TCP port for users; closing it stops listening at once, and running connections live on. */
export async function openTcpPort(
  port: number,
  onUser: (user: ByteStream, addresses: Addresses) => void,
  options: UserPortOptions,
): Promise<PortListener> {
  const { arrivals } = options
  const { log } = options.runtime
  const take = (socket: Socket, addresses: Addresses, head: Uint8Array | undefined): void => {
    try {
      const user = socketStream(socket)
      onUser(head === undefined ? user : prefixed(user, head), addresses)
    } catch (error) {
      log.error(`user connection [${addresses.sourceIp}] on port ${port}: ${messageOf(error)}`)
      socket.destroy()
    }
  }
  const server = await listenTcp({
    address: options.address,
    port,
    keepAliveSeconds: options.keepAliveSeconds,
    onConnection: (socket) => arrivals.admit(socket, 'user', take),
    onError: (error) => log.warn(`tcp port ${port}: ${error.message}`),
  })
  return { port: portOf(server), close: () => server.close() }
}
