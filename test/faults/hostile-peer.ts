import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { CleanUp } from '../e2e/client-rig.ts'

/** What carries the bytes of a peer. */
export type Carrier = 'tcp' | 'tls' | 'websocket'

/** A peer that plays bytes as it is told, and notes all that comes back and how it ends. */
export class HostilePeer {
  readonly socket: Socket
  readonly carrier: Carrier
  received = Buffer.alloc(0)
  /** The relay ended the connection, by FIN or reset. */
  isClosed = false
  /** The connection ended with a reset. */
  error: Error | undefined
  private changed: (() => void)[] = []

  constructor(socket: Socket, carrier: Carrier) {
    this.socket = socket
    this.carrier = carrier
    socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk])
      this.tell()
    })
    socket.on('error', (error) => {
      this.error = error
    })
    socket.on('end', () => {
      this.closedNow()
      socket.end()
    })
    socket.on('close', () => this.closedNow())
  }

  /** Bytes below everything. */
  raw(bytes: Uint8Array | string): void {
    this.socket.write(bytes)
  }

  /** Bytes inside the carrier: for a WebSocket a frame. */
  send(bytes: Uint8Array, opcode = 2): void {
    this.raw(this.carrier === 'websocket' ? frame(bytes, { opcode }) : bytes)
  }

  /** Resolves when `is` holds; looked at whenever something comes or the connection closes. */
  async until(is: () => boolean): Promise<void> {
    while (!is()) await new Promise<void>((resolve) => this.changed.push(resolve))
  }

  async closed(): Promise<void> {
    await this.until(() => this.isClosed)
  }

  /** The close code that came in a WebSocket frame, after what `received` holds else; undefined: none came. */
  get closeCode(): number | undefined {
    for (const { opcode, payload } of this.frames())
      if (opcode === 8 && payload.length >= 2) return payload.readUInt16BE(0)
    return undefined
  }

  /** The payload that came: all data frames together, or simply all bytes. */
  get payload(): Buffer {
    if (this.carrier !== 'websocket') return this.received
    return Buffer.concat([...this.frames()].filter(({ opcode }) => opcode <= 2).map(({ payload }) => payload))
  }

  private *frames(): Generator<{ opcode: number; payload: Buffer }> {
    const end = this.received.indexOf('\r\n\r\n')
    let at = end < 0 ? this.received.length : end + 4
    while (at + 2 <= this.received.length) {
      const opcode = (this.received[at] ?? 0) & 0x0f
      const short = (this.received[at + 1] ?? 0) & 0x7f
      const head = short === 127 ? 10 : short === 126 ? 4 : 2
      if (at + head > this.received.length) return
      const length =
        short === 127
          ? Number(this.received.readBigUInt64BE(at + 2))
          : short === 126
            ? this.received.readUInt16BE(at + 2)
            : short
      yield { opcode, payload: this.received.subarray(at + head, at + head + length) }
      at += head + length
    }
  }

  private closedNow(): void {
    this.isClosed = true
    this.tell()
  }

  private tell(): void {
    for (const changed of this.changed.splice(0)) changed()
  }
}

export interface PeerOptions {
  carrier?: Carrier
  /** Further header lines of the upgrade, each with its CRLF. */
  headers?: string
  /** An address of this machine to come from. */
  from?: string
}

/** A connected peer; over WebSocket, one whose upgrade was answered. */
export async function hostile(cleanUp: CleanUp, port: number, options: PeerOptions = {}): Promise<HostilePeer> {
  const { carrier = 'tcp', headers = '', from = '127.0.0.1' } = options
  const to = { port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true, localAddress: from }
  const socket = carrier === 'tls' ? connectTls({ ...to, rejectUnauthorized: false }) : connect(to)
  cleanUp.add(() => void socket.destroy())
  const peer = new HostilePeer(socket, carrier)
  await new Promise<void>((resolve, reject) => {
    socket.once(carrier === 'tls' ? 'secureConnect' : 'connect', () => resolve())
    // A relay that closes at once may be quicker than we are.
    socket.once('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNREFUSED' ? reject(error) : resolve()))
  })
  if (carrier === 'websocket') {
    peer.raw(upgrade(port, headers))
    await peer.until(() => peer.isClosed || peer.received.includes('\r\n\r\n'))
  }
  return peer
}

/** The request that stock frpc sends. */
export function upgrade(port: number, headers = ''): string {
  return (
    `GET /~!frp HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${headers}\r\n`
  )
}

export interface FrameOptions {
  opcode?: number
  isFinal?: boolean
  /** Reserved bits, as in the first byte. */
  reserved?: number
  isMasked?: boolean
  /** What the header says, if not the truth. */
  length?: bigint
}

/** One WebSocket frame, masked with zeros unless told otherwise. */
export function frame(payload: Uint8Array, options: FrameOptions = {}): Buffer {
  const { opcode = 2, isFinal = true, reserved = 0, isMasked = true, length = BigInt(payload.length) } = options
  const head = Buffer.alloc(10)
  head[0] = (isFinal ? 0x80 : 0) | reserved | opcode
  head[1] = (isMasked ? 0x80 : 0) | 127
  head.writeBigUInt64BE(BigInt.asUintN(64, length), 2)
  const mask = isMasked ? Buffer.alloc(4) : Buffer.alloc(0)
  if (opcode >= 8 && length <= 125n) {
    return Buffer.concat([Buffer.of(head[0] as number, (isMasked ? 0x80 : 0) | Number(length)), mask, payload])
  }
  return Buffer.concat([head, mask, payload])
}
