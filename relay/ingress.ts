import type { ByteStream } from '../protocol/stream/byte-stream.ts'

/** Where a user's connection came from, and what it reached. IP literals without brackets. */
export interface Addresses {
  sourceIp: string
  sourcePort: number
  destinationIp: string
  destinationPort: number
}

/** How a client's connection arrived; for logs, limits and the registry. */
export interface PeerInfo {
  ip: string
  port: number
  /** `tcp`, `websocket`, …: what carries the frp bytes. */
  transport: string
  isEncrypted: boolean
  /** The relay's own end, where the runtime knows it. */
  local?: { ip: string; port: number }
  /** Called when a first message of the connection was accepted: bounds for strangers may be raised. */
  onAccepted?: () => void
  /**
   * Who it is was shown already (frp: always_auth_pass): no token is asked for. Only what runs in this process may
   * say so, never the wire.
   */
  alwaysAuthPass?: boolean
}

export interface PortListener {
  readonly port: number
  close(): void
}

export interface UdpPort extends PortListener {
  /** Sends one datagram; a datagram that cannot be sent is lost, as in UDP. */
  send(payload: Uint8Array, ip: string, port: number): void
}

/** The raw ports that a runtime can open for users; the edge has none. Errors carry PORT_TAKEN. */
export interface Ports {
  listenTcp(port: number, onUser: (user: ByteStream, addresses: Addresses) => void): Promise<PortListener>
  listenUdp(port: number, onDatagram: (payload: Uint8Array, ip: string, port: number) => void): Promise<UdpPort>
}
