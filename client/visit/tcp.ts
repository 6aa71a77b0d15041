import type { Socket } from 'node:net'
import { messageOf } from '../../contract/errors.ts'
import type { Log } from '../../contract/runtime.ts'
import { resetSocket, socketStream } from '../../node/socket.ts'
import { join } from '../../protocol/stream/join.ts'
import { LocalPort } from './local-port.ts'
import type { VisitTarget } from './visitor-conn.ts'
import { LOCAL_WAIT_MS, type Way } from './way.ts'

/** A local port that leads to the service of a tcp or stcp proxy. */
export class TcpVisit {
  private readonly target: VisitTarget
  private readonly way: Way
  private readonly log: Log
  private readonly sockets = new Set<Socket>()
  private readonly port: LocalPort

  constructor(target: VisitTarget, way: Way, log: Log) {
    this.target = target
    this.way = way
    this.log = log
    this.port = new LocalPort((socket) => this.accept(socket), log)
  }

  /** Listens; 0 is any free port. Answers the port. Rejects with PORT_TAKEN. */
  listen(address: string, port: number): Promise<number> {
    return this.port.listen(address, port)
  }

  /** Serves a connection of a {@link LocalPort}, of this one or of another. */
  accept(socket: Socket): void {
    void this.serve(socket)
  }

  /** Takes nobody new at the port; who is here goes on. */
  retire(): void {
    this.port.close()
  }

  /** Ends all connections too. */
  close(): void {
    this.retire()
    for (const socket of this.sockets) resetSocket(socket)
  }

  private async serve(socket: Socket): Promise<void> {
    this.sockets.add(socket)
    socket.on('close', () => this.sockets.delete(socket))
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
