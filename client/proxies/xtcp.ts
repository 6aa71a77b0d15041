import type { ProxyOf } from '../../config/proxies.ts'
import { messageOf } from '../../contract/errors.ts'
import type { Log, Runtime } from '../../contract/runtime.ts'
import type { Quic, QuicConnection } from '../../node/quic.ts'
import type { WireProtocol } from '../../protocol/frp/codec.ts'
import { MessageChannel, type MessageHandler } from '../../protocol/frp/message-channel.ts'
import type { StartWorkConn } from '../../protocol/frp/messages.ts'
import { codecOf } from '../../protocol/frp/opening.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import type { NatHoleLine } from '../nathole/nat-hole-line.ts'
import { prepare } from '../nathole/prepare.ts'
import { makeHole } from '../nathole/punch.ts'
import type { Backend, WorkConn } from './proxy.ts'

/** Tunnels of one proxy, made and being made: each has a socket, and while a hole is made up to some hundred. */
const MAX_TUNNELS = 64
/** A visitor that is through dials at once; its first datagram may be lost. */
const CONNECT_MS = 10_000

/** What all tunnels of one xtcp proxy share. */
export interface XtcpParts {
  config: ProxyOf<'xtcp'>
  /** `user.name`. */
  wireName: string
  stunServer: string
  quic: Quic
  runtime: Runtime
  log: Log
  line: NatHoleLine
  /** How the relay frames messages. */
  wire: WireProtocol
  /** Takes the connections that come through: joins them with the local service. */
  inner: Backend
}

/** Meets visitors without the relay: each that it announces gets a tunnel (frp: client/proxy/xtcp.go). */
export class XtcpBackend implements Backend {
  private readonly parts: XtcpParts
  private tunnels = 0
  private readonly connections = new Set<QuicConnection>()
  private isClosed = false

  constructor(parts: XtcpParts) {
    this.parts = parts
  }

  open(): Promise<void> {
    return this.parts.inner.open?.() ?? Promise.resolve()
  }

  take({ stream, start }: WorkConn): void {
    let sid: string | undefined
    stream.pause()
    const handler: MessageHandler = {
      onMessage: (message) => {
        if (message.type !== 'NatHoleSid' || sid !== undefined) return
        sid = message.sid
        channel.end()
        void this.meet(sid, start)
      },
      onEnd: () => channel.end(),
    }
    const channel = new MessageChannel(stream, handler, { codec: codecOf(this.parts.wire) })
    stream.resume()
  }

  close(isSessionOver?: boolean): void {
    this.isClosed = true
    // A tunnel needs no relay: that of a session that is over serves on.
    if (isSessionOver !== true) for (const connection of [...this.connections]) connection.close()
    this.endIfIdle()
  }

  private async meet(sid: string, start: StartWorkConn): Promise<void> {
    const { log } = this.parts
    if (this.isClosed) return
    if (this.tunnels >= MAX_TUNNELS) {
      log.warn(`a visitor was not met: ${MAX_TUNNELS} tunnels are open`)
      return
    }
    this.tunnels += 1
    try {
      const connection = await this.connect(sid)
      if (this.isClosed) {
        connection.close()
        return
      }
      this.connections.add(connection)
      connection.onStream = (stream: ByteStream) => this.parts.inner.take({ stream, start, halfClose: true })
      await new Promise<void>((resolve) => {
        connection.onClose = resolve
      })
      this.connections.delete(connection)
    } catch (error) {
      log.warn(`make tunnel error: ${messageOf(error)}`)
    } finally {
      this.tunnels -= 1
      this.endIfIdle()
    }
  }

  private endIfIdle(): void {
    if (this.isClosed && this.tunnels === 0) this.parts.inner.close()
  }

  private async connect(sid: string): Promise<QuicConnection> {
    const { config, wireName, stunServer, quic, runtime, log, line } = this.parts
    const { mapped, assisted, localPort } = await prepare(stunServer, config.natTraversal.disableAssistedAddrs, runtime)
    const answer = await line.ask({
      type: 'NatHoleClient',
      proxy_name: wireName,
      sid,
      mapped_addrs: mapped,
      assisted_addrs: assisted,
    })
    try {
      if (answer.protocol === 'kcp') throw new Error('the visitor wants KCP, which is not spoken here')
      const hole = await makeHole(localPort, answer, config.secretKey, runtime)
      log.info(`establishing nat hole connection successful, sid [${sid}], remoteAddr [${hole.ip}:${hole.port}]`)
      line.report(sid, true)
      return await quic.accept(hole.localPort, hole.ip, CONNECT_MS)
    } catch (error) {
      line.report(sid, false)
      throw error
    }
  }
}
