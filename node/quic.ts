import { createHmac, randomBytes, randomFillSync, timingSafeEqual } from 'node:crypto'
import { FrpError, messageOf } from '../contract/errors.ts'
import type { ByteStream } from '../protocol/stream/byte-stream.ts'
import { selfSigned } from './certificate.ts'
import { streamOf } from './duplex.ts'
import { QuicDuplex, type QuicStream } from './quic-stream.ts'

/**
 * The package that speaks QUIC. It is not one of ours: its core is native code, made for some systems only, and no part
 * of a file of JavaScript. Where somebody has installed it beside this program it is used.
 */
const PACKAGE = '@matrixai/quic'
/** frp, pkg/transport/tls.go: the name that both ends of QUIC give their protocol. */
const ALPN = 'frp'
/** frp: transport.quic.maxIdleTimeout and keepalivePeriod; their defaults. */
const IDLE_MS = 30_000
const KEEP_ALIVE_MS = 10_000
/** frp: transport.quic.maxIncomingStreams. The package takes the rest of the peer's limits. */
const MAX_STREAMS = 100_000

/** One connection of QUIC; each stream of it ends its directions on its own. */
export interface QuicConnection {
  open(): ByteStream
  /** Set at once: streams that came before are told as soon as it is. */
  onStream: ((stream: ByteStream) => void) | undefined
  onClose: (() => void) | undefined
  close(): void
}

/** What speaks QUIC. */
export interface Quic {
  /** Connects from a local port. Rejects with CONNECT_FAILED. */
  connect(localPort: number, host: string, port: number): Promise<QuicConnection>
  /** Waits at a local port for one connection from `ip`. Rejects with TIMEOUT or CONNECT_FAILED. */
  accept(localPort: number, ip: string, waitMs: number): Promise<QuicConnection>
}

let loaded: Quic | undefined

/** Looks for the package, once at the start of the program. */
export async function loadQuic(): Promise<Quic | undefined> {
  if (loaded !== undefined) return loaded
  try {
    // A name that no bundler follows.
    const name: string = PACKAGE
    const module: unknown = await import(name)
    if (isQuicModule(module)) loaded = new PackageQuic(module)
  } catch {
    // Not installed, or not made for this system: who needs it says so.
  }
  return loaded
}

/** What `loadQuic` found. */
export function loadedQuic(): Quic | undefined {
  return loaded
}

interface Connection extends EventTarget {
  readonly remoteHost: string
  newStream(): QuicStream
  stop(options: { isApp: true; errorCode: number; force: boolean }): Promise<void>
}

interface QuicModule {
  QUICClient: {
    createQUICClient(options: object): Promise<{ connection: Connection; destroy(options: object): Promise<void> }>
  }
  QUICServer: new (
    options: object,
  ) => EventTarget & {
    start(options: { host: string; port: number }): Promise<void>
    stop(options: { force: boolean }): Promise<void>
  }
}

function isQuicModule(module: unknown): module is QuicModule {
  return typeof module === 'object' && module !== null && 'QUICClient' in module && 'QUICServer' in module
}

