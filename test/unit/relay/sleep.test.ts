import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { completeFrps } from '../../../config/load.ts'
import type { Runtime } from '../../../contract/runtime.ts'
import { createLineLog } from '../../../node/log.ts'
import { nodeRuntime } from '../../../node/runtime.ts'
import { AeadStream, type Suite } from '../../../protocol/frp/aead.ts'
import { deriveKey, encrypt } from '../../../protocol/frp/cipher.ts'
import type { WireProtocol } from '../../../protocol/frp/codec.ts'
import { clientHello, readServerHello } from '../../../protocol/frp/hello.ts'
import { MessageChannel, type MessageHandler } from '../../../protocol/frp/message-channel.ts'
import type { Message } from '../../../protocol/frp/messages.ts'
import { codecOf, loginCodec, streamCodec, withMagic } from '../../../protocol/frp/opening.ts'
import { privilegeKey } from '../../../protocol/frp/token.ts'
import { CLIENT_HELLO, frameV2 } from '../../../protocol/frp/v2.ts'
import type { ByteStream, Link, StreamHandler } from '../../../protocol/stream/byte-stream.ts'
import { prefixed } from '../../../protocol/stream/prefixed.ts'
import { Session } from '../../../protocol/yamux/session.ts'
import type { Connection } from '../../../relay/connection.ts'
import { Relay } from '../../../relay/relay.ts'

const TOKEN = 'sleep-token'

/** A runtime whose randomness repeats, so that two runs can be compared byte by byte. */
function repeatable(): Runtime {
  const runtime = nodeRuntime(createLineLog({ write: () => undefined, close: async () => undefined }, 'error', false))
  let next = 1
  const randomBytes = (length: number) => new Uint8Array(length).map(() => (next++ * 37) & 255)
  return { ...runtime, nowMs: () => 1_700_000_000_000, crypto: { ...runtime.crypto, randomBytes } }
}

/** A link whose other side is the test: what is written is collected, what comes is pushed. */
class TestLink implements Link {
  handler: StreamHandler | undefined
  readonly onWrite: (bytes: Uint8Array) => void

  constructor(onWrite: (bytes: Uint8Array) => void) {
    this.onWrite = onWrite
  }

  write(chunk: Uint8Array): boolean {
    this.onWrite(chunk.slice())
    return true
  }

  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.handler = handler
    if (head !== undefined) handler.onData(head, 0)
  }

  end(): void {}
  destroy(reason?: Error): void {
    this.handler?.onClose(reason ?? new Error('destroyed'))
  }
  pause(): void {}
  resume(): void {}
  cork(): void {}
}

class Collect implements StreamHandler {
  readonly bytes: number[] = []
  onData(chunk: Uint8Array): boolean {
    this.bytes.push(...chunk)
    return true
  }
  onEnd(): void {}
  onDrain(): void {}
  onClose(): void {}
}

/**
 * A client that logs in, registers a tcp proxy and brings work connections, and a visitor who comes through it.
 * Bytes towards the relay wait in `toRelay`; `step` delivers some of them.
 */
class Scene {
  readonly seen: string[] = []
  private readonly runtime = repeatable()
  private readonly links: { toRelay: number[]; link: TestLink; connection: Connection }[] = []
  private relay = this.newRelay()

  private newRelay(token = TOKEN): Relay {
    const { options } = completeFrps({ auth: { token } })
    const open = (port: number) => Promise.resolve({ port, close: () => undefined, send: () => undefined })
    const get = () => Promise.reject(new Error('no issuer is asked here'))
    return new Relay({ runtime: this.runtime, options, get, ports: { listenTcp: open, listenUdp: open } })
  }

  connect(): { session: Session; index: number } {
    const index = this.links.length
    const toRelay: number[] = []
    const client = new TestLink((bytes) => toRelay.push(...bytes))
    const link = new TestLink((bytes) => client.handler?.onData(bytes, 0))
    const peer = { ip: '127.0.0.1', port: 1, transport: 'websocket', isEncrypted: false }
    const connection = this.relay.accept(link, peer)
    this.links.push({ toRelay, link, connection })
    const session = new Session(client, { role: 'client', nowMs: () => 0 })
    session.start()
    return { session, index }
  }

  /** Delivers up to `count` bytes of each link; then, if told so, everything of the relay is forgotten and revived. */
  async step(count: number, isSleeping: boolean): Promise<void> {
    for (const { toRelay, link } of this.links) {
      const bytes = toRelay.splice(0, count)
      if (bytes.length > 0) link.handler?.onData(Uint8Array.from(bytes), 0)
    }
    // What a registration waits for.
    for (let i = 0; i < 20; i++) await Promise.resolve()
    if (isSleeping) this.sleep()
  }

  private note(message: Message): void {
    this.seen.push(JSON.stringify(message))
  }

  get isIdle(): boolean {
    return this.links.every(({ toRelay }) => toRelay.length === 0)
  }

  private sleep(): void {
    const joins = [...this.relay.joins]
    const endOf = (stream: ByteStream) => {
      const index = this.links.findIndex(({ connection }) => connection.idOf(stream) !== undefined)
      return { connection: String(index), stream: this.links[index]?.connection.idOf(stream) ?? -1 }
    }
    const visits = joins.map((live) => ({
      proxyName: live.proxyName,
      visitor: endOf(live.user),
      work: endOf(live.work),
      wrapped: [],
      leg: undefined,
    }))
    const saved = this.links.map(({ connection }) => connection.save([]))
    if (saved.some((one) => one === undefined)) return // a first message is half here: the hub stays awake
    this.relay = this.newRelay()
    for (const [index, one] of this.links.entries()) {
      const whole = structuredClone(saved[index])
      if (whole !== undefined) one.connection = this.relay.revive(one.link, whole)
    }
    for (const visit of visits) {
      const owner = this.links[Number(visit.work.connection)]?.connection
      const work = owner?.stream(visit.work.stream)
      const user = this.links[Number(visit.visitor.connection)]?.connection.stream(visit.visitor.stream)
      const conns = owner?.control?.proxies.workConns(visit.proxyName)
      if (work === undefined || user === undefined || conns === undefined) throw new Error('an end of a visit is gone')
      conns.rejoin(user, work, visit)
    }
    for (const { connection } of this.links) connection.resume()
  }

