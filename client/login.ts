import { hostname } from 'node:os'
import type { ServerOptions } from '../config/frpc.ts'
import { FrpError } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import { FRP_VERSION } from '../contract/version.ts'
import { MessageChannel } from '../protocol/frp/message-channel.ts'
import type { LoginResp, OutgoingOf } from '../protocol/frp/messages.ts'
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
    const opened = new MessageChannel(stream, {
      onMessage: (message) => {
        deadline.cancel()
        if (message.type !== 'LoginResp') {
          fail(new FrpError('MESSAGE_UNEXPECTED', `${message.type} came where LoginResp was due`))
        } else if (message.error !== '') {
          fail(new FrpError('LOGIN_REFUSED', message.error))
        } else {
          const rest = opened.detach()
          resolve({
            runId: message.run_id,
            features: featuresOf(message),
            stream: prefixed(rest.stream, rest.head),
          })
        }
      },
      onEnd: () => fail(new FrpError('LINK_CLOSED', 'EOF: the relay closed the connection before it answered')),
      onClose: (error) => fail(error ?? new FrpError('LINK_CLOSED', 'the relay closed the connection')),
    })
    channel = opened
    opened.send(loginMessage(server, identity, proof, runId))
    stream.resume()
  })
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
    edgefrp: { v: 1, features: ['half-close', 'sleeps'] },
  }
}

function featuresOf(message: LoginResp): ReadonlySet<string> {
  return new Set(message.edgefrp?.features ?? [])
}