/** The package tells every step of every stream on stderr. */
const SILENT = {
  getChild: () => SILENT,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

const CONFIG = {
  verifyPeer: false,
  applicationProtos: [ALPN],
  maxIdleTimeout: IDLE_MS,
  keepAliveIntervalTime: KEEP_ALIVE_MS,
  initialMaxStreamsBidi: MAX_STREAMS,
}

class PackageQuic implements Quic {
  private readonly module: QuicModule

  constructor(module: QuicModule) {
    this.module = module
  }

  async connect(localPort: number, host: string, port: number): Promise<QuicConnection> {
    try {
      const client = await this.module.QUICClient.createQUICClient({
        host,
        port,
        localHost: '0.0.0.0',
        localPort,
        crypto: { ops: { randomBytes: fillRandom } },
        config: CONFIG,
        logger: SILENT,
      })
      return new Wrapped(client.connection, () => client.destroy({ force: true }))
    } catch (error) {
      throw failed(`dial quic ${host}:${port}`, error)
    }
  }

  async accept(localPort: number, ip: string, waitMs: number): Promise<QuicConnection> {
    const { QUICServer } = this.module
    const server = new QUICServer({
      crypto: { key: new Uint8Array(randomBytes(32)).buffer, ops: { randomBytes: fillRandom, sign, verify } },
      config: { ...CONFIG, ...selfSigned() },
      logger: SILENT,
    })
    let isTaken = false
    const coming = new Promise<Connection>((resolve) => {
      server.addEventListener('EventQUICServerConnection', (event) => {
        const connection = detailOf<Connection>(event)
        // Nothing in QUIC says who calls: anybody else must not be first.
        if (isTaken || connection.remoteHost !== ip) {
          void connection.stop({ isApp: true, errorCode: 0, force: true }).catch(() => undefined)
          return
        }
        isTaken = true
        resolve(connection)
      })
    })
    try {
      await server.start({ host: '0.0.0.0', port: localPort })
    } catch (error) {
      throw failed(`listen quic 0.0.0.0:${localPort}`, error)
    }
    let timer: NodeJS.Timeout | undefined
    const tooLate = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new FrpError('TIMEOUT', 'no connection of QUIC came in time')), waitMs)
    })
    try {
      return new Wrapped(await Promise.race([coming, tooLate]), () => server.stop({ force: true }))
    } catch (error) {
      await server.stop({ force: true })
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}

class Wrapped implements QuicConnection {
  onClose: (() => void) | undefined
  private readonly connection: Connection
  private readonly end: () => Promise<void>
  private handler: ((stream: ByteStream) => void) | undefined
  private early: ByteStream[] = []
  private isClosed = false

  /** `end` closes the connection and the socket below. */
  constructor(connection: Connection, end: () => Promise<void>) {
    this.connection = connection
    this.end = end
    connection.addEventListener('EventQUICConnectionStream', (event) => {
      const stream = streamOf(new QuicDuplex(detailOf<QuicStream>(event)))
      if (this.handler === undefined) this.early.push(stream)
      else this.handler(stream)
    })
    connection.addEventListener('EventQUICConnectionClose', () => this.close())
  }

  get onStream(): ((stream: ByteStream) => void) | undefined {
    return this.handler
  }

  set onStream(handler: ((stream: ByteStream) => void) | undefined) {
    this.handler = handler
    for (const stream of this.early.splice(0)) handler?.(stream)
  }

  open(): ByteStream {
    return streamOf(new QuicDuplex(this.connection.newStream()))
  }

  close(): void {
    if (this.isClosed) return
    this.isClosed = true
    // What goes wrong with a connection that is over is of no interest.
    this.end().catch(() => undefined)
    this.onClose?.()
  }
}

/** Events of the package carry their object there. */
function detailOf<T>(event: Event): T {
  return (event as Event & { detail: T }).detail // the package's own types say which event has what
}

function failed(what: string, error: unknown): FrpError {
  return new FrpError('CONNECT_FAILED', `${what} error: ${messageOf(error)}`, { cause: error })
}

function fillRandom(data: ArrayBuffer): Promise<void> {
  randomFillSync(new Uint8Array(data))
  return Promise.resolve()
}

/**
 * At once, and not in a thread: a ClientHello with a post-quantum key takes two datagrams, and the package would make
 * two connections of them if the second one came before the token in the first one was verified.
 */
function sign(key: ArrayBuffer, data: ArrayBuffer): Promise<ArrayBuffer> {
  return Promise.resolve(new Uint8Array(digest(key, data)).buffer)
}

function verify(key: ArrayBuffer, data: ArrayBuffer, signature: ArrayBuffer): Promise<boolean> {
  const right = digest(key, data)
  return Promise.resolve(right.byteLength === signature.byteLength && timingSafeEqual(right, new Uint8Array(signature)))
}

function digest(key: ArrayBuffer, data: ArrayBuffer): Uint8Array {
  return createHmac('sha256', new Uint8Array(key)).update(new Uint8Array(data)).digest()
}
