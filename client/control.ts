import type { FrpcOptions, ServerOptions } from '../config/frpc.ts'
import type { ProxyOptions } from '../config/proxies.ts'
import { FrpError, messageOf } from '../contract/errors.ts'
import type { Deadline, Log, Runtime } from '../contract/runtime.ts'
import { AeadStream } from '../protocol/frp/aead.ts'
import { deriveKey, encrypt } from '../protocol/frp/cipher.ts'
import type { WireProtocol } from '../protocol/frp/codec.ts'
import { MessageChannel, type MessageHandler } from '../protocol/frp/message-channel.ts'
import type { Message } from '../protocol/frp/messages.ts'
import { codecOf } from '../protocol/frp/opening.ts'
import type { ByteStream } from '../protocol/stream/byte-stream.ts'
import type { Carrier } from './carrier.ts'
import type { Credentials } from './credentials.ts'
import type { Accepted } from './login.ts'
import { NatHoleLine } from './nathole/nat-hole-line.ts'
import { ProxyManager } from './proxies/manager.ts'
import { WorkConns } from './work-conns.ts'

/** frp, client/control.go: how often the age of the last Pong is looked at. */
const PONG_CHECK_MS = 1_000

/** frp, client/control.go: when a Ping without its proof is tried again; twice as long each time, up to the interval. */
const PING_RETRY_MS = 2_000

/** What a session is made of. */
export interface ControlParts {
  runtime: Runtime
  log: Log
  options: FrpcOptions
  server: ServerOptions
  credentials: Credentials
  carrier: Carrier
  accepted: Accepted
  /** Once, when the session is over; with the reason unless we closed it. */
  onClose(error?: Error): void
  /** A proxy was answered, or a connection ended. */
  onChange(): void
}

/** One session with a relay: its messages, its work connections, its proxies (frp, client/control.go). */
export class Control {
  readonly manager: ProxyManager
  /** Questions about holes, of xtcp. */
  readonly natHoles: NatHoleLine
  private readonly parts: ControlParts
  private readonly workConns: WorkConns
  private readonly channel: MessageChannel
  private lastPongMs: number
  private nextPing: Deadline | undefined
  private pongCheck: Deadline | undefined
  private isClosed = false
  private isGraceOver = false
  private held = 0

  constructor(parts: ControlParts) {
    const { runtime, log, options, server, credentials, carrier, accepted } = parts
    this.parts = parts
    this.lastPongMs = runtime.monotonicMs()
    const key = deriveKey(runtime.crypto, server.auth.token)
    this.natHoles = new NatHoleLine(runtime, (message) => this.channel.send(message))
    this.manager = new ProxyManager({
      runtime,
      log,
      user: options.user,
      key,
      udpPacketSize: options.udpPacketSize,
      wire: this.wire,
      stunServer: options.natHoleStunServer,
      natHoles: this.natHoles,
      halfClose: accepted.features.has('half-close'),
      ipRules: accepted.features.has('ip-rules'),
      send: (message) => this.channel.send(message),
      onChange: parts.onChange,
    })
    this.workConns = new WorkConns({
      carrier,
      log,
      wire: this.wire,
      hello: () => {
        const hello = { type: 'NewWorkConn', run_id: accepted.runId } as const
        const proof = credentials.atHand('NewWorkConns')
        if (proof !== undefined) return { ...hello, ...proof }
        return credentials.forMessage('NewWorkConns').then((fetched) => ({ ...hello, ...fetched }))
      },
      onStart: (stream, start) => this.manager.take(stream, start),
    })
    accepted.stream.pause()
    const handler: MessageHandler = {
      onMessage: (message) => this.received(message),
      onEnd: () => this.close(relayClosed()),
      // A moment later: if the whole connection broke, the carrier is about to say why.
      onClose: (error) => queueMicrotask(() => this.close(error ?? relayClosed())),
    }
    const { stream, suite } = accepted
    const encrypted =
      suite === undefined
        ? encrypt(stream, key, runtime.crypto)
        : new AeadStream(stream, suite, server.auth.token, 'client', runtime.crypto)
    this.channel = new MessageChannel(encrypted, handler, { codec: codecOf(this.wire) })
    carrier.onClose = (error) => this.close(error ?? new FrpError('LINK_CLOSED', 'the relay closed the connection'))
  }

