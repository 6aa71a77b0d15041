import type { WireProtocol } from './codec.ts'
import type { Outgoing, UDPPacket } from './messages.ts'

/** A datagram with whom it is from, or for. */
export interface Datagram {
  payload: Uint8Array
  /** An address in Go's spelling. */
  ip: string
  port: number
}

/**
 * The longest payload whose UDPPacket fits a v1 message with an IPv4 address: base64 of 7,635 bytes is 10,180,
 * and the longest address takes the rest of 10,240. A longer one closes the connection at a stock receiver.
 */
export const MAX_UDP_PAYLOAD = 7_635
/** The same with the longest IPv6 address and no zone. */
export const MAX_UDP_PAYLOAD_IPV6 = 7_617

/** The same bounds of a v2 frame, whose payload is at most 65,536 bytes with the message's id. */
export const MAX_UDP_PAYLOAD_V2 = 49_104
export const MAX_UDP_PAYLOAD_V2_IPV6 = 49_086

/** Whether a datagram fits a message; what does not is dropped, as a network drops it. */
export function fitsUdpPacket(payloadBytes: number, ip: string, wire: WireProtocol): boolean {
  const isIpv6 = ip.includes(':')
  if (wire === 'v2') return payloadBytes <= (isIpv6 ? MAX_UDP_PAYLOAD_V2_IPV6 : MAX_UDP_PAYLOAD_V2)
  return payloadBytes <= (isIpv6 ? MAX_UDP_PAYLOAD_IPV6 : MAX_UDP_PAYLOAD)
}

/** The message that carries a datagram; `r` is the user in both directions, as in frp. */
export function udpPacket(payload: Uint8Array, address: { ip: string; port: number }): Outgoing {
  return { type: 'UDPPacket', c: payload, r: { IP: address.ip, Port: address.port, Zone: '' } }
}

/** The datagram in a message; `ip` is '' and `port` 0 when it does not say for whom: frp drops such a one. */
export function datagramOf(message: UDPPacket): Datagram {
  return { payload: message.c, ip: message.r?.IP ?? '', port: message.r?.Port ?? 0 }
}