  /** The client's connection goes on at a relay with another token, as after a deploy. */
  reviveWith(token: string): Connection | undefined {
    const one = this.links[0]
    const saved = structuredClone(one?.connection.save([]))
    return one && saved && this.newRelay(token).revive(one.link, saved)
  }

  /** Runs the whole story with these piece sizes; the answer is all that the client and the visitor saw. */
  async run(pieces: readonly number[], isSleeping: boolean, wire: WireProtocol): Promise<string[]> {
    const { crypto } = this.runtime
    let turn = 0
    const settle = async () => {
      do await this.step(pieces[turn++ % pieces.length] ?? 1, isSleeping)
      while (!this.isIdle)
    }
    const client = this.connect()
    const control = client.session.open()
    let runId = ''
    let handedOver: { stream: ByteStream; head: Uint8Array } | undefined
    let suite: Suite | undefined
    const hello = clientHello({ transport: 'websocket', tls: false, tcpMux: true }, crypto)
    const onLogin: MessageHandler = {
      onMessage: (message) => {
        this.note(message)
        if (message.type === 'LoginResp') runId = message.run_id
        handedOver = clear.detach()
      },
    }
    const codec = loginCodec(wire, (payload) => {
      suite = readServerHello(payload, hello, crypto)
    })
    const clear = new MessageChannel(control, onLogin, { codec })
    if (wire === 'v2') clear.sendFrame(withMagic(frameV2(CLIENT_HELLO, hello)))
    const timestamp = 1_700_000_000
    clear.send({
      type: 'Login',
      timestamp,
      privilege_key: privilegeKey(crypto, TOKEN, timestamp),
      pool_count: 1,
      edgefrp: { v: 1, features: ['half-close'] },
    })
    await settle()
    if (handedOver === undefined) throw new Error('no LoginResp')
    const { stream, head } = handedOver
    const key = deriveKey(crypto, TOKEN)
    const workStreams: Collect[] = []
    const bring = () => {
      const stream = client.session.open()
      const collected = new Collect()
      const onStart: MessageHandler = {
        onMessage: (start) => {
          this.note(start)
          const { stream: work, head: rest } = channel.detach()
          work.attach(collected, rest)
          work.write(new TextEncoder().encode('from the service'))
          work.end()
        },
      }
      const channel = new MessageChannel(stream, onStart, { codec: streamCodec(wire) })
      workStreams.push(collected)
      channel.send({ type: 'NewWorkConn', run_id: runId })
    }
    const rest = prefixed(stream, head)
    const cipher = suite ? new AeadStream(rest, suite, TOKEN, 'client', crypto) : encrypt(rest, key, crypto)
    const onControl: MessageHandler = {
      onMessage: (message) => {
        this.note(message)
        if (message.type === 'ReqWorkConn') bring()
      },
    }
    const encrypted = new MessageChannel(cipher, onControl, { codec: codecOf(wire) })
    const metas = { 'edgefrp.visitKey': 'visit-key' }
    encrypted.send({ type: 'NewProxy', proxy_name: 'ssh', proxy_type: 'tcp', remote_port: 6000, metas })
    await settle()
    encrypted.send({ type: 'Ping' })
    await settle()
    const visitor = this.connect()
    const visit = visitor.session.open()
    const answered = new Collect()
    const onVisit: MessageHandler = {
      onMessage: (message) => {
        this.note(message)
        const { stream: bytes, head: rest } = door.detach()
        bytes.attach(answered, rest)
        bytes.write(new TextEncoder().encode('from the visitor'))
        bytes.end()
      },
    }
    const door = new MessageChannel(visit, onVisit, { codec: streamCodec(wire) })
    door.send({
      type: 'NewVisitorConn',
      timestamp,
      sign_key: privilegeKey(crypto, 'visit-key', timestamp),
      edgefrp: { v: 1, features: ['half-close'], type: 'tcp', port: 6000 },
    })
    await settle()
    await settle()
    this.seen.push(`visitor: ${new TextDecoder().decode(Uint8Array.from(answered.bytes))}`)
    for (const work of workStreams) this.seen.push(`work: ${new TextDecoder().decode(Uint8Array.from(work.bytes))}`)
    return this.seen
  }
}

describe('a relay that is forgotten and revived between any two events', () => {
  it.each(['v1', 'v2'] as const)('does what one does that stays awake, wire %s', async (wire) => {
    const straight = await new Scene().run([1 << 20], false, wire)
    expect(straight.join('\n')).toContain('"remote_addr":":6000"')
    expect(straight.filter((line) => line.includes('"Pong"'))).toHaveLength(1)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 12 }), async (pieces) => {
        expect(await new Scene().run(pieces, true, wire)).toEqual(straight)
      }),
      { numRuns: 60 },
    )
  })

  it('does not go on with a session whose token holds no longer, and says so', async () => {
    const scene = new Scene()
    await scene.run([1 << 20], false, 'v1')
    expect(scene.reviveWith(TOKEN)?.control?.isOpen).toBe(true)
    expect(() => scene.reviveWith('another')).toThrow('the token of the relay has changed')
  })
})
