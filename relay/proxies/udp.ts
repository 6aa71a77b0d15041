import { FrpError } from '../../contract/errors.ts'
import type { Deadline } from '../../contract/runtime.ts'
import { MessageChannel, type MessageHandler } from '../../protocol/frp/message-channel.ts'
import type { Message } from '../../protocol/frp/messages.ts'
import { codecOf } from '../../protocol/frp/opening.ts'
import { type Datagram, datagramOf, fitsUdpPacket, udpPacket } from '../../protocol/frp/udp.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import type { Addresses, UdpPort } from '../ingress.ts'
import { MAX_UDP_QUEUE, UDP_RETRY_MS, UDP_WORK_CONN_SILENCE_MS } from '../limits.ts'
import type { VisitorLeg } from '../proxy.ts'
import type { ProxyContext, RelayProxy } from './table.ts'
import { UdpVisits } from './udp-visit.ts'

/** Bytes of messages that may wait for the client; what comes then is lost, as UDP loses it. */
const MAX_BACKLOG_BYTES = 64 * 1024

/** A UDP port of the relay; all its users share one work connection, as in frp. */
export function udpProxy(context: ProxyContext): RelayProxy {
  return new UdpProxy(context)
}

class UdpProxy implements RelayProxy {
  readonly claims: readonly string[]
  readonly usesPort = true
  private readonly context: ProxyContext
  private listener: UdpPort | undefined
  private channel: MessageChannel | undefined
  private isTaking = false
  private retry: Deadline | undefined
  private silence: Deadline | undefined
  private lastMessageMs = 0
  private queue: Datagram[] = []
  /** When a peer was last heard, by `ip port`, in the order of that time. */
  private readonly peers = new Map<string, number>()
  private readonly visits: UdpVisits

  constructor(context: ProxyContext) {
    this.context = context
    this.visits = new UdpVisits(context.udpSessions, (datagram) => this.fromUser(datagram))
    const { remote_port: port } = context.message
    this.claims = port > 0 ? [`udp:${port}`] : []
  }

  get visitKey(): string | undefined {
    return this.listener && `udp:${this.listener.port}`
  }

  visit(visitor: ByteStream, addresses: Addresses, leg: VisitorLeg): void {
    this.visits.add(visitor, addresses.sourceIp, leg.wire)
  }

  async open(): Promise<string> {
    const { ports, udpPorts, onlyPorts, message, log } = this.context
    try {
      this.listener = await udpPorts.open(
        message.proxy_name,
        message.remote_port,
        (port) => ports.listenUdp(port, (payload, ip, from) => this.fromUser({ payload, ip, port: from })),
        onlyPorts,
      )
    } catch (error) {
      // frp names the port in this one type's errors only.
      if (!(error instanceof FrpError)) throw error
      throw new FrpError(error.code, `acquire port ${message.remote_port} error: ${error.message}`, { cause: error })
    }
    message.remote_port = this.listener.port
    log.info(`udp proxy listen port [${this.listener.port}]`)
    return `:${this.listener.port}`
  }

  reopen(): void {
    const { port, close } = this.context.udpPorts.reopen(this.context.message.remote_port)
    // A relay that sleeps has no ports of its own: its users are visitors.
    this.listener = { port, close, send: () => undefined }
  }

  close(): void {
    this.retry?.cancel()
    this.silence?.cancel()
    this.visits.close()
    this.channel?.end()
    this.channel = undefined
    if (this.listener === undefined) return
    this.listener.close()
    this.context.udpPorts.release(this.context.message.proxy_name, this.listener.port)
    this.listener = undefined
  }

