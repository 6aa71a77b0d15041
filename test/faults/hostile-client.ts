import { connect, type Socket } from 'node:net'
import { nodeCrypto } from '../../node/crypto.ts'
import { socketStream } from '../../node/socket.ts'
import { deriveKey, encrypt } from '../../protocol/frp/cipher.ts'
import { MessageChannel } from '../../protocol/frp/message-channel.ts'
import type { LoginResp, Message, Outgoing } from '../../protocol/frp/messages.ts'
import { privilegeKey } from '../../protocol/frp/token.ts'
import { encodeV1 } from '../../protocol/frp/v1.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { Session } from '../../protocol/yamux/session.ts'
import type { YamuxStream } from '../../protocol/yamux/stream.ts'
import type { CleanUp } from '../e2e/client-rig.ts'
import { TOKEN } from './hostile-relay.ts'

/** A Login as frpc sends it; what `changes` says wins. */
export function loginMessage(changes: Record<string, unknown> = {}, token = TOKEN): Outgoing {
  const timestamp = 1_700_000_000
  return {
    type: 'Login',
    version: '0.70.1',
    timestamp,
    privilege_key: privilegeKey(nodeCrypto, token, timestamp),
    ...changes,
  }
}

/** An frp message of any shape, true or not: type byte, length, JSON. */
export function rawMessage(typeByte: string, json: string, length = BigInt(Buffer.byteLength(json))): Buffer {
  const head = Buffer.alloc(9)
  head.write(typeByte, 0, 'latin1')
  head.writeBigInt64BE(BigInt.asIntN(64, length), 1)
  return Buffer.concat([head, Buffer.from(json)])
}

/** A client with the token that then does what a test tells it. */
export class HostileClient {
  readonly socket: Socket
  readonly session: Session
  readonly answer: LoginResp
  readonly messages: Message[] = []
  isControlClosed = false
  /** What a ReqWorkConn makes it do; nothing unless set. */
  onReqWorkConn: (() => void) | undefined
  readonly control: MessageChannel
  private readonly cipher: ByteStream
  private changed: (() => void)[] = []

  constructor(socket: Socket, session: Session, login: MessageChannel, answer: LoginResp, token: string) {
    this.socket = socket
    this.session = session
    this.answer = answer
    const { stream } = login.detach()
    const tell = (): void => {
      for (const changed of this.changed.splice(0)) changed()
    }
    this.cipher = encrypt(stream, deriveKey(nodeCrypto, token), nodeCrypto)
    this.control = new MessageChannel(this.cipher, {
      onMessage: (message) => {
        this.messages.push(message)
        if (message.type === 'ReqWorkConn') this.onReqWorkConn?.()
        tell()
      },
      onClose: () => {
        this.isControlClosed = true
        tell()
      },
    })
  }

  send(message: Outgoing): void {
    this.control.send(message)
  }

  /** Bytes on the control stream that no encoder made. */
  sendRaw(bytes: Uint8Array): void {
    this.cipher.write(bytes.slice())
  }

  async until(is: () => boolean): Promise<void> {
    while (!is()) await new Promise<void>((resolve) => this.changed.push(resolve))
  }

  /** Registers a proxy and gives the relay's answer. */
  async register(proxy: Record<string, unknown>): Promise<{ error: string; remote_addr: string }> {
    const name = String(proxy['proxy_name'])
    const before = this.messages.length
    this.send({ type: 'NewProxy', proxy_type: 'tcp', ...proxy })
    const find = () => this.messages.slice(before).find((one) => one.type === 'NewProxyResp' && one.proxy_name === name)
    await this.until(() => find() !== undefined || this.isControlClosed)
    const found = find()
    if (found?.type !== 'NewProxyResp') throw new Error(`no answer for ${name}`)
    return found
  }

  /** Resolves when all that was sent before was handled. */
  async pong(): Promise<void> {
    const before = this.messages.length
    this.send({ type: 'Ping' })
    await this.until(() => this.messages.slice(before).some((message) => message.type === 'Pong'))
  }

  /** Brings work connections whenever asked, and gives each, started, to `onWork`. */
  serve(onWork: (work: WorkConn) => void): void {
    this.onReqWorkConn = () => {
      const work = this.bring()
      work.onStart = () => onWork(work)
    }
  }

  /** One work connection; nobody waits for its StartWorkConn. */
  bring(runId = this.answer.run_id): WorkConn {
    return new WorkConn(this.session.open(), { type: 'NewWorkConn', run_id: runId })
  }
}

/** A stream of frp's beside the control stream: its first message, and what came back. */
export class WorkConn {
  readonly stream: YamuxStream
  readonly channel: MessageChannel
  readonly messages: Message[] = []
  isClosed = false
  /** Called with the first message, before anything behind it is read. */
  onStart: (() => void) | undefined
  private changed: (() => void)[] = []

  constructor(stream: YamuxStream, first: Outgoing) {
    this.stream = stream
    const tell = (): void => {
      for (const changed of this.changed.splice(0)) changed()
    }
    this.channel = new MessageChannel(stream, {
      onMessage: (message) => {
        this.messages.push(message)
        if (this.messages.length === 1) this.onStart?.()
        tell()
      },
      onEnd: () => {
        this.isClosed = true
        tell()
      },
      onClose: () => {
        this.isClosed = true
        tell()
      },
    })
    this.channel.send(first)
  }

  async until(is: () => boolean): Promise<void> {
    while (!is()) await new Promise<void>((resolve) => this.changed.push(resolve))
  }
}

/** Logs in over TCP and yamux as stock frpc does; rejects with the relay's text when it refuses. */
export async function logIn(
  cleanUp: CleanUp,
  port: number,
  changes: Record<string, unknown> = {},
  token = TOKEN,
): Promise<HostileClient> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  socket.on('error', () => undefined)
  cleanUp.add(() => void socket.destroy())
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()))
  const session = new Session(socketStream(socket), { role: 'client', nowMs: () => performance.now() })
  session.start()
  return await new Promise((resolve, reject) => {
    const stream = session.open()
    const channel: MessageChannel = new MessageChannel(stream, {
      onMessage: (message) => {
        if (message.type !== 'LoginResp' || message.error !== '') reject(new Error(JSON.stringify(message)))
        else resolve(new HostileClient(socket, session, channel, message, token))
      },
      onEnd: () => reject(new Error('the relay ended the login')),
      onClose: (error) => reject(error ?? new Error('the relay closed the login')),
    })
    channel.send(loginMessage(changes, token))
  })
}

/** The bytes of a yamux stream's first frame with a Login in it, for peers that play bytes. */
export function loginFrame(changes: Record<string, unknown> = {}, token = TOKEN): Buffer {
  return dataFrame(1, encodeV1(loginMessage(changes, token)), 1)
}

/** A yamux Data frame; `flags`: 1 SYN, 2 ACK, 4 FIN, 8 RST. */
export function dataFrame(id: number, body: Uint8Array, flags = 0): Buffer {
  return Buffer.concat([yamux(0, flags, id, body.length), body])
}

/** A yamux header. */
export function yamux(type: number, flags: number, id: number, length: number): Buffer {
  const head = Buffer.alloc(12)
  head[1] = type
  head.writeUInt16BE(flags, 2)
  head.writeUInt32BE(id, 4)
  head.writeUInt32BE(length >>> 0, 8)
  return head
}
