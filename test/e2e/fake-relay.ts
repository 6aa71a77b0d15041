import type { Socket } from 'node:net'
import { createLineLog } from '../../node/log.ts'
import { nodeRuntime } from '../../node/runtime.ts'
import { socketStream } from '../../node/socket.ts'
import { deriveKey, encrypt } from '../../protocol/frp/cipher.ts'
import { MessageChannel } from '../../protocol/frp/message-channel.ts'
import type { Login, Message, MessageOf, MessageType, Outgoing, OutgoingOf } from '../../protocol/frp/messages.ts'
import type { ByteStream, Link } from '../../protocol/stream/byte-stream.ts'
import { prefixed } from '../../protocol/stream/prefixed.ts'
import { Session } from '../../protocol/yamux/session.ts'
import { type CleanUp, listenTcp } from './client-rig.ts'

const runtime = nodeRuntime(createLineLog({ write: () => undefined, close: async () => undefined }, 'error', false))

type LoginAnswer = Omit<OutgoingOf<'LoginResp'>, 'type'>

/** What a scripted relay does on its own; all the rest a test does by hand. */
export interface FakeRelayOptions {
  token?: string
  features?: string[]
  tcpMux?: boolean
  /** Answers a login; without an answer the client waits. */
  onLogin?: (login: Login) => LoginAnswer | undefined
  /** Whether each NewProxy is accepted at once. */
  acceptsProxies?: boolean
  /** Makes the link of an accepted connection; by default TCP as it is. */
  linkOf?: (socket: Socket) => Promise<Link>
}

/** A relay that says what a test wants it to say, made of the protocol's own parts. */
export class FakeRelay {
  port = 0
  readonly logins: Login[] = []
  readonly sessions: FakeSession[] = []
  /** Connections that were accepted, with or without a login. */
  connections = 0
  private isStopped = false
  private readonly options: FakeRelayOptions
  private readonly waiting: ((session: FakeSession) => void)[] = []
  private readonly sockets = new Set<Socket>()
  private readonly links: Link[] = []

  constructor(options: FakeRelayOptions) {
    this.options = options
  }

  static async start(cleanUp: CleanUp, options: FakeRelayOptions = {}, port = 0): Promise<FakeRelay> {
    const relay = new FakeRelay(options)
    relay.port = await listenTcp(cleanUp, (socket) => void relay.accept(socket), port)
    return relay
  }

  /** The next session that logs in, or the one that did and was not asked for. */
  nextSession(): Promise<FakeSession> {
    const ready = this.sessions.find((session) => !session.isTaken)
    if (ready !== undefined) {
      ready.isTaken = true
      return Promise.resolve(ready)
    }
    return new Promise((resolve) => this.waiting.push(resolve))
  }

  /** Cuts all connections, and refuses those to come. */
  stop(): void {
    this.isStopped = true
    this.dropAll()
  }

  /** Keeps all connections open and neither reads nor answers, as behind a link that died. */
  freeze(): void {
    for (const link of this.links) link.pause()
  }

  /** Cuts all connections with a reset. */
  dropAll(): void {
    for (const socket of this.sockets) socket.resetAndDestroy()
  }

  private async accept(socket: Socket): Promise<void> {
    if (this.isStopped) {
      socket.resetAndDestroy()
      return
    }
    this.connections += 1
    this.sockets.add(socket)
    socket.on('close', () => this.sockets.delete(socket))
    let link: Link
    try {
      link = await (this.options.linkOf?.(socket) ?? Promise.resolve(socketStream(socket)))
    } catch {
      // The client did not like our certificate: that is what such a test wants.
      return
    }
    this.links.push(link)
    let session: FakeSession | undefined
    const onStream = (stream: ByteStream): void => {
      stream.pause()
      const channel: MessageChannel = new MessageChannel(stream, {
        onMessage: (message) => {
          if (message.type === 'Login') session = this.login(channel, message)
          else if (message.type === 'NewWorkConn') this.sessionOf(message.run_id)?.offered(channel)
        },
      })
      stream.resume()
    }
    if (this.options.tcpMux === false) {
      onStream(link)
      return
    }
    const mux = new Session(link, {
      role: 'server',
      nowMs: () => runtime.monotonicMs(),
      onStream,
      onClose: () => session?.ended(),
    })
    mux.start()
  }

  private sessionOf(runId: string): FakeSession | undefined {
    return this.sessions.find((session) => session.runId === runId)
  }

