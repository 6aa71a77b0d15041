import { createSocket, type Socket, type SocketOptions } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { isIP, isIPv6 } from 'node:net'
import { FrpError, messageOf } from '../contract/errors.ts'

/** The kernel's default (some 200 KiB) holds one burst of large datagrams; a game or a DNS storm needs more. */
const RECEIVE_BUFFER_BYTES = 1024 * 1024

/** What a UDP port does with what comes in. None of the calls may throw. */
export interface DatagramHandler {
  /** `payload` is the handler's to keep. `ip` is an IPv4 address also where it came over a dual-stack socket. */
  onDatagram(payload: Uint8Array, ip: string, port: number): void
  /** Something could not be sent or received (an ICMP answer, no route); the port goes on. */
  onError?(error: Error): void
}

/** A bound UDP port. */
export interface UdpPort {
  /** The address and port that the system gave. */
  readonly ip: string
  readonly port: number
  /** Sends one datagram, or drops it where the system does; errors go to `onError`. Nothing after `close`. */
  send(payload: Uint8Array, ip: string, port: number): void
  close(): void
}

/** A UDP socket that talks to one address; what others send does not reach it. */
export interface UdpPeer {
  /** Sends one datagram, waiting for the connection if need be; errors go to `onError`. Nothing after `close`. */
  send(payload: Uint8Array): void
  close(): void
}

/**
 * Binds a UDP port; 0 is any free one, `::` both address families where the system has both. Rejects with
 * PORT_TAKEN, PORT_NOT_ALLOWED or NOT_SUPPORTED, naming address and port.
 */
export async function bindUdp(address: string, port: number, handler: DatagramHandler): Promise<UdpPort> {
  const ip = await addressOf(address, port)
  const isV6 = isIPv6(ip)
  const type = isV6 ? 'udp6' : 'udp4'
  const socket = createSocket({ type, recvBufferSize: RECEIVE_BUFFER_BYTES, lookup: addressOnly })
  return new Promise((resolve, reject) => {
    const refuse = (error: Error) => {
      closeQuietly(socket)
      reject(bindError(address, port, error))
    }
    socket.once('error', refuse)
    socket.bind(port, ip, () => {
      socket.off('error', refuse)
      resolve(new BoundPort(socket, isV6, handler))
    })
  })
}

async function addressOf(address: string, port: number): Promise<string> {
  if (isIP(address) !== 0) return address
  try {
    return (await lookup(address, { verbatim: false })).address
  } catch (error) {
    throw bindError(address, port, asError(error))
  }
}

/**
 * Opens a UDP socket to `host`:`port`, a name or an address. It never throws: a name that cannot be resolved is
 * told to `onError`, and so is a refused port (ECONNREFUSED) when the answer comes.
 */
export function dialUdp(host: string, port: number, handler: DatagramHandler): UdpPeer {
  return new ConnectedPeer(host, port, handler)
}

class BoundPort implements UdpPort {
  readonly ip: string
  readonly port: number
  private readonly socket: Socket
  private readonly isV6: boolean
  private readonly handler: DatagramHandler
  private isClosed = false

  constructor(socket: Socket, isV6: boolean, handler: DatagramHandler) {
    this.socket = socket
    this.isV6 = isV6
    this.handler = handler
    const { address, port } = socket.address()
    this.ip = address
    this.port = port
    socket.on('message', (payload, from) => handler.onDatagram(plain(payload), unmapped(from.address), from.port))
    socket.on('error', (error) => handler.onError?.(error))
  }

  send(payload: Uint8Array, ip: string, port: number): void {
    if (this.isClosed) return
    // A dual-stack socket takes IPv4 addresses in their mapped form only.
    const to = this.isV6 && !isIPv6(ip) ? `::ffff:${ip}` : ip
    try {
      this.socket.send(payload, port, to, this.sent)
    } catch (error) {
      // Node throws for a port out of range, which a peer's message can name.
      this.handler.onError?.(asError(error))
    }
  }

  close(): void {
    this.isClosed = true
    closeQuietly(this.socket)
  }

  private readonly sent = (error: Error | null): void => {
    if (error !== null && !this.isClosed) this.handler.onError?.(error)
  }
}

/** Datagrams that wait while the name is resolved: as many as frp queues for a session (udp.go). */
const MAX_WAITING = 1_024

class ConnectedPeer implements UdpPeer {
  private readonly handler: DatagramHandler
  private socket: Socket | undefined
  private isConnected = false
  private isClosed = false
  private waiting: Uint8Array[] = []

  constructor(host: string, port: number, handler: DatagramHandler) {
    this.handler = handler
    void this.open(host, port)
  }

  send(payload: Uint8Array): void {
    if (this.isClosed) return
    if (this.isConnected) this.socket?.send(payload, this.sent)
    else if (this.waiting.length < MAX_WAITING) this.waiting.push(payload.slice())
  }

  close(): void {
    this.isClosed = true
    this.waiting = []
    if (this.socket !== undefined) closeQuietly(this.socket)
  }

  private async open(host: string, port: number): Promise<void> {
    try {
      // As Go: IPv4 first, whatever order the resolver has.
      const { address, family } = await lookup(host, { verbatim: false })
      if (this.isClosed) return
      const socket = createSocket({ type: family === 6 ? 'udp6' : 'udp4', recvBufferSize: RECEIVE_BUFFER_BYTES })
      this.socket = socket
      socket.on('error', (error) => this.handler.onError?.(error))
      socket.on('message', (payload, from) => this.handler.onDatagram(plain(payload), from.address, from.port))
      socket.connect(port, address, () => this.connected(socket))
    } catch (error) {
      if (!this.isClosed) this.handler.onError?.(asError(error))
    }
  }

  private connected(socket: Socket): void {
    if (this.isClosed) return
    this.isConnected = true
    for (const payload of this.waiting) socket.send(payload, this.sent)
    this.waiting = []
  }

  private readonly sent = (error: Error | null): void => {
    if (error !== null && !this.isClosed) this.handler.onError?.(error)
  }
}

/** Node asks for every datagram: an address is answered at once, and no name that a peer sends is ever resolved. */
const addressOnly: SocketOptions['lookup'] = (host, _family, answer) => {
  const family = isIP(host)
  if (family === 0) answer(Object.assign(new Error(`${host} is no IP address`), { code: 'ENOTFOUND' }), '', 0)
  else answer(null, host, family)
}

function bindError(address: string, port: number, error: NodeJS.ErrnoException): FrpError {
  const text = `udp ${address}:${port}: ${messageOf(error)}`
  if (error.code === 'EADDRINUSE') return new FrpError('PORT_TAKEN', text, { cause: error })
  if (error.code === 'EACCES') return new FrpError('PORT_NOT_ALLOWED', text, { cause: error })
  return new FrpError('NOT_SUPPORTED', text, { cause: error })
}

function closeQuietly(socket: Socket): void {
  try {
    socket.close()
  } catch {
    // Closed already, by an error of its own: that is what was wanted.
  }
}

function unmapped(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address
}

/** Without Buffer's `slice`, which shares memory where a Uint8Array's copies. */
function plain(payload: Buffer): Uint8Array {
  return new Uint8Array(payload.buffer, payload.byteOffset, payload.length)
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
