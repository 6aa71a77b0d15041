import { FrpError, messageOf } from '../contract/errors.ts'
import type { Deadline, Log, Runtime } from '../contract/runtime.ts'
import type { AeadStream } from '../protocol/frp/aead.ts'
import type { CipherStream } from '../protocol/frp/cipher.ts'
import type { WireProtocol } from '../protocol/frp/codec.ts'
import type { Feature } from '../protocol/frp/edgefrp-field.ts'
import { MessageChannel } from '../protocol/frp/message-channel.ts'
import type {
  CloseProxy,
  Login,
  Message,
  NatHoleClient,
  NatHoleReport,
  NatHoleVisitor,
  NewProxy,
  Outgoing,
  Ping,
} from '../protocol/frp/messages.ts'
import { codecOf } from '../protocol/frp/opening.ts'
import type { Principal, Verifier } from './auth.ts'
import type { Connection } from './connection.ts'
import { clientText, endText, lineText } from './error-text.ts'
import type { NatHolePeer, Rendezvous } from './nathole/rendezvous.ts'
import { ProxySet, type ProxySetOptions } from './proxy-set.ts'
import type { SavedControl } from './saved.ts'
import type { PluginUser, ServerPlugins } from './server-plugins.ts'
import { onVerdict } from './verdict.ts'
import { WorkConnPool } from './work-conn-pool.ts'

/** All that must outlive sleep of one logged-in client, as plain data; the rest is derived. */
export interface ControlState {
  /** A bearer secret: it goes over the wire and nowhere else. */
  runId: string
  /** What logs and APIs show in its place. */
  publicId: string
  principal: Principal
  /** `Accounts.tokenIdOf` at the login. */
  tokenId: string
  login: Login
  /** How its control connection is framed and encrypted. */
  wireProtocol: WireProtocol
  poolCount: number
  /** Those that both ends named. */
  features: readonly Feature[]
  /** Unix ms. */
  loggedInMs: number
  /** Monotonic ms of the last valid Ping, or of the login. */
  lastPingMs: number
  /** A newer session with the same run id that has not proved itself yet does not end the old one. */
  isProvisional: boolean
  /** Registered proxies, in the order they came. */
  proxies: NewProxy[]
}

/** What encrypts a control connection: of v1, or of v2. */
export type ControlCipher = CipherStream | AeadStream

export interface ControlOptions {
  runtime: Runtime
  log: Log
  verifier: Verifier
  connection: Connection
  /** frps transport.heartbeatTimeout in ms, or undefined when off. */
  heartbeatTimeoutMs: number | undefined
  /** frps userConnTimeout. */
  userConnTimeoutMs: number
  /** detailedErrorsToClient: false replaces error texts by their summary. */
  isDetailed: boolean
  proxies: Omit<ProxySetOptions, 'control' | 'pool' | 'log' | 'onRoom' | 'plugins'>
  plugins: ServerPlugins
  /** The first valid encrypted message came: the client has the token. */
  onProved: (control: Control) => void
  onClose: (control: Control, error: Error | undefined) => void
}

/** frp's longest type has six letters; a line shows this much of one that does not exist. */
const MAX_TYPE_LENGTH = 32

/** One logged-in frpc: its messages, its pool of work connections, its proxies. */
export class Control {
  readonly state: ControlState
  readonly pool: WorkConnPool
  readonly proxies: ProxySet
  readonly log: Log
  readonly connection: Connection
  /** What let it in. */
  readonly verifier: Verifier
  private readonly options: ControlOptions
  private channel: MessageChannel | undefined
  private cipher: ControlCipher | undefined
  private heartbeat: Deadline | undefined
  private isClosed = false
  private readonly handlers: Partial<Record<Message['type'], (message: Message) => void>> = {
    NewProxy: (message) => this.onNewProxy(message as NewProxy), // the table's key is the message's type
    CloseProxy: (message) => this.onCloseProxy(message as CloseProxy),
    Ping: (message) => this.onPing(message as Ping),
    NatHoleVisitor: (message) => this.natHoles.visit(message as NatHoleVisitor, this.natHolePeer),
    NatHoleClient: (message) => this.natHoles.answer(message as NatHoleClient, this.natHolePeer),
    NatHoleReport: (message) => this.natHoles.report(message as NatHoleReport, this.natHolePeer),
  }

  constructor(state: ControlState, options: ControlOptions) {
    this.state = state
    this.options = options
    this.verifier = options.verifier
    this.connection = options.connection
    this.log = options.log.child(state.publicId)
    this.pool = new WorkConnPool({
      runtime: options.runtime,
      poolCount: state.poolCount,
      waitMs: options.userConnTimeoutMs,
      request: () => this.send({ type: 'ReqWorkConn' }),
    })
    this.proxies = new ProxySet({
      ...options.proxies,
      control: this,
      pool: this.pool,
      plugins: options.plugins,
      log: this.log,
      onRoom: () => this.channel?.resume(),
    })
  }

  /** The name that frp puts before the names of proxies: none, or `user`. */
  get user(): string {
    return this.state.login.user
  }

  /** As server plugins know it. */
  get pluginUser(): PluginUser {
    const { login, runId } = this.state
    return { user: login.user, metas: login.metas, run_id: runId }
  }

  has(feature: Feature): boolean {
    return this.state.features.includes(feature)
  }

