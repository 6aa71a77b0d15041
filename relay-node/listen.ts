import { createServer, type Server, type Socket } from 'node:net'
import { listenError } from '../node/listen-error.ts'

export interface ListenOptions {
  address: string
  port: number
  /** frp's tcpKeepalive in seconds; negative: none. */
  keepAliveSeconds: number
  onConnection: (socket: Socket) => void
  /** The listener goes on after these. */
  onError: (error: Error) => void
}

/** Users that the kernel holds while we are busy; the system's own bound (somaxconn) is usually 4,096. */
const BACKLOG = 4_096

/** Opens a TCP port; `::` takes both address families. Rejects with PORT_TAKEN and Go's text. */
export function listenTcp(options: ListenOptions): Promise<Server> {
  const { address, port, keepAliveSeconds } = options
  const server = createServer({
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: keepAliveSeconds > 0,
    keepAliveInitialDelay: keepAliveSeconds * 1000,
  })
  server.on('connection', (socket) => {
    // An error event without a listener ends the process; the one who takes the socket has a listener of its own.
    socket.on('error', ignore)
    options.onConnection(socket)
  })
  return new Promise((resolve, reject) => {
    const refuse = (error: Error): void => reject(listenError(address, port, error))
    server.once('error', refuse)
    server.listen({ host: address, port, backlog: BACKLOG }, () => {
      server.off('error', refuse)
      server.on('error', options.onError)
      resolve(server)
    })
  })
}

/** The port that a listener got. */
export function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

function ignore(): void {
  // Whoever reads the socket hears of the end by 'close'.
}
