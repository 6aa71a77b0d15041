import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Deadline, Runtime } from '../../../contract/runtime.ts'
import { createLineLog } from '../../../node/log.ts'
import { nodeRuntime } from '../../../node/runtime.ts'
import { serverTls } from '../../../node/tls.ts'
import type { Link } from '../../../protocol/stream/byte-stream.ts'
import type { PeerInfo } from '../../../relay/ingress.ts'
import { Refusals } from '../../../relay/refusals.ts'
import { addressesOf } from '../../../relay-node/addresses.ts'
import { PortMux } from '../../../relay-node/port-mux.ts'

/** What came through a door, as text that tests compare. */
export interface Arrived {
  door: 'frp' | 'vhost' | 'api'
  peer?: PeerInfo
  /** All bytes of the connection so far, from its start (frp: inside TLS and WebSocket). */
  text: () => string
  /** Sends bytes back. */
  answer: (text: string) => void
}

export interface MuxOptions {
  isTlsForced?: boolean
  isForClients?: boolean
  hasVhost?: boolean
}

/** A port with a PortMux whose doors remember what came, and whose deadlines the test lets run out. */
export class MuxRig {
  readonly arrived: Arrived[] = []
  readonly lines: string[] = []
  private readonly server: Server
  private readonly deadlines = new Set<() => void>()
  private readonly sockets: Socket[] = []
  private changed: (() => void)[] = []

  constructor(options: MuxOptions = {}) {
    const log = createLineLog(
      { write: (line) => void this.lines.push(line), close: async () => undefined },
      'trace',
      false,
    )
    const runtime: Runtime = { ...nodeRuntime(log), after: (_delayMs, run) => this.after(run) }
    const mux = new PortMux({
      runtime,
      doors: {
        frp: (link, peer, head) => this.link('frp', link, peer, head),
        vhost:
          options.hasVhost === false
            ? undefined
            : (user, _addresses, head) => this.link('vhost', user, undefined, head),
        api: (socket, head) => {
          const answer = (text: string): void => void socket.end(text)
          this.add({ door: 'api', text: () => Buffer.from(head).toString('latin1'), answer })
        },
        clientIp: (_fields, ip) => ip,
      },
      isForClients: options.isForClients ?? true,
      tls: TLS,
      isTlsForced: options.isTlsForced ?? false,
      headerTimeoutMs: 10_000,
      headLimits: { bytes: 64 * 1024, fields: 200 },
      maxMessageBytes: 1024 * 1024,
      maxMessageBytesBeforeLogin: 64 * 1024,
      refusals: new Refusals(runtime),
    })
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      socket.on('error', () => undefined)
      const addresses = addressesOf(socket)
      if (addresses !== undefined) mux.accept(socket, addresses)
    })
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port // listening on an address, not on a path
  }

  /** A connected socket of a client. */
  async connect(): Promise<Socket> {
    const socket = connect({ port: this.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    this.sockets.push(socket)
    socket.on('error', () => undefined)
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()))
    return socket
  }

  /** Resolves when `count` connections came through doors and the last has `bytes` or more. */
  async until(count: number, bytes = 0): Promise<Arrived> {
    for (;;) {
      const last = this.arrived[count - 1]
      if (last !== undefined && last.text().length >= bytes) return last
      await new Promise<void>((resolve) => this.changed.push(resolve))
    }
  }

  /** All deadlines that are open run out. */
  runOut(): void {
    for (const run of [...this.deadlines]) run()
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy()
    this.server.close()
  }

  private link(door: 'frp' | 'vhost', link: Link, peer: PeerInfo | undefined, head: Uint8Array | undefined): void {
    let text = ''
    this.add({
      door,
      ...(peer === undefined ? {} : { peer }),
      text: () => text,
      answer: (answer) => void link.write(new TextEncoder().encode(answer)),
    })
    link.attach(
      {
        onData: (chunk) => {
          text += Buffer.from(chunk).toString('latin1')
          this.tell()
          return true
        },
        onEnd: () => link.end(),
        onDrain() {},
        onClose() {},
      },
      head?.slice(),
    )
  }

  private add(arrived: Arrived): void {
    this.arrived.push(arrived)
    this.tell()
  }

  private tell(): void {
    for (const changed of this.changed.splice(0)) changed()
  }

  private after(run: () => void): Deadline {
    const once = (): void => {
      this.deadlines.delete(once)
      run()
    }
    this.deadlines.add(once)
    return { cancel: () => void this.deadlines.delete(once) }
  }
}

/** One for all tests: making a key takes longer than all of them. */
const TLS = serverTls({})

/** Resolves with all that came until the other side ended or reset. */
export function readAll(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    socket.once('end', () => resolve(text))
    socket.once('close', () => resolve(text))
  })
}
