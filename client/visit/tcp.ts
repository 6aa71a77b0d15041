import { createServer, type Server, type Socket } from 'node:net'
import { FrpError, messageOf } from '../../contract/errors.ts'
import type { Log } from '../../contract/runtime.ts'
import { resetSocket, socketStream } from '../../node/socket.ts'
import { join } from '../../protocol/stream/join.ts'
import type { VisitTarget } from './visitor-conn.ts'
import { LOCAL_WAIT_MS, type Way } from './way.ts'

/** A local port that leads to the service behind a relay's tcp port. */
export class TcpVisit {
  private readonly target: VisitTarget
  private readonly way: Way
  private readonly log: Log
  private readonly sockets = new Set<Socket>()
  private server: Server | undefined

  constructor(target: VisitTarget, way: Way, log: Log) {
    this.target = target
    this.way = way
    this.log = log
  }

  /** Listens; 0 is any free port. Answers the port. Rejects with PORT_TAKEN. */
  listen(address: string, port: number): Promise<number> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true })
    this.server = server
    server.on('connection', (socket) => void this.serve(socket))
    return new Promise((resolve, reject) => {
      const refuse = (error: Error): void => {
        reject(new FrpError('PORT_TAKEN', `listen tcp ${address}:${port}: ${error.message}`, { cause: error }))
      }
      server.once('error', refuse)
      server.listen(port, address, () => {
        server.off('error', refuse)
        server.on('error', (error) => this.log.warn(`local port ${port}: ${error.message}`))
        const bound = server.address()
        resolve(typeof bound === 'object' && bound !== null ? bound.port : port)
      })
    })
  }

  close(): void {
    this.server?.close()
    for (const socket of this.sockets) resetSocket(socket)
  }

  private async serve(socket: Socket): Promise<void> {
    this.sockets.add(socket)
    socket.on('close', () => this.sockets.delete(socket))
    // An error event without a listener ends the process; whoever reads the socket hears of its end by itself.
    socket.on('error', () => undefined)
    try {
      const { stream, features, release } = await this.way.open(this.target, LOCAL_WAIT_MS)
      join(socketStream(socket), stream, {
        endOfBIsClose: !features.has('half-close'),
        onClose: (error) => {
          release()
          this.log.debug(`visit closed${error === undefined ? '' : `: ${messageOf(error)}`}`)
        },
      })
    } catch (error) {
      // Who went away while the relay was asked need not know.
      if (!socket.destroyed) this.log.warn(`visit refused: ${messageOf(error)}`)
      resetSocket(socket)
    }
  }
}
