import type { Socket } from 'node:net'
import type { ProxyOptions } from '../../config/proxies.ts'
import { FrpError, messageOf } from '../../contract/errors.ts'
import type { Log, Runtime } from '../../contract/runtime.ts'
import { startDial } from '../../node/dial.ts'
import { resetSocket, socketStream } from '../../node/socket.ts'
import { type WrapOptions, wrap } from '../../protocol/frp/wrap.ts'
import type { StreamHandler } from '../../protocol/stream/byte-stream.ts'
import { join } from '../../protocol/stream/join.ts'
import { proxyHeader } from '../proxy-protocol.ts'
import type { Backend, WorkConn } from './proxy.ts'

/** frp, client/proxy/proxy.go: libnet.WithTimeout. */
const LOCAL_DIAL_MS = 10_000
/**
 * How long a service may stay after a stock relay has closed: what it still sends goes nowhere, and one that
 * never ends would keep its socket.
 */
const LINGER_MS = 10_000

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

  constructor(parts: TcpParts) {
    this.parts = parts
  }

  take(work: WorkConn): void {
    const { config, runtime, log, onCount } = this.parts
    const dialing = startDial({ host: config.localIP, port: config.localPort }, (socket, error) => {
      deadline.cancel()
      if (socket !== undefined) {
        if (waiting.isClosed) this.abandon(socket)
        else this.joinWith(socket, work)
        return
      }
      onCount(-1)
      if (waiting.isClosed) return
      log.error(`connect to local service [${config.localIP}:${config.localPort}] error: ${messageOf(error)}`)
      work.stream.destroy(new FrpError('CONNECT_FAILED', 'the local service does not answer'))
    })
    const deadline = runtime.after(LOCAL_DIAL_MS, () =>
      dialing.cancel(new FrpError('TIMEOUT', `no connection within ${LOCAL_DIAL_MS / 1000} s`)),
    )
    onCount(1)
    // Whoever is at the other end may send at once: it waits in the stream until there is somebody to take it.
    const waiting = new Waiting((error) => dialing.cancel(error))
    work.stream.pause()
    work.stream.attach(waiting)
  }

  close(): void {
    // Connections that run belong to the session that carries them: they go on until it ends.
  }

  private abandon(socket: Socket): void {
    resetSocket(socket)
    this.parts.onCount(-1)
  }

  private joinWith(socket: Socket, work: WorkConn): void {
    const { log, runtime, wrapping, onCount } = this.parts
    const header = this.headerFor(work)
    if (header !== undefined) socket.write(header)
    if (!work.halfClose) this.boundLinger(socket)
    const local = socketStream(socket)
    log.debug('join connections')
    join(local, wrap(work.stream, wrapping, runtime.crypto), {
      endOfBIsClose: !work.halfClose,
      onClose: (error) => {
        onCount(-1)
        log.debug(`join connections closed${error === undefined ? '' : `: ${messageOf(error)}`}`)
      },
    })
    work.stream.resume()
  }

  private boundLinger(socket: Socket): void {
    socket.once('finish', () => {
      const deadline = this.parts.runtime.after(LINGER_MS, () => socket.destroy())
      socket.once('close', () => deadline.cancel())
    })
  }

  private headerFor({ start }: WorkConn): Buffer | undefined {
    const { proxyProtocolVersion } = this.parts.config.transport
    if (proxyProtocolVersion === '') return undefined
    const source = { ip: start.src_addr, port: start.src_port }
    return proxyHeader(proxyProtocolVersion, source, { ip: start.dst_addr, port: start.dst_port })
  }
}

/** Holds a paused stream while the local service is dialled: only its close can come. */
class Waiting implements StreamHandler {
  isClosed = false
  private readonly onClosed: (error: Error) => void

  constructor(onClosed: (error: Error) => void) {
    this.onClosed = onClosed
  }

  onData(): boolean {
    throw new TypeError('a paused stream delivers nothing')
  }

  onEnd(): void {
    throw new TypeError('a paused stream delivers nothing')
  }

  onDrain(): void {
    // Nothing was written.
  }

  onClose(error?: Error): void {
    this.isClosed = true
    this.onClosed(error ?? new FrpError('STREAM_CUT', 'the work connection is gone'))
  }
}
