import { createSocket, type Socket } from 'node:dgram'
import { FrpError } from '../../contract/errors.ts'
import type { Runtime } from '../../contract/runtime.ts'
import { deriveKey } from '../../protocol/frp/cipher.ts'
import type { NatHoleResp } from '../../protocol/frp/messages.ts'
import { splitAddress } from '../../protocol/frp/nat-feature.ts'
import { newNatHoleId } from '../../protocol/frp/nat-hole-id.ts'
import { decodeSid, encodeSid } from './sid-datagram.ts'

/** What a relay may make us do, each somewhat above frp's own numbers: it must not turn us on others. */
const MAX_ADDRESSES = 32
const MAX_SOCKETS = 512
const MAX_RANDOM_PORTS = 2_000
const MAX_RANGE_PORTS = 1_000
const MAX_KNOCKS = 10_000
const MAX_DELAY_MS = 30_000
const MAX_READ_MS = 60_000
/** frp, pkg/nathole/nathole.go: between two datagrams of a range, and of random ports. */
const RANGE_GAP_MS = 2
const RANDOM_GAP_MS = 15
const READ_MS = 5_000
/** frp: ports that a NAT is likely to give. */
const FIRST_PORT = 1_024
const PORT_COUNT = 65_535 - FIRST_PORT
/** What systems give a datagram by themselves; Node cannot read it back. */
const ORDINARY_TTL = 64
/** frp: up to so many characters vary the length of the datagrams. */
const MAX_NONCE = 20

/** A way through: from this port of ours to that address. Nobody listens at the port any more. */
export interface Hole {
  localPort: number
  ip: string
  port: number
}

/**
 * Opens a way to the peer as the relay's answer says, from a local port (frp: MakeHole). Rejects with TIMEOUT when no
 * datagram of the peer came through.
 */
export async function makeHole(
  localPort: number,
  answer: NatHoleResp,
  secretKey: string,
  runtime: Runtime,
): Promise<Hole> {
  const punch = new Punch(answer, secretKey, runtime)
  try {
    return await punch.run(localPort)
  } finally {
    await punch.close()
  }
}

class Punch {
  private readonly answer: NatHoleResp
  private readonly key: Uint8Array
  private readonly runtime: Runtime
  private readonly transactionId: string
  private readonly sockets: Socket[] = []
  private isOver = false
  /** The peer was heard: no more knocking, and the answer must reach it. */
  private isHeard = false
  private knocks = 0
  private found: ((hole: Hole) => void) | undefined

  constructor(answer: NatHoleResp, secretKey: string, runtime: Runtime) {
    this.answer = answer
    this.key = deriveKey(runtime.crypto, secretKey)
    this.runtime = runtime
    this.transactionId = newNatHoleId(runtime)
  }

  async run(localPort: number): Promise<Hole> {
    const { detect_behavior: behavior } = this.answer
    const through = new Promise<Hole>((resolve) => {
      this.found = resolve
    })
    await this.listen(localPort)
    const isSender = behavior.role === 'sender'
    if (isSender) await this.pause(Math.min(behavior.send_delay_ms, MAX_DELAY_MS))
    else {
      const more = Math.min(behavior.listen_random_ports, MAX_SOCKETS)
      for (let i = 0; i < more && !this.isOver; i++) await this.listen(0)
    }
    const knocking = this.knock(isSender)
    const readMs = behavior.read_timeout > 0 ? Math.min(behavior.read_timeout, MAX_READ_MS) : READ_MS
    const tooLate = knocking.then(async () => {
      await this.pause(readMs)
      throw new FrpError('TIMEOUT', 'wait detect message timeout')
    })
    return await Promise.race([through, tooLate])
  }