  start(proxies: readonly ProxyOptions[]): void {
    this.parts.accepted.stream.resume()
    if (this.isClosed) return
    this.startHeartbeat()
    this.manager.update(proxies)
  }

  /** Ends the session and all that it carries. Without a reason it is we who want it so. */
  close(error?: Error): void {
    if (this.isClosed) return
    this.isClosed = true
    this.nextPing?.cancel()
    this.pongCheck?.cancel()
    this.manager.close()
    this.workConns.close()
    this.channel.destroy(error ?? new FrpError('STREAM_ABORTED', 'session closed by this side'))
    this.parts.carrier.close()
    this.parts.onClose(error)
  }

  /** Offers nothing more; `onChange` is called when this may be over. Connections that run go on. */
  drain(graceMs: number, onChange: () => void): void {
    this.manager.withdraw()
    this.parts.runtime.after(graceMs, () => {
      this.isGraceOver = true
      onChange()
    })
  }

  /** After `drain`: nothing runs here any more. */
  get isDrained(): boolean {
    return this.isGraceOver && this.manager.runningConnections === 0 && this.held === 0
  }

  /** How this session frames messages, on work and visitor connections too. */
  get wire(): WireProtocol {
    return this.parts.server.transport.wireProtocol
  }

  /** By which the relay knows this login; a secret. */
  get runId(): string {
    return this.parts.accepted.runId
  }

  /** A stream for what is not a work connection: this client visits another one's service. */
  async openStream(): Promise<ByteStream> {
    return this.parts.carrier.open()
  }

  /** Somebody's connection runs here, and a drained session waits for it; call the answer when it is over. */
  hold(): () => void {
    let isHeld = true
    this.held += 1
    return () => {
      if (isHeld) this.held -= 1
      isHeld = false
      this.parts.onChange()
    }
  }

  private received(message: Message): void {
    if (this.isClosed) return
    switch (message.type) {
      case 'ReqWorkConn':
        this.workConns.request()
        break
      case 'NewProxyResp':
        this.manager.answered(message)
        break
      case 'NatHoleResp':
        this.natHoles.answered(message)
        break
      case 'Pong':
        this.ponged(message.error)
        break
      default:
        // What frpc has no handler for it ignores: a newer relay may say more.
        this.parts.log.trace(`message ${message.type} ignored`)
    }
  }

  private ponged(error: string): void {
    if (error === '') {
      this.lastPongMs = this.parts.runtime.monotonicMs()
      this.parts.log.debug('receive heartbeat from server')
      return
    }
    this.parts.log.error(`pong message contains error: ${error}`)
    this.close(new FrpError('AUTH_FAILED', `the relay refused a heartbeat: ${error}`))
  }

  private startHeartbeat(): void {
    const { heartbeatInterval, heartbeatTimeout } = this.parts.server.transport
    if (heartbeatInterval <= 0) return
    this.sendPing(heartbeatInterval * 1000)
    if (heartbeatTimeout > 0) this.checkPong(heartbeatTimeout * 1000)
  }

  private sendPing(intervalMs: number, retryMs = PING_RETRY_MS): void {
    const { runtime, log, credentials } = this.parts
    const again = (delayMs: number, nextRetryMs?: number): void => {
      this.nextPing = runtime.after(delayMs, () => this.sendPing(intervalMs, nextRetryMs))
    }
    credentials.forMessage('HeartBeats').then(
      (proof) => {
        if (this.isClosed) return
        log.debug('send heartbeat to server')
        this.channel.send({ type: 'Ping', ...proof })
        again(intervalMs)
      },
      (error: unknown) => {
        if (this.isClosed) return
        log.warn(`error during ping authentication: ${messageOf(error)}, skip sending ping message`)
        again(Math.min(retryMs, intervalMs), 2 * retryMs)
      },
    )
  }

  private checkPong(timeoutMs: number): void {
    if (this.parts.runtime.monotonicMs() - this.lastPongMs > timeoutMs) {
      this.parts.log.warn('heartbeat timeout')
      this.close(new FrpError('TIMEOUT', `no heartbeat from the relay for ${timeoutMs / 1000} s`))
      return
    }
    this.pongCheck = this.parts.runtime.after(PONG_CHECK_MS, () => this.checkPong(timeoutMs))
  }
}

function relayClosed(): FrpError {
  return new FrpError('SESSION_ENDED', 'the relay closed the session')
}
