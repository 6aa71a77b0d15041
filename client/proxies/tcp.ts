import type { Socket } from 'node:net'
import type { ProxyOptions } from '../../config/proxies.ts'
import { FrpError, messageOf } from '../../contract/errors.ts'
import type { Log, Runtime } from '../../contract/runtime.ts'
import type { DialTarget } from '../../node/dial.ts'
import { resetSocket } from '../../node/socket.ts'
import { type WrapOptions, wrap } from '../../protocol/frp/wrap.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { headerFor, joinLocal, startLocalDial } from './local.ts'
import type { Backend, WorkConn } from './proxy.ts'
import { Waiting } from './waiting.ts'

/** What all work connections of one proxy share. */
export interface TcpParts {
  config: ProxyOptions
  runtime: Runtime
  log: Log
  wrapping: WrapOptions
  /** A connection began (1) or is over (-1). */
  onCount(change: 1 | -1): void
}

/** Joins each work connection with a new connection to the local service: tcp, http, https, tcpmux and stcp. */
export class TcpBackend implements Backend {
  private readonly parts: TcpParts
  private readonly target: DialTarget

  /** `target`: where the service is, if not at `localIP` and `localPort`. */
  constructor(parts: TcpParts, target?: DialTarget) {
    this.parts = parts
    this.target = target ?? { host: parts.config.localIP, port: parts.config.localPort }
  }

  take(work: WorkConn): void {
    const { runtime, log, wrapping, onCount } = this.parts
    const user = wrap(work.stream, wrapping, runtime.crypto)
    const dialing = startLocalDial(this.target, runtime, (socket, error) => {
      if (socket !== undefined) {
        if (waiting.isClosed) this.abandon(socket)
        else this.joinWith(socket, user, work)
        return
      }
      onCount(-1)
      if (waiting.isClosed) return
      log.error(`connect to local service [${nameOf(this.target)}] error: ${messageOf(error)}`)
      user.destroy(new FrpError('CONNECT_FAILED', 'the local service does not answer'))
    })
    onCount(1)
    // Whoever is at the other end may send at once: it waits in the stream until there is somebody to take it.
    const waiting = new Waiting((error) => dialing.cancel(error))
    user.pause()
    user.attach(waiting)
  }

  close(): void {
    // Connections that run belong to the session that carries them: they go on until it ends.
  }

  private abandon(socket: Socket): void {
    resetSocket(socket)
    this.parts.onCount(-1)
  }

  private joinWith(socket: Socket, user: ByteStream, work: WorkConn): void {
    const { config, log, runtime, onCount } = this.parts
    log.debug('join connections')
    joinLocal(socket, user, {
      runtime,
      halfClose: work.halfClose,
      header: headerFor(config, work.start),
      onClose: (error) => {
        onCount(-1)
        log.debug(`join connections closed${error === undefined ? '' : `: ${messageOf(error)}`}`)
      },
    })
  }
}

function nameOf(target: DialTarget): string {
  return 'path' in target ? target.path : `${target.host}:${target.port}`
}
