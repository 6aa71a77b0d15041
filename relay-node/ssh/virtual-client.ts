import { FrpError } from '../../contract/errors.ts'
import type { Deadline, Runtime } from '../../contract/runtime.ts'
import { FRP_VERSION } from '../../contract/version.ts'
import { deriveKey, encrypt } from '../../protocol/frp/cipher.ts'
import { edgefrpOf } from '../../protocol/frp/edgefrp-field.ts'
import { MessageChannel } from '../../protocol/frp/message-channel.ts'
import type { LoginResp, Message, OutgoingOf, StartWorkConn } from '../../protocol/frp/messages.ts'
import { privilegeKey } from '../../protocol/frp/token.ts'
import type { ByteStream, Link } from '../../protocol/stream/byte-stream.ts'
import { pair } from '../../protocol/stream/pair.ts'
import { prefixed } from '../../protocol/stream/prefixed.ts'

/** frp's default of transport.poolCount, which its gateway's clients have too. */
const POOL_COUNT = 1
/** Pings in a relay's heartbeatTimeout. */
const PINGS_PER_TIMEOUT = 3

export interface VirtualClientOptions {
  runtime: Runtime
  /** Hands the relay a connection, as if it came from outside. */
  connect: (link: Link) => void
  /** What the client knows of the relay's token: of the login, and of the key of the control stream. */
  token: string
  /** How long the relay waits for a ping, in ms; undefined: it does not. */
  heartbeatTimeoutMs: number | undefined
  login: Pick<OutgoingOf<'Login'>, 'user' | 'client_id' | 'client_spec'>
  proxy: Omit<OutgoingOf<'NewProxy'>, 'type'>
  onStarted: (remoteAddr: string) => void
  /** A user came. Not read yet: whoever takes it attaches. */
  onUser: (work: ByteStream, start: StartWorkConn) => void
  /** Once, and not after `close`; `text` is what frp tells the ssh client. */
  onEnd: (text: string) => void
}

/**
 * frp's client for one proxy inside the relay's own process: one connection of memory for the control stream, and one
 * for each user, as with tcpMux off. So an ssh client passes the same checks, limits and counters as a frpc.
 */
export class VirtualClient {
  private readonly options: VirtualClientOptions
  private readonly runtime: Runtime
  private channel: MessageChannel | undefined
  private ping: Deadline | undefined
  private isClosed = false

  constructor(options: VirtualClientOptions) {
    this.options = options
    this.runtime = options.runtime
  }

  /** Logs in. */
  start(): void {
    const link = this.connect()
    const channel = new MessageChannel(link, {
      onMessage: (message) => {
        if (message.type === 'LoginResp') this.onLoginResp(channel, message)
        else this.end(`login to the server failed: ${message.type} came in answer`)
      },
      onEnd: () => this.end('login to the server failed: EOF'),
      onClose: (error) => this.end(`login to the server failed: ${error?.message ?? 'EOF'}`),
    })
    this.channel = channel
    channel.send({
      type: 'Login',
      version: FRP_VERSION,
      ...this.proof(),
      ...this.options.login,
      pool_count: POOL_COUNT,
      edgefrp: edgefrpOf(['half-close']),
    })
  }

  /** Ends the control stream, and with it the proxy. */
  close(): void {
    if (this.isClosed) return
    this.isClosed = true
    this.ping?.cancel()
    this.channel?.end()
  }

  private end(text: string): void {
    if (this.isClosed) return
    this.close()
    this.options.onEnd(text)
  }

  private connect(): Link {
    const [ours, theirs] = pair()
    this.options.connect(theirs)
    return ours
  }

  private proof(): { privilege_key: string; timestamp: number } {
    const timestamp = Math.floor(this.runtime.nowMs() / 1000)
    return { privilege_key: privilegeKey(this.runtime.crypto, this.options.token, timestamp), timestamp }
  }

  private onLoginResp(channel: MessageChannel, { error, run_id }: LoginResp): void {
    if (error !== '') {
      // frp's words, to the letter.
      this.end(
        `login to the server failed: ${error}. With loginFailExit enabled, no additional retries will be attempted`,
      )
      return
    }
    const { stream, head } = channel.detach()
    // Later: the relay is still inside the call that wrote this answer, and reads on as before until it returns.
    this.runtime.after(0, () => this.enter(prefixed(stream, head), run_id))
  }

  private enter(stream: ByteStream, runId: string): void {
    const key = deriveKey(this.runtime.crypto, this.options.token)
    this.channel = new MessageChannel(encrypt(stream, key, this.runtime.crypto), {
      onMessage: (message) => this.onMessage(message, runId),
      onEnd: () => this.end('the relay ended the session'),
      onClose: (error) => this.end(error?.message ?? 'the relay ended the session'),
    })
    if (this.isClosed) {
      this.channel.end()
      return
    }
    this.channel.send({ type: 'NewProxy', ...this.options.proxy })
    this.pingLater()
  }

  private onMessage(message: Message, runId: string): void {
    if (message.type === 'ReqWorkConn') this.openWorkConn(runId)
    else if (message.type === 'NewProxyResp') {
      if (message.error === '') this.options.onStarted(message.remote_addr)
      else this.end(message.error)
    } else if (message.type === 'Pong' && message.error !== '') {
      this.end(message.error)
    }
  }

  private openWorkConn(runId: string): void {
    if (this.isClosed) return
    const channel = new MessageChannel(this.connect(), {
      onMessage: (message) => {
        if (message.type !== 'StartWorkConn' || message.error !== '') {
          channel.destroy(new FrpError('MESSAGE_UNEXPECTED', `${message.type} on a work connection`))
          return
        }
        const { stream, head } = channel.detach()
        this.options.onUser(prefixed(stream, head), message)
      },
    })
    channel.send({ type: 'NewWorkConn', run_id: runId, ...this.proof() })
  }

  /** Memory needs no keep-alive, but a relay with heartbeatTimeout counts the silence. */
  private pingLater(): void {
    const { heartbeatTimeoutMs } = this.options
    if (heartbeatTimeoutMs === undefined || this.isClosed) return
    this.ping = this.runtime.after(heartbeatTimeoutMs / PINGS_PER_TIMEOUT, () => {
      this.channel?.send({ type: 'Ping', ...this.proof() })
      this.pingLater()
    })
  }
}
