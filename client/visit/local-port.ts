import { createServer, type Server, type Socket } from 'node:net'
import type { Log } from '../../contract/runtime.ts'
import { listenError } from '../../node/listen-error.ts'

/** A local TCP port whose connections come paused and may half-close. */
export class LocalPort {
  private readonly onSocket: (socket: Socket) => void
  private readonly log: Log
  private server: Server | undefined

  constructor(onSocket: (socket: Socket) => void, log: Log) {
    this.onSocket = onSocket
    this.log = log
  }

  /** Listens; 0 is any free port. Answers the port. Rejects with PORT_TAKEN. */
  listen(address: string, port: number): Promise<number> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true })
    this.server = server
    server.on('connection', (socket) => {
      // An error event without a listener ends the process; whoever reads the socket hears of its end by itself.
      socket.on('error', () => undefined)
      this.onSocket(socket)
    })
    return new Promise((resolve, reject) => {
      const refuse = (error: Error): void => reject(listenError(address, port, error))
      server.once('error', refuse)
      server.listen(port, address, () => {
        server.off('error', refuse)
        server.on('error', (error) => this.log.warn(`local port ${port}: ${error.message}`))
        const bound = server.address()
        resolve(typeof bound === 'object' && bound !== null ? bound.port : port)
      })
    })
  }

  /** Takes nobody new; who is here goes on. */
  close(): void {
    this.server?.close()
  }
}
