import type { WireProtocol } from '../../protocol/frp/codec.ts'
import { MessageChannel, type MessageHandler } from '../../protocol/frp/message-channel.ts'
import { codecOf } from '../../protocol/frp/opening.ts'
import { type Datagram, datagramOf, fitsUdpPacket, udpPacket } from '../../protocol/frp/udp.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'

/** Bytes of messages that may wait for a visitor; what comes then is lost, as UDP loses it. */
const MAX_BACKLOG_BYTES = 64 * 1024

/**
 * Visitors of a udp proxy, who speak sudp's framing. The proxy's client knows its users by address alone, so each
 * user of a visitor gets one that nobody else has: the visitor's address, and a port that is free there.
 */
export class UdpVisits {
  /** By the address that the client sees, `ip port`. */
  private readonly byAlias = new Map<
    string,
    { channel: MessageChannel; wire: WireProtocol; ip: string; port: number }
  >()
  private readonly fromVisitor: (datagram: Datagram) => void
  private readonly channels = new Set<MessageChannel>()
  private readonly maxUsers: number

  /** `maxUsers`: of all visitors together; `fromVisitor` gets each datagram under its alias. */
  constructor(maxUsers: number, fromVisitor: (datagram: Datagram) => void) {
    this.maxUsers = maxUsers
    this.fromVisitor = fromVisitor
  }

  add(visitor: ByteStream, visitorIp: string, wire: WireProtocol): void {
    const aliases = new Map<string, number>()
    // Paused until `channel` is set, and it may come paused from the reader before.
    visitor.pause()
    const handler: MessageHandler = {
      onMessage: (message) => {
        if (message.type !== 'UDPPacket') return
        const { payload, ip, port } = datagramOf(message)
        const user = `${ip} ${port}`
        let alias = aliases.get(user)
        if (alias === undefined) {
          if (this.byAlias.size >= this.maxUsers) return
          alias = this.freePort(visitorIp, port)
          aliases.set(user, alias)
          this.byAlias.set(`${visitorIp} ${alias}`, { channel, wire, ip, port })
        }
        this.fromVisitor({ payload, ip: visitorIp, port: alias })
      },
      onClose: () => {
        this.channels.delete(channel)
        for (const alias of aliases.values()) this.byAlias.delete(`${visitorIp} ${alias}`)
      },
    }
    const channel = new MessageChannel(visitor, handler, { codec: codecOf(wire) })
    this.channels.add(channel)
    visitor.resume()
  }

  /** Sends an answer to the visitor that has this alias; `false`: nobody has. */
  answer(alias: string, payload: Uint8Array): boolean {
    const user = this.byAlias.get(alias)
    if (user === undefined) return false
    const fits = fitsUdpPacket(payload.length, user.ip, user.wire)
    if (fits && user.channel.backlogBytes < MAX_BACKLOG_BYTES) user.channel.send(udpPacket(payload, user))
    return true
  }

  close(): void {
    for (const channel of this.channels) channel.end()
  }

  private freePort(ip: string, wanted: number): number {
    let port = wanted
    while (this.byAlias.has(`${ip} ${port}`)) port = port >= 65_535 ? 1_024 : port + 1
    return port
  }
}