  /** Reads and writes messages on the encrypted control stream, and asks for the first work connections. */
  start(stream: ControlCipher): void {
    this.attach(stream)
    this.watchHeartbeat()
    this.pool.start()
  }

  /** Everything that must outlive sleep; undefined while messages wait. */
  save(): SavedControl | undefined {
    const { channel, cipher, state } = this
    // Messages that wait, in either direction, have no place in it.
    if (channel === undefined || cipher === undefined || channel.isBackedUp || !cipher.isSavable) return undefined
    const traffic = state.proxies.map((message) => this.proxies.traffic(message.proxy_name))
    return { state, cipher: cipher.snapshot(), partial: channel.snapshot(), traffic }
  }

  /** Goes on from `save`: the control stream as it was, and its proxies again. */
  revive(stream: ControlCipher, { partial, traffic }: SavedControl): void {
    this.attach(stream, partial)
    this.watchHeartbeat()
    for (const [index, message] of this.state.proxies.entries()) {
      this.proxies.reopen(message, traffic[index] ?? { forward: 0, backward: 0 })
    }
  }

  private attach(stream: ControlCipher, head?: Uint8Array): void {
    this.cipher = stream
    this.channel = new MessageChannel(
      stream,
      {
        onMessage: (message) => this.onMessage(message),
        onEnd: () => this.close(),
        onClose: (error) => this.close(error),
      },
      { codec: codecOf(this.state.wireProtocol), ...(head === undefined ? {} : { head }) },
    )
  }

  send(message: Outgoing): void {
    if (this.isClosed) return
    try {
      this.channel?.send(message)
    } catch (error) {
      // Longer than a message may be: a part of it is the client's own.
      this.log.warn(`${message.type} was not sent: ${lineText(error)}`)
    }
  }

  get isOpen(): boolean {
    return !this.isClosed
  }

  /** Ends the control stream and releases everything of this client; joined users live on with the connection. */
  close(error?: Error): void {
    if (this.isClosed) return
    this.isClosed = true
    this.heartbeat?.cancel()
    this.channel?.end()
    this.pool.close()
    this.proxies.closeAll()
    this.log.info(error === undefined ? 'client exit success' : `client exit: ${endText(error)}`)
    this.options.onClose(this, error)
  }

  private get natHoles(): Rendezvous {
    return this.options.proxies.context.natHoles
  }

  private get natHolePeer(): NatHolePeer {
    const { user, state, connection } = this
    return { user, ip: connection.peer.ip, runId: state.runId, send: (message) => this.send(message) }
  }

  private onMessage(message: Message): void {
    if (this.state.isProvisional) {
      this.state.isProvisional = false
      this.options.onProved(this)
    }
    // frp ignores a message without a handler too.
    this.handlers[message.type]?.(message)
    if (this.proxies.isBusy) this.channel?.pause()
  }

  private onNewProxy(message: NewProxy): void {
    // A name that is too long is refused, and neither answer nor line needs all of it.
    const shown = (asked: NewProxy): { name: string; type: string } => ({
      name: asked.proxy_name.slice(0, this.options.proxies.bounds().maxNameLength),
      type: asked.proxy_type.slice(0, MAX_TYPE_LENGTH),
    })
    this.proxies.register(message).then(
      ({ message: asked, remoteAddr }) => {
        const { name, type } = shown(asked)
        this.log.info(`new proxy [${name}] type [${type}] success`)
        this.send({ type: 'NewProxyResp', proxy_name: name, remote_addr: remoteAddr })
      },
      (error: unknown) => {
        const { name, type } = shown(message)
        this.log.warn(`new proxy [${name}] type [${type}] error: ${lineText(error)}`)
        const text = this.options.isDetailed ? clientText(error) : `new proxy [${name}] error`
        this.send({ type: 'NewProxyResp', proxy_name: name, error: text })
      },
    )
  }

  private onCloseProxy(message: CloseProxy): void {
    this.proxies.close(message.proxy_name)
  }

  private onPing(ping: Ping): void {
    const { runtime, isDetailed } = this.options
    onVerdict(
      runtime,
      () => this.verifyPing(ping),
      () => {
        this.state.lastPingMs = runtime.monotonicMs()
        this.send({ type: 'Pong' })
      },
      (error) => {
        this.log.warn(`received invalid ping: ${messageOf(error)}`)
        this.send({ type: 'Pong', error: isDetailed ? clientText(error) : 'invalid ping' })
      },
    )
  }

  private verifyPing(ping: Ping): undefined | Promise<void> {
    const { plugins } = this.options
    const { verifier } = this
    const { principal } = this.state
    if (!plugins.has('Ping')) return verifier.verifyPing(ping, principal)
    return plugins.ping(this.pluginUser, ping).then((changed) => verifier.verifyPing(changed, principal))
  }

  private watchHeartbeat(): void {
    const timeoutMs = this.options.heartbeatTimeoutMs
    if (timeoutMs === undefined || this.isClosed) return
    const quietMs = this.options.runtime.monotonicMs() - this.state.lastPingMs
    if (quietMs >= timeoutMs) {
      this.log.warn('heartbeat timeout')
      this.connection.close(new FrpError('TIMEOUT', 'heartbeat timeout'))
      this.close(new FrpError('TIMEOUT', 'heartbeat timeout'))
      return
    }
    this.heartbeat = this.options.runtime.after(timeoutMs - quietMs, () => this.watchHeartbeat())
  }
}
