import type { Socket } from 'node:net'
import type { VisitorOptions } from '../../config/visitors.ts'
import { FrpError, messageOf } from '../../contract/errors.ts'
import type { Log, Runtime } from '../../contract/runtime.ts'
import { resetSocket, socketStream } from '../../node/socket.ts'
import { deriveKey } from '../../protocol/frp/cipher.ts'
import { wrap } from '../../protocol/frp/wrap.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { join } from '../../protocol/stream/join.ts'
import type { VisitorTunnel } from '../nathole/visitor-tunnel.ts'
import { LocalPort } from '../visit/local-port.ts'

/** frp, client/visitor/xtcp.go openTunnel: without a fallback somebody waits this long for a tunnel. */
const TUNNEL_MS = 20_000

export type XtcpOptions = Extract<VisitorOptions, { type: 'xtcp' }>

/** Hands a connection that cannot go through a tunnel to the visitor of this name; `seen` had it before. */
export type Fallback = (name: string, socket: Socket, seen: ReadonlySet<string>) => void

/**
 * A visitor of type xtcp. Its connections go through the tunnel, and to the visitor that `fallbackTo` names when there
 * is none in time: after `fallbackTimeoutMs`, or at once where there cannot be one.
 */
export class XtcpVisitor {
  private readonly options: XtcpOptions
  private readonly tunnel: VisitorTunnel | string
  private readonly fallback: Fallback
  private readonly runtime: Runtime
  private readonly log: Log
  private readonly port: LocalPort

  /** `tunnel`: or why there cannot be one. */
  constructor(options: XtcpOptions, tunnel: VisitorTunnel | string, fallback: Fallback, runtime: Runtime, log: Log) {
    this.options = options
    this.tunnel = tunnel
    this.fallback = fallback
    this.runtime = runtime
    this.log = log
    this.port = new LocalPort((socket) => this.accept(socket, new Set()), log)
  }

  /** Listens. Rejects with PORT_TAKEN. */
  listen(address: string, port: number): Promise<number> {
    return this.port.listen(address, port)
  }

  /** Why there is no tunnel; undefined: there can be one. */
  get whyNot(): string | undefined {
    return typeof this.tunnel === 'string' ? this.tunnel : undefined
  }

  /** Takes nobody new, and ends the tunnel. */
  retire(): void {
    this.port.close()
    if (typeof this.tunnel !== 'string') this.tunnel.close()
  }

  /** Serves a connection of a {@link LocalPort}, of this one or of a visitor that handed it on. */
  accept(socket: Socket, seen: ReadonlySet<string>): void {
    void this.serve(socket, new Set([...seen, this.options.name]))
  }

  private async serve(socket: Socket, seen: ReadonlySet<string>): Promise<void> {
    const { fallbackTo, fallbackTimeoutMs } = this.options
    try {
      if (typeof this.tunnel === 'string') throw new FrpError('NOT_SUPPORTED', this.tunnel)
      const isPatient = fallbackTo === ''
      const stream = await this.tunnel.open(isPatient ? TUNNEL_MS : fallbackTimeoutMs, isPatient)
      this.join(socket, stream)
    } catch (error) {
      this.handOver(socket, fallbackTo, seen, messageOf(error))
    }
  }

  private join(socket: Socket, stream: ByteStream): void {
    const { transport, secretKey } = this.options
    const { crypto } = this.runtime
    const key = transport.useEncryption ? { key: deriveKey(crypto, secretKey) } : {}
    // Each direction of a stream of QUIC ends on its own, and a stock peer says apart that it reads no more.
    join(socketStream(socket), wrap(stream, { ...key, compression: transport.useCompression }, crypto), {
      onClose: (error) =>
        this.log.debug(`join connections closed${error === undefined ? '' : `: ${messageOf(error)}`}`),
    })
  }

  private handOver(socket: Socket, name: string, seen: ReadonlySet<string>, why: string): void {
    try {
      if (name === '') throw new FrpError('NOT_SUPPORTED', `${why}; fallbackTo can name a visitor of type stcp`)
      this.log.debug(`open tunnel error: ${why}; try to transfer connection to visitor: ${name}`)
      this.fallback(name, socket, seen)
    } catch (error) {
      this.log.error(`open tunnel error: ${messageOf(error)}`)
      resetSocket(socket)
    }
  }
}
