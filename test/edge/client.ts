import { AeadStream, type Suite } from '../../protocol/frp/aead.ts'
import type { AeadAlgorithm } from '../../protocol/frp/aead-direction.ts'
import { deriveKey, encrypt } from '../../protocol/frp/cipher.ts'
import type { WireProtocol } from '../../protocol/frp/codec.ts'
import { clientHello, readServerHello } from '../../protocol/frp/hello.ts'
import { MessageChannel, type MessageHandler } from '../../protocol/frp/message-channel.ts'
import type { LoginResp, Message, NewProxyResp, Outgoing, StartWorkConn } from '../../protocol/frp/messages.ts'
import { codecOf, loginCodec, streamCodec, withMagic } from '../../protocol/frp/opening.ts'
import { privilegeKey } from '../../protocol/frp/token.ts'
import { CLIENT_HELLO, frameV2 } from '../../protocol/frp/v2.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { prefixed } from '../../protocol/stream/prefixed.ts'
import { Session } from '../../protocol/yamux/session.ts'
import { workerCrypto } from '../../worker/crypto.ts'
import { ClientLink } from './link.ts'

/** The token of `wrangler.toml`. */
export const TOKEN = 'edge-token'
/** What a proxy's service does with a work connection. */
export type Service = (work: ByteStream, start: StartWorkConn) => void

export interface LoginWith {
  token?: string
  /** Instead of the token's digest: what an issuer signed. */
  privilegeKey?: string
  runId?: string
  poolCount?: number
  clientId?: string
  /** Wire protocol v2 with this cipher; v1 unless given. */
  cipher?: AeadAlgorithm
  user?: string
}

/** The answer to a request that was an upgrade. */
export function upgrade(hub: Fetcher, url: string, headers: Record<string, string> = {}): Promise<Response> {
  return hub.fetch(url, { headers: { Upgrade: 'websocket', ...headers } })
}

/** A client of the relay, played by the test: our own protocol rooms over a WebSocket of the platform. */
export class EdgeClient {
  readonly link: ClientLink
  readonly session: Session
  readonly services = new Map<string, Service>()
  /** Work connections that were brought. */
  broughtCount = 0
  runId = ''
  /** What an issuer signed, for work connections too. */
  private issued: string | undefined
  wire: WireProtocol = 'v1'
  private control: MessageChannel | undefined
  private readonly waiters: { matches: (message: Message) => boolean; found: (message: Message) => void }[] = []

  private constructor(socket: WebSocket) {
    this.link = new ClientLink(socket)
    this.session = new Session(this.link, { role: 'client', nowMs: () => 0 })
    this.session.start()
  }

  static async connect(hub: Fetcher, headers: Record<string, string> = {}): Promise<EdgeClient> {
    const { status, webSocket } = await upgrade(hub, 'http://relay.test/~!frp', headers)
    if (webSocket === null) throw new Error(`no WebSocket but ${status}`)
    return new EdgeClient(webSocket)
  }

  /** A client that is logged in. */
  static async login(hub: Fetcher, options: LoginWith = {}): Promise<EdgeClient> {
    const client = await EdgeClient.connect(hub)
    const answer = await client.login(options)
    if (answer.error !== '') throw new Error(answer.error)
    return client
  }

  login(options: LoginWith = {}): Promise<LoginResp> {
    const token = options.token ?? TOKEN
    const { cipher } = options
    const hello = helloWith(cipher ?? 'aes-256-gcm')
    this.wire = cipher === undefined ? 'v1' : 'v2'
    let suite: Suite | undefined
    const timestamp = Math.floor(Date.now() / 1000)
    this.issued = options.privilegeKey
    return new Promise((resolve, reject) => {
      const handler: MessageHandler = {
        onMessage: (message) => {
          if (message.type !== 'LoginResp') throw new Error(`${message.type} instead of LoginResp`)
          this.runId = message.run_id
          if (message.error === '') {
            const { stream, head } = clear.detach()
            const rest = prefixed(stream, head)
            const encrypted = suite
              ? new AeadStream(rest, suite, token, 'client', workerCrypto)
              : encrypt(rest, deriveKey(workerCrypto, token), workerCrypto)
            const control: MessageHandler = { onMessage: (next) => this.onMessage(next) }
            this.control = new MessageChannel(encrypted, control, { codec: codecOf(this.wire) })
          }
          resolve(message)
        },
        onClose: (error) => reject(error ?? new Error('closed')),
      }
      const codec = loginCodec(this.wire, (payload) => {
        suite = readServerHello(payload, hello, workerCrypto)
      })
      const clear = new MessageChannel(this.session.open(), handler, { codec })
      if (this.wire === 'v2') clear.sendFrame(withMagic(frameV2(CLIENT_HELLO, hello)))
      clear.send({
        type: 'Login',
        timestamp,
        privilege_key: options.privilegeKey ?? privilegeKey(workerCrypto, token, timestamp),
        pool_count: options.poolCount ?? 1,
        run_id: options.runId ?? '',
        client_id: options.clientId ?? '',
        user: options.user ?? '',
        edgefrp: { v: 1, features: ['half-close', 'sleeps'] },
      })
    })
  }

