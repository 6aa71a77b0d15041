import type { Socket } from 'node:net'
import type { VisitorOptions } from '../../config/visitors.ts'
import { FrpError, messageOf } from '../../contract/errors.ts'
import type { Log } from '../../contract/runtime.ts'
import { NO_TUNNEL } from '../nathole/no-tunnel.ts'
import { LocalPort } from '../visit/local-port.ts'

/** What a connection that cannot go through a tunnel is handed to. */
export type Fallback = (name: string, socket: Socket) => void

/**
 * A visitor of type xtcp. Its connections go to the visitor that `fallbackTo` names, at once: `fallbackTimeoutMs`
 * is how long a tunnel may take, and there will be none.
 */
export class XtcpVisitor {
  private readonly port: LocalPort
  private readonly log: Log

  constructor(options: Extract<VisitorOptions, { type: 'xtcp' }>, fallback: Fallback, log: Log) {
    this.log = log
    this.port = new LocalPort((socket) => this.handOver(options.fallbackTo, socket, fallback), log)
  }

  /** Listens. Rejects with PORT_TAKEN. */
  listen(address: string, port: number): Promise<number> {
    return this.port.listen(address, port)
  }

  retire(): void {
    this.port.close()
  }

  private handOver(name: string, socket: Socket, fallback: Fallback): void {
    try {
      if (name === '') throw new FrpError('NOT_SUPPORTED', `${NO_TUNNEL}; fallbackTo can name a visitor of type stcp`)
      this.log.debug(`try to transfer connection to visitor: ${name}`)
      fallback(name, socket)
    } catch (error) {
      this.log.error(`open tunnel error: ${messageOf(error)}`)
      resetSocket(socket)
    }
  }
}
