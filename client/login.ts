import { hostname } from 'node:os'
import type { ServerOptions } from '../config/frpc.ts'
import { FrpError } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import { FRP_VERSION } from '../contract/version.ts'
import type { Suite } from '../protocol/frp/aead.ts'
import { edgefrpOf, featuresOf } from '../protocol/frp/edgefrp-field.ts'
import { type Bootstrap, clientHello, readServerHello } from '../protocol/frp/hello.ts'
import { MessageChannel, type MessageHandler } from '../protocol/frp/message-channel.ts'
import type { OutgoingOf } from '../protocol/frp/messages.ts'
import { loginCodec, withMagic } from '../protocol/frp/opening.ts'
import { CLIENT_HELLO, frameV2 } from '../protocol/frp/v2.ts'
import type { ByteStream } from '../protocol/stream/byte-stream.ts'
import { prefixed } from '../protocol/stream/prefixed.ts'
import type { Proof } from './credentials.ts'

/** frp, client/control_session.go: from Login sent to LoginResp complete. */
const LOGIN_MS = 10_000

/** Go's names for what Node calls otherwise; dashboards show them. */
const GO_OS: Readonly<Record<string, string>> = { win32: 'windows', sunos: 'solaris' }
const GO_ARCH: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', mipsel: 'mipsle' }

/** Who logs in; the same over all servers. */
export interface Identity {
  user: string
  clientID: string
  metadatas: Readonly<Record<string, string>>
}

/** A login that was accepted. `stream` carries what comes after LoginResp, still encrypted. */
export interface Accepted {
  runId: string
  features: ReadonlySet<string>
  stream: ByteStream
  /** What the hellos of wire protocol v2 agreed on; undefined: v1. */
  suite: Suite | undefined
}

/**
 * Logs in over a fresh stream. Rejects with LOGIN_REFUSED (the relay's reason), TIMEOUT after 10 s, or what
 * ended the stream; the stream is then destroyed.
 */
export function login(
  stream: ByteStream,
  server: ServerOptions,
  identity: Identity,
  proof: Required<Proof>,
  runId: string,
  runtime: Runtime,
): Promise<Accepted> {
  return new Promise((resolve, reject) => {
    const isV2 = server.transport.wireProtocol === 'v2'
    const hello = isV2 ? clientHello(bootstrapOf(server), runtime.crypto) : new Uint8Array(0)
    // frp did not have it before 0.69, and such a server says nothing.
    const hint = isV2 ? ' (one older than frp 0.69 does not speak transport.wireProtocol v2)' : ''
    let suite: Suite | undefined
    let channel: MessageChannel | undefined
    const fail = (error: Error): void => {
      deadline.cancel()
      channel?.destroy(error)
      reject(error)
    }
    const deadline = runtime.after(LOGIN_MS, () =>
      fail(new FrpError('TIMEOUT', `no answer to the login within ${LOGIN_MS / 1000} s`)),
    )
    // Paused, so that no answer can come before `channel` is set; a stream that is closed already says so at once.
    stream.pause()
    const handler: MessageHandler = {
      onMessage: (message) => {
        deadline.cancel()
        if (message.type !== 'LoginResp') {
          fail(new FrpError('MESSAGE_UNEXPECTED', `${message.type} came where LoginResp was due`))
        } else if (message.error !== '') {
          fail(new FrpError('LOGIN_REFUSED', message.error))
        } else if (isV2 && suite === undefined) {
          fail(new FrpError('MESSAGE_UNEXPECTED', 'LoginResp came where ServerHello was due'))
        } else {
          const rest = opened.detach()
          resolve({
            runId: message.run_id,
            features: featuresOf(message),
            stream: prefixed(rest.stream, rest.head),
            suite,
          })
        }
      },
      onEnd: () => fail(new FrpError('LINK_CLOSED', `EOF: the relay closed the connection before it answered${hint}`)),
      onClose: (error) => fail(error ?? new FrpError('LINK_CLOSED', 'the relay closed the connection')),
    }
    const opened = new MessageChannel(stream, handler, {
      codec: loginCodec(server.transport.wireProtocol, (payload) => {
        suite = readServerHello(payload, hello, runtime.crypto)
      }),
    })
    channel = opened
    if (isV2) opened.sendFrame(withMagic(frameV2(CLIENT_HELLO, hello)))
    opened.send(loginMessage(server, identity, proof, runId))
    stream.resume()
  })
}

function bootstrapOf({ transport }: ServerOptions): Bootstrap {
  const { protocol, tls, tcpMux } = transport
  return { transport: protocol, tls: tls.enable || protocol === 'wss' || protocol === 'quic', tcpMux }
}

function loginMessage(
  server: ServerOptions,
  identity: Identity,
  proof: Required<Proof>,
  runId: string,
): OutgoingOf<'Login'> {
  return {
    type: 'Login',
    version: FRP_VERSION,
    hostname: hostname(),
    os: GO_OS[process.platform] ?? process.platform,
    arch: GO_ARCH[process.arch] ?? process.arch,
    user: identity.user,
    ...proof,
    run_id: runId,
    client_id: identity.clientID,
    metas: identity.metadatas,
    pool_count: server.transport.poolCount,
    edgefrp: edgefrpOf(['half-close', 'sleeps']),
  }
}