  private login(channel: MessageChannel, login: Login): FakeSession | undefined {
    this.logins.push(login)
    const runId = login.run_id === '' ? `run-${this.logins.length}` : login.run_id
    const ours = this.options.features === undefined ? {} : { edgefrp: { v: 1, features: this.options.features } }
    const answer: LoginAnswer | undefined =
      this.options.onLogin === undefined ? { run_id: runId, ...ours } : this.options.onLogin(login)
    if (answer === undefined) return undefined
    channel.send({ type: 'LoginResp', ...answer })
    if (answer.error !== undefined && answer.error !== '') {
      channel.end()
      return undefined
    }
    const { stream, head } = channel.detach()
    const session = new FakeSession(
      answer.run_id ?? '',
      login,
      prefixed(stream, head),
      this.options.token ?? '',
      this.options.acceptsProxies !== false,
    )
    this.sessions.push(session)
    const taker = this.waiting.shift()
    if (taker !== undefined) {
      session.isTaken = true
      taker(session)
    }
    return session
  }
}

/** One logged-in client, as its relay sees it. */
export class FakeSession {
  readonly runId: string
  readonly login: Login
  readonly control: ByteStream
  readonly messages: Message[] = []
  isTaken = false
  /** Work connections that wait, oldest first. */
  readonly pool: MessageChannel[] = []
  readonly over: Promise<void>
  private readonly channel: MessageChannel
  private readonly waiting: { type: MessageType; found: (message: Message) => void }[] = []
  private readonly workWaiting: ((channel: MessageChannel) => void)[] = []
  private endNow: () => void = () => undefined

  constructor(runId: string, login: Login, stream: ByteStream, token: string, acceptsProxies: boolean) {
    this.runId = runId
    this.login = login
    this.over = new Promise((resolve) => {
      this.endNow = resolve
    })
    this.control = encrypt(stream, deriveKey(runtime.crypto, token), runtime.crypto)
    stream.pause()
    this.channel = new MessageChannel(this.control, {
      onMessage: (message) => {
        if (message.type === 'NewProxy' && acceptsProxies) {
          this.send({ type: 'NewProxyResp', proxy_name: message.proxy_name, remote_addr: ':1' })
        }
        if (message.type === 'Ping') this.send({ type: 'Pong' })
        const taker = this.waiting.findIndex(({ type }) => type === message.type)
        if (taker < 0) this.messages.push(message)
        else for (const { found } of this.waiting.splice(taker, 1)) found(message)
      },
      onClose: () => this.ended(),
    })
    stream.resume()
  }

  send(message: Outgoing): void {
    this.channel.send(message)
  }

  /** The next message of a type that no one asked for yet. */
  next<T extends MessageType>(type: T): Promise<MessageOf<T>> {
    const at = this.messages.findIndex((message) => message.type === type)
    // The type was compared, which the compiler does not carry through a generic.
    if (at >= 0) return Promise.resolve(this.messages.splice(at, 1)[0] as MessageOf<T>)
    return new Promise((resolve) => {
      this.waiting.push({ type, found: (message) => resolve(message as MessageOf<T>) })
    })
  }

  /** Asks for a work connection and takes it. */
  workConn(): Promise<MessageChannel> {
    this.send({ type: 'ReqWorkConn' })
    const ready = this.pool.shift()
    if (ready !== undefined) return Promise.resolve(ready)
    return new Promise((resolve) => this.workWaiting.push(resolve))
  }

  /** A user's connection to a proxy: the stream that carries it, not read yet. */
  async user(proxyName: string, fields: Omit<OutgoingOf<'StartWorkConn'>, 'type'> = {}): Promise<ByteStream> {
    const channel = await this.workConn()
    channel.send({ type: 'StartWorkConn', proxy_name: proxyName, ...fields })
    const { stream, head } = channel.detach()
    return prefixed(stream, head)
  }

  offered(channel: MessageChannel): void {
    const taker = this.workWaiting.shift()
    if (taker === undefined) this.pool.push(channel)
    else taker(channel)
  }

  ended(): void {
    this.endNow()
  }
}

/** What a stream carried, and how it ended. */
export interface Received {
  bytes: Buffer
  ended: boolean
  error: Error | undefined
}

/** Reads a stream to its end; `onEnd` says what to do at the FIN (nothing by default). */
export function collect(stream: ByteStream, onEnd: () => void = () => undefined): Promise<Received> {
  return new Promise((resolve) => {
    const parts: Buffer[] = []
    let ended = false
    stream.attach({
      onData(chunk) {
        parts.push(Buffer.from(chunk))
        return true
      },
      onEnd() {
        ended = true
        onEnd()
      },
      onDrain: () => undefined,
      onClose: (error) => resolve({ bytes: Buffer.concat(parts), ended, error }),
    })
  })
}
