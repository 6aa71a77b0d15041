import type { Socket } from 'node:net'
import type { Addresses } from '../relay/ingress.ts'

/** Both ends of an accepted connection, or undefined when it is gone already. */
export function addressesOf(socket: Socket): Addresses | undefined {
  const { remoteAddress, remotePort, localAddress, localPort } = socket
  if (remoteAddress === undefined || remotePort === undefined) return undefined
  return {
    sourceIp: plainIp(remoteAddress),
    sourcePort: remotePort,
    destinationIp: plainIp(localAddress ?? ''),
    destinationPort: localPort ?? 0,
  }
}

/** An IPv4 address that came over a dual-stack socket as IPv4; other addresses as they are. */
export function plainIp(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address
}