  async close(): Promise<void> {
    this.isOver = true
    await Promise.all(this.sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))))
  }

  private listen(port: number): Promise<void> {
    const socket = createSocket('udp4')
    return new Promise((resolve, reject) => {
      socket.once('error', reject)
      socket.bind(port, () => {
        socket.off('error', reject)
        // An answer of ICMP says that nobody is there yet.
        socket.on('error', () => undefined)
        socket.on('message', (datagram, from) => this.heard(socket, datagram, from.address, from.port))
        this.sockets.push(socket)
        resolve()
      })
    })
  }

  private heard(socket: Socket, datagram: Uint8Array, ip: string, port: number): void {
    const message = decodeSid(datagram, this.key, this.runtime.crypto)
    if (message === undefined || message.sid !== this.answer.sid || this.isOver) return
    const through = (): void => this.found?.({ localPort: socket.address().port, ip, port })
    if (message.response) through()
    // A sender waits for the receiver's answer: then both know.
    else if (this.answer.detect_behavior.role !== 'sender') {
      const response = encodeSid({ ...message, response: true }, this.key, this.runtime.crypto)
      this.isHeard = true
      socket.setTTL(ORDINARY_TTL)
      socket.send(response, port, ip, through)
    }
  }

  private async knock(isSender: boolean): Promise<void> {
    const { candidate_addrs, assisted_addrs, detect_behavior: behavior } = this.answer
    const ranges = behavior.candidate_ports
    const candidates = isSender || ranges.length === 0 ? candidate_addrs : []
    const addresses = new Set([...(isSender ? assisted_addrs : []), ...candidates].slice(0, MAX_ADDRESSES))
    for (const address of addresses) {
      const { ip, port } = splitAddress(address)
      for (const socket of [...this.sockets]) await this.send(socket, ip, port)
    }
    const ips = [...new Set(candidate_addrs.slice(0, MAX_ADDRESSES).map((address) => splitAddress(address).ip))]
    const inRanges = ranges.flatMap(portsOf).slice(0, MAX_RANGE_PORTS)
    for (const socket of inRanges.length > 0 ? [...this.sockets] : []) {
      for (const ip of ips) await this.sendAll(socket, ip, inRanges, RANGE_GAP_MS)
    }
    // Meanwhile it is waited for an answer, as the time that the relay names has it.
    const random = randomPorts(Math.min(behavior.send_random_ports, MAX_RANDOM_PORTS))
    for (const socket of random.length > 0 ? this.sockets : []) {
      for (const ip of ips) void this.sendAll(socket, ip, random, RANDOM_GAP_MS)
    }
  }

  private async sendAll(socket: Socket, ip: string, ports: readonly number[], gapMs: number): Promise<void> {
    for (const port of ports) {
      if (this.isOver || this.isHeard || this.knocks >= MAX_KNOCKS) return
      await this.send(socket, ip, port)
      await this.pause(gapMs)
    }
  }

  /** Resolves also when it could not be sent: of many tries one is enough. */
  private send(socket: Socket, ip: string, port: number): Promise<void> {
    if (this.isOver || this.isHeard || port === 0 || this.knocks >= MAX_KNOCKS) return Promise.resolve()
    this.knocks += 1
    const { ttl } = this.answer.detect_behavior
    const message = {
      type: 'NatHoleSid',
      transaction_id: this.transactionId,
      sid: this.answer.sid,
      nonce: '0'.repeat((this.runtime.crypto.randomBytes(1)[0] ?? 0) % MAX_NONCE),
    } as const
    const datagram = encodeSid(message, this.key, this.runtime.crypto)
    return new Promise((resolve) => {
      if (ttl > 0) socket.setTTL(Math.min(ttl, 255))
      socket.send(datagram, port, ip, () => resolve())
    })
  }

  private pause(ms: number): Promise<void> {
    return ms <= 0 ? Promise.resolve() : new Promise((resolve) => void this.runtime.after(ms, resolve))
  }
}

function portsOf({ from, to }: { from: number; to: number }): number[] {
  const first = Math.max(1, from)
  const count = Math.min(65_535, to) - first + 1
  return Array.from({ length: Math.max(0, Math.min(count, MAX_RANGE_PORTS)) }, (_, index) => first + index)
}

function randomPorts(count: number): number[] {
  const ports = new Set<number>()
  while (ports.size < count) ports.add(FIRST_PORT + Math.floor(Math.random() * PORT_COUNT))
  return [...ports]
}