  private fromUser(datagram: Datagram): void {
    const { workConns } = this.context
    if (workConns.refuses(datagram.ip) !== undefined) return
    // A longer one would not fit frp's message and end the connection for everybody.
    if (!fitsUdpPacket(datagram.payload.length, datagram.ip, this.context.workConns.wire)) {
      this.context.log.debug(`datagram of ${datagram.payload.length} bytes dropped: it does not fit a message`)
      return
    }
    this.heard(datagram)
    if (this.channel !== undefined) {
      this.toClient(this.channel, datagram)
      return
    }
    // frp drops without a word too: a sender of UDP cannot be slowed down.
    if (this.queue.length < MAX_UDP_QUEUE) this.queue.push({ ...datagram, payload: datagram.payload.slice() })
    this.takeWorkConn()
  }

  private toClient(channel: MessageChannel, datagram: Datagram): void {
    this.context.workConns.stats.traffic.forward += datagram.payload.length
    if (channel.backlogBytes < MAX_BACKLOG_BYTES) channel.send(udpPacket(datagram.payload, datagram))
  }

  private fromClient(message: Message): void {
    this.lastMessageMs = this.context.runtime.monotonicMs()
    if (message.type !== 'UDPPacket') return
    const { payload, ip, port } = datagramOf(message)
    const peer = `${ip} ${port}`
    if (!this.isPeer(peer)) return
    this.context.workConns.stats.traffic.backward += payload.length
    if (!this.visits.answer(peer, payload)) this.listener?.send(payload, ip, port)
  }

  /** A client may answer only whom it heard from: else the relay would be a reflector. */
  private isPeer(peer: string): boolean {
    const heardMs = this.peers.get(peer)
    return heardMs !== undefined && this.context.runtime.monotonicMs() - heardMs <= this.context.udpIdleMs
  }

  private heard({ ip, port }: Datagram): void {
    const peer = `${ip} ${port}`
    if (!this.isPeer(peer)) this.context.workConns.access?.heard(ip, port)
    this.peers.delete(peer)
    this.peers.set(peer, this.context.runtime.monotonicMs())
    if (this.peers.size <= this.context.udpSessions) return
    for (const oldest of this.peers.keys()) {
      this.peers.delete(oldest)
      break
    }
  }

  private takeWorkConn(): void {
    if (this.isTaking || this.retry !== undefined) return
    this.isTaking = true
    this.context.workConns.open({}, (work, error) => {
      this.isTaking = false
      if (this.listener === undefined) work?.destroy()
      else if (work === undefined) this.retryLater(error)
      else this.useWorkConn(work)
    })
  }

  private useWorkConn(work: ByteStream): void {
    const handler: MessageHandler = {
      onMessage: (message) => this.fromClient(message),
      onEnd: () => channel.end(),
      onClose: (error) => {
        if (this.channel !== channel) return
        this.channel = undefined
        this.silence?.cancel()
        this.retryLater(error)
      },
    }
    const channel = new MessageChannel(work, handler, { codec: codecOf(this.context.workConns.wire) })
    this.channel = channel
    this.lastMessageMs = this.context.runtime.monotonicMs()
    this.watchSilence(channel)
    const waiting = this.queue
    this.queue = []
    for (const datagram of waiting) this.toClient(channel, datagram)
  }

  private watchSilence(channel: MessageChannel): void {
    const quietMs = this.context.runtime.monotonicMs() - this.lastMessageMs
    if (quietMs >= UDP_WORK_CONN_SILENCE_MS) {
      channel.destroy(new FrpError('TIMEOUT', 'the client was silent on the udp work connection'))
      return
    }
    this.silence = this.context.runtime.after(UDP_WORK_CONN_SILENCE_MS - quietMs, () => this.watchSilence(channel))
  }

  /** The next datagram takes a new work connection, but not before a pause: a client may keep closing them. */
  private retryLater(error: Error | undefined): void {
    if (this.listener === undefined) return
    if (error !== undefined) this.context.log.debug(`udp work connection: ${error.message}`)
    this.retry = this.context.runtime.after(UDP_RETRY_MS, () => {
      this.retry = undefined
      if (this.queue.length > 0) this.takeWorkConn()
    })
  }
}
