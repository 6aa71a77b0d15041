import { messageOf } from '../../contract/errors.ts'
import type { Deadline, Log, Runtime } from '../../contract/runtime.ts'
import { bindUdp, type UdpPort } from '../../node/udp.ts'
import type { WireProtocol } from '../../protocol/frp/codec.ts'
import { MessageChannel, type MessageHandler } from '../../protocol/frp/message-channel.ts'
import type { Message } from '../../protocol/frp/messages.ts'
import { codecOf } from '../../protocol/frp/opening.ts'
import { type Datagram, datagramOf, fitsUdpPacket, udpPacket } from '../../protocol/frp/udp.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import type { VisitTarget } from './visitor-conn.ts'
import { LOCAL_WAIT_MS, type Way } from './way.ts'

/** frp, client/visitor/sudp.go: the stream ends after this long without a datagram, so a relay may sleep. */
const IDLE_MS = 60_000
/** Pause before a stream that failed is opened again; the relay counts refusals by address. */
const RETRY_MS = 1_000
/** frp, pkg/proto/udp/udp.go: datagrams that wait while the stream is opened. */
const MAX_QUEUE = 1_024
/** Bytes of messages that wait for a slow relay; what comes then is lost, as UDP loses it. */
const MAX_BACKLOG_BYTES = 64 * 1024
/** Local users that are remembered: as many as the relay tells apart. */
const MAX_USERS = 4_096

/** A local port that leads to the service of a udp or sudp proxy; its users share one stream. */
export class UdpVisit {
  private readonly target: VisitTarget
  private readonly way: Way
  private readonly runtime: Runtime
  private readonly log: Log
  private port: UdpPort | undefined
  private channel: MessageChannel | undefined
  /** Of the last stream, or what any may be: until the first one is open nothing more is known. */
  private wire: WireProtocol = 'v2'
  private isOpening = false
  private isClosed = false
  private queue: Datagram[] = []
  /** Who may be answered, `ip port`; the one heard longest ago comes first. */
  private readonly users = new Set<string>()
  private lastMs = 0
  private retryAtMs = 0
  private idle: Deadline | undefined
  private lastFailure = ''

  constructor(target: VisitTarget, way: Way, runtime: Runtime, log: Log) {
    this.target = target
    this.way = way
    this.runtime = runtime
    this.log = log
  }

  /** Listens; 0 is any free port. Answers the port. Rejects with PORT_TAKEN, PORT_NOT_ALLOWED or NOT_SUPPORTED. */
  async listen(address: string, port: number): Promise<number> {
    this.port = await bindUdp(address, port, {
      onDatagram: (payload, ip, from) => this.fromUser({ payload, ip, port: from }),
      onError: (error) => this.log.debug(`local udp port: ${messageOf(error)}`),
    })
    return this.port.port
  }

  /** Opens the stream before the first datagram. Rejects with what the relay says. */
  async open(waitMs: number): Promise<void> {
    if (this.channel !== undefined || this.isOpening || this.isClosed) return
    this.isOpening = true
    try {
      const { stream, wire, release } = await this.way.open(this.target, waitMs)
      // A stream for all users is never over: the next datagram opens another one where the session went to.
      release()
      if (this.isClosed) stream.destroy()
      else {
        this.lastFailure = ''
        this.lastMs = this.runtime.monotonicMs()
        // Paused until `channel` is set: what waits would be delivered inside its constructor.
        stream.pause()
        this.wire = wire
        this.channel = this.channelOn(stream)
        stream.resume()
        this.flush()
        this.watchIdle()
      }
    } catch (error) {
      this.retryAtMs = this.runtime.monotonicMs() + RETRY_MS
      this.queue = []
      throw error
    } finally {
      this.isOpening = false
    }
  }

  close(): void {
    this.isClosed = true
    this.idle?.cancel()
    this.channel?.end()
    this.port?.close()
  }

  private channelOn(stream: ByteStream): MessageChannel {
    const handler: MessageHandler = {
      onMessage: (message) => this.fromRelay(message),
      onEnd: () => channel.end(),
      onClose: (error) => {
        if (error !== undefined && !this.isClosed) this.log.debug(`visit closed: ${messageOf(error)}`)
        if (this.channel !== channel) return
        this.channel = undefined
        this.idle?.cancel()
      },
    }
    const channel = new MessageChannel(stream, handler, { codec: codecOf(this.wire) })
    return channel
  }

  private fromUser(datagram: Datagram): void {
    // A longer one does not fit frp's message and would end the stream for everybody.
    if (this.isClosed || !fitsUdpPacket(datagram.payload.length, datagram.ip, this.wire)) return
    this.lastMs = this.runtime.monotonicMs()
    this.heard(`${datagram.ip} ${datagram.port}`)
    if (this.channel !== undefined) {
      this.send(this.channel, datagram)
      return
    }
    if (this.lastMs < this.retryAtMs) return
    if (this.queue.length < MAX_QUEUE) this.queue.push(datagram)
    this.open(LOCAL_WAIT_MS).catch((error: unknown) => this.failed(messageOf(error)))
  }

  private fromRelay(message: Message): void {
    this.lastMs = this.runtime.monotonicMs()
    if (message.type !== 'UDPPacket') return
    const { payload, ip, port } = datagramOf(message)
    // A relay may answer only whom we heard: else this port would be a reflector.
    if (this.users.has(`${ip} ${port}`)) this.port?.send(payload, ip, port)
  }

  private send(channel: MessageChannel, datagram: Datagram): void {
    // It may have come before the framing was known.
    if (!fitsUdpPacket(datagram.payload.length, datagram.ip, this.wire)) return
    // frp drops without a word too: a sender of UDP cannot be slowed down.
    if (channel.backlogBytes < MAX_BACKLOG_BYTES) channel.send(udpPacket(datagram.payload, datagram))
  }

  private flush(): void {
    const waiting = this.queue
    this.queue = []
    for (const datagram of waiting) if (this.channel !== undefined) this.send(this.channel, datagram)
  }

  private heard(user: string): void {
    this.users.delete(user)
    this.users.add(user)
    if (this.users.size <= MAX_USERS) return
    for (const oldest of this.users) {
      this.users.delete(oldest)
      break
    }
  }

  /** One deadline, moved on when it fires: not one cancelled and made for each datagram. */
  private watchIdle(): void {
    const left = this.lastMs + IDLE_MS - this.runtime.monotonicMs()
    if (left > 0) {
      this.idle = this.runtime.after(left, () => this.watchIdle())
      return
    }
    const { channel } = this
    this.channel = undefined
    channel?.end()
  }

  /** A service that is away is asked for once a second; the log need not say so each time. */
  private failed(text: string): void {
    if (text !== this.lastFailure && !this.isClosed) this.log.warn(`visit refused: ${text}`)
    this.lastFailure = text
  }
}
