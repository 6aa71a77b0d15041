import { isIP } from 'node:net'
import type { ProxyOptions } from '../../config/proxies.ts'
import { messageOf } from '../../contract/errors.ts'
import type { Deadline, Log, Runtime } from '../../contract/runtime.ts'
import { dialUdp, type UdpPeer } from '../../node/udp.ts'
import type { WireProtocol } from '../../protocol/frp/codec.ts'
import { MessageChannel, type MessageHandler } from '../../protocol/frp/message-channel.ts'
import type { Message } from '../../protocol/frp/messages.ts'
import { codecOf } from '../../protocol/frp/opening.ts'
import { datagramOf, fitsUdpPacket, udpPacket } from '../../protocol/frp/udp.ts'
import { type WrapOptions, wrap } from '../../protocol/frp/wrap.ts'
import { proxyHeader } from '../proxy-protocol.ts'
import type { Backend, WorkConn } from './proxy.ts'

/** frp, pkg/proto/udp/udp.go: a local socket ends this long after the last datagram in either direction. */
const IDLE_MS = 30_000
/** frp, client/proxy/udp.go heartbeatFn; the relay gives the connection up after 60 s of silence. */
const PING_MS = 30_000
/** Local sockets of one work connection: a relay that names ever new users must not use up our ports. */
const MAX_SESSIONS = 4_096

/** Answers that wait for a slow relay; half of what ends a channel, so that pings still go. */
const MAX_BACKLOG_BYTES = 128 * 1024

/** What all work connections of one udp (or sudp) proxy share. */
export interface UdpParts {
  config: ProxyOptions
  runtime: Runtime
  log: Log
  wrapping: WrapOptions
  /** `udpPacketSize`: longer datagrams from the service are cut, as a read into such a buffer does. */
  packetSize: number
  /** How messages are framed. */
  wire: WireProtocol
}

/** Carries the datagrams of a proxy: messages on a work connection, one local socket for each user. */
export class UdpBackend implements Backend {
  private readonly parts: UdpParts
  private readonly connections = new Set<UdpConnection>()

  constructor(parts: UdpParts) {
    this.parts = parts
  }

  take(work: WorkConn): void {
    this.parts.log.debug('incoming a new work connection for udp proxy')
    // A udp proxy has one connection for all users: a new one means that the relay lost the old one. sudp has
    // one for each visitor.
    if (this.parts.config.type === 'udp') this.close()
    const connection: UdpConnection = new UdpConnection(this.parts, work, () => this.connections.delete(connection))
    if (!connection.isClosed) this.connections.add(connection)
  }

  close(): void {
    for (const connection of [...this.connections]) connection.close()
  }
}

interface LocalSession {
  peer: UdpPeer
  idle: Deadline
  lastMs: number
}

class UdpConnection {
  private readonly parts: UdpParts
  private readonly onClosed: () => void
  private readonly channel: MessageChannel
  private readonly sessions = new Map<string, LocalSession>()
  private ping: Deadline
  isClosed = false

  constructor(parts: UdpParts, work: WorkConn, onClosed: () => void) {
    this.parts = parts
    this.onClosed = onClosed
    this.ping = parts.runtime.after(PING_MS, () => this.sendPing())
    // Paused until `channel` is set: what waits would be delivered inside its constructor.
    work.stream.pause()
    const handler: MessageHandler = {
      onMessage: (message) => this.received(message),
      onEnd: () => this.close(),
      onClose: (error) => {
        if (error !== undefined && !this.isClosed) {
          parts.log.warn(`read from workConn for udp error: ${messageOf(error)}`)
        }
        this.closed()
      },
    }
    const wrapped = wrap(work.stream, parts.wrapping, parts.runtime.crypto)
    this.channel = new MessageChannel(wrapped, handler, { codec: codecOf(parts.wire) })
    work.stream.resume()
  }

  close(): void {
    this.channel.end()
    this.closed()
  }

  private closed(): void {
    if (this.isClosed) return
    this.isClosed = true
    this.ping.cancel()
    for (const [key, session] of this.sessions) this.endSession(key, session)
    this.onClosed()
  }

  private received(message: Message): void {
    if (message.type !== 'UDPPacket' || this.isClosed) return
    const { payload, ip, port } = datagramOf(message)
    // A datagram without a user could not be answered.
    if (isIP(ip) === 0) return
    const key = `${ip} ${port}`
    const known = this.sessions.get(key)
    const session = known ?? this.openSession(key, ip, port)
    if (session === undefined) return
    session.lastMs = this.parts.runtime.monotonicMs()
    const { proxyProtocolVersion } = this.parts.config.transport
    const header =
      known === undefined && proxyProtocolVersion !== ''
        ? proxyHeader(proxyProtocolVersion, { ip, port }, this.localEndpoint(), 'datagram')
        : undefined
    session.peer.send(header === undefined ? payload : Buffer.concat([header, payload]))
  }

  private openSession(key: string, ip: string, port: number): LocalSession | undefined {
    const { config, runtime, log, packetSize } = this.parts
    if (this.sessions.size >= MAX_SESSIONS) {
      log.debug(`datagram dropped: ${MAX_SESSIONS} local sessions are open`)
      return undefined
    }
    const peer = dialUdp(config.localIP, config.localPort, {
      onDatagram: (payload) => {
        session.lastMs = runtime.monotonicMs()
        this.answer(payload.subarray(0, packetSize), ip, port)
      },
      onError: (error) => {
        log.debug(`local udp service [${config.localIP}:${config.localPort}]: ${messageOf(error)}`)
        this.endSession(key, session)
      },
    })
    const session: LocalSession = {
      peer,
      idle: runtime.after(IDLE_MS, () => this.checkIdle(key, session)),
      lastMs: runtime.monotonicMs(),
    }
    this.sessions.set(key, session)
    return session
  }

  private answer(payload: Uint8Array, ip: string, port: number): void {
    // A longer one does not fit frp's message and would end the connection for everybody.
    if (!fitsUdpPacket(payload.length, ip, this.parts.wire)) {
      this.parts.log.debug(`datagram of ${payload.length} bytes dropped: it does not fit a message`)
      return
    }
    // frp drops without a word too: a sender of UDP cannot be slowed down.
    if (this.channel.backlogBytes < MAX_BACKLOG_BYTES) this.channel.send(udpPacket(payload, { ip, port }))
  }

  /** One deadline a session, moved on when it fires: not one cancelled and made for each datagram. */
  private checkIdle(key: string, session: LocalSession): void {
    const left = session.lastMs + IDLE_MS - this.parts.runtime.monotonicMs()
    if (left <= 0) this.endSession(key, session)
    else session.idle = this.parts.runtime.after(left, () => this.checkIdle(key, session))
  }

  private endSession(key: string, session: LocalSession): void {
    session.idle.cancel()
    session.peer.close()
    if (this.sessions.get(key) === session) this.sessions.delete(key)
  }

  private localEndpoint(): { ip: string; port: number } {
    const { localIP, localPort } = this.parts.config
    return { ip: isIP(localIP) === 0 ? '127.0.0.1' : localIP, port: localPort }
  }

  private sendPing(): void {
    this.channel.send({ type: 'Ping' })
    this.ping = this.parts.runtime.after(PING_MS, () => this.sendPing())
  }
}