  send(message: Outgoing): void {
    this.control?.send(message)
  }

  /** The next message of the control connection that is of this type. */
  next<Type extends Message['type']>(
    type: Type,
    test: (message: Extract<Message, { type: Type }>) => boolean = always,
  ) {
    return new Promise<Extract<Message, { type: Type }>>((resolve) => {
      this.waiters.push({
        // The type was compared before.
        matches: (message) => message.type === type && test(message as Extract<Message, { type: Type }>),
        found: (message) => resolve(message as Extract<Message, { type: Type }>),
      })
    })
  }

  /** Registers a proxy whose work connections go to `service`. */
  register(proxy: Omit<Extract<Outgoing, { type: 'NewProxy' }>, 'type'>, service: Service): Promise<NewProxyResp> {
    const name = proxy.proxy_name ?? ''
    this.services.set(name, service)
    const answer = this.next('NewProxyResp', (message) => message.proxy_name === name)
    this.send({ type: 'NewProxy', ...proxy })
    return answer
  }

  /** The relay answers a Ping: it has read all that was sent on the control connection. */
  async ping(): Promise<void> {
    const pong = this.next('Pong')
    this.send({ type: 'Ping' })
    await pong
  }

  /** A connection to somebody's tcp proxy, once the relay accepted it. */
  visit(port: number, options: { key?: string; type?: string } = {}): Promise<ByteStream> {
    const timestamp = Math.floor(Date.now() / 1000)
    return new Promise((resolve, reject) => {
      const handler: MessageHandler = {
        onMessage: (message) => {
          const { stream, head } = door.detach()
          const error = message.type === 'NewVisitorConnResp' ? message.error : message.type
          if (error === '') resolve(prefixed(stream, head))
          else reject(new Error(error))
        },
        onClose: (error) => reject(error ?? new Error('closed')),
      }
      const door = new MessageChannel(this.session.open(), handler, { codec: streamCodec(this.wire) })
      door.send({
        type: 'NewVisitorConn',
        run_id: this.runId,
        timestamp,
        ...(options.key === undefined ? {} : { sign_key: privilegeKey(workerCrypto, options.key, timestamp) }),
        edgefrp: { v: 1, features: ['half-close'], type: options.type ?? 'tcp', port },
      })
    })
  }

  /** Says goodbye. */
  close(): void {
    this.session.close()
  }

  private onMessage(message: Message): void {
    if (message.type === 'ReqWorkConn') this.bringWorkConn()
    const index = this.waiters.findIndex(({ matches }) => matches(message))
    if (index >= 0) this.waiters.splice(index, 1)[0]?.found(message)
  }

  private bringWorkConn(): void {
    if (this.session.isClosed) return
    this.broughtCount += 1
    const handler: MessageHandler = {
      onMessage: (message) => {
        const { stream, head } = channel.detach()
        if (message.type !== 'StartWorkConn' || message.error !== '') {
          stream.destroy()
          return
        }
        this.services.get(message.proxy_name)?.(prefixed(stream, head), message)
      },
    }
    const channel = new MessageChannel(this.session.open(), handler, { codec: streamCodec(this.wire) })
    const proof = this.issued === undefined ? {} : { privilege_key: this.issued }
    channel.send({ type: 'NewWorkConn', run_id: this.runId, ...proof })
  }
}

/** A ClientHello that offers this cipher alone. */
function helloWith(algorithm: AeadAlgorithm): Uint8Array {
  const hello = clientHello({ transport: 'wss', tls: true, tcpMux: true }, workerCrypto)
  const text = new TextDecoder().decode(hello).replace(/"algorithms":\[.*?\]/, `"algorithms":["${algorithm}"]`)
  return new TextEncoder().encode(text)
}

function always(): boolean {
  return true
}
