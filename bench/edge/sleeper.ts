import { WebSocket } from 'ws'
import { nodeCrypto } from '../../node/crypto.ts'
import { websocketLink } from '../../node/websocket.ts'
import { deriveKey, encrypt } from '../../protocol/frp/cipher.ts'
import { MessageChannel } from '../../protocol/frp/message-channel.ts'
import type { LoginResp, Message } from '../../protocol/frp/messages.ts'
import { privilegeKey } from '../../protocol/frp/token.ts'
import { prefixed } from '../../protocol/stream/prefixed.ts'
import { Session } from '../../protocol/yamux/session.ts'

/** A client that has logged in, with one proxy and one pooled work connection, and then says nothing. */
export class Sleeper {
  private readonly session: Session
  private readonly token: string
  private onPong: () => void = () => undefined

  private constructor(socket: WebSocket, token: string) {
    this.token = token
    const link = websocketLink(socket, { role: 'client', isOwnPeer: true })
    this.session = new Session(link, { role: 'client', nowMs: () => performance.now(), onPong: () => this.onPong() })
    this.session.start()
  }

  /** To the hub of `host`; resolves when its proxy is there and the relay has its work connection. */
  static async login(port: number, host: string, token: string): Promise<Sleeper> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/~!frp`, { headers: { Host: host }, perMessageDeflate: false })
    await new Promise((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('error', reject)
    })
    const sleeper = new Sleeper(socket, token)
    await sleeper.start(host)
    await sleeper.ping()
    return sleeper
  }

  /** Time to the answer, in ms. */
  ping(): Promise<number> {
    const startedAt = performance.now()
    return new Promise((resolve) => {
      this.onPong = () => resolve(performance.now() - startedAt)
      this.session.ping()
    })
  }

  close(): void {
    this.session.close()
  }

  private start(host: string): Promise<void> {
    const timestamp = Math.floor(Date.now() / 1000)
    const key = deriveKey(nodeCrypto, this.token)
    return new Promise((resolve, reject) => {
      let hasWorkConn = false
      let hasProxy = false
      const onMessage = (message: Message): void => {
        if (message.type === 'ReqWorkConn') {
          hasWorkConn = true
          new MessageChannel(this.session.open(), { onMessage: () => {} }).send({ type: 'NewWorkConn', run_id: runId })
        } else if (message.type === 'NewProxyResp') {
          if (message.error !== '') reject(new Error(message.error))
          hasProxy = true
        }
        if (hasWorkConn && hasProxy) resolve()
      }
      let runId = ''
      const welcome = ({ run_id, error }: LoginResp): void => {
        if (error !== '') throw new Error(error)
        runId = run_id
        const { stream, head } = clear.detach()
        const control = new MessageChannel(encrypt(prefixed(stream, head), key, nodeCrypto), { onMessage })
        control.send({ type: 'NewProxy', proxy_name: 'web', proxy_type: 'http', custom_domains: [host] })
      }
      const clear: MessageChannel = new MessageChannel(this.session.open(), {
        onMessage: (message) => {
          if (message.type === 'LoginResp') welcome(message)
        },
        onClose: (error) => reject(error ?? new Error('the relay closed the connection')),
      })
      clear.send({
        type: 'Login',
        timestamp,
        privilege_key: privilegeKey(nodeCrypto, this.token, timestamp),
        pool_count: 1,
        run_id: '',
        edgefrp: { v: 1, features: ['half-close', 'sleeps'] },
      })
    })
  }
}
