import { messageOf } from '../contract/errors.ts'
import type { Log } from '../contract/runtime.ts'
import { bindUdp } from '../node/udp.ts'
import type { UdpPort } from '../relay/ingress.ts'

/** Opens a UDP port for users. `address`: frp's proxyBindAddr. */
export function openUdpPort(
  port: number,
  onDatagram: (payload: Uint8Array, ip: string, port: number) => void,
  options: { address: string; log: Log },
): Promise<UdpPort> {
  const { address, log } = options
  return bindUdp(address, port, {
    onDatagram(payload, ip, from) {
      try {
        onDatagram(payload, ip, from)
      } catch (error) {
        log.error(`datagram of [${ip}] on port ${port}: ${messageOf(error)}`)
      }
    },
    // One datagram that could not be sent (no route, an ICMP answer) says nothing about the next.
    onError: (error) => log.debug(`udp port ${port}: ${error.message}`),
  })
}
