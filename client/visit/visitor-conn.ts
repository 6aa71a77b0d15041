import { FrpError } from '../../contract/errors.ts'
import type { Runtime } from '../../contract/runtime.ts'
import { deriveKey } from '../../protocol/frp/cipher.ts'
import type { WireProtocol } from '../../protocol/frp/codec.ts'
import { edgefrpOf, featuresOf } from '../../protocol/frp/edgefrp-field.ts'
import { MessageChannel, type MessageHandler } from '../../protocol/frp/message-channel.ts'
import type { OutgoingOf } from '../../protocol/frp/messages.ts'
import { streamCodec } from '../../protocol/frp/opening.ts'
import { privilegeKey } from '../../protocol/frp/token.ts'
import { wrap } from '../../protocol/frp/wrap.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { prefixed } from '../../protocol/stream/prefixed.ts'

/** From NewVisitorConn sent to its answer; as long as a login may take, for a hub may have to wake. */
const ANSWER_MS = 10_000

/** The service that is visited, by the port that its proxy has at the relay. */
export interface PortTarget {
  type: 'tcp' | 'udp'
  port: number
  /** "": the login is enough, or the proxy is public. */
  visitKey: string
}

/** The service that is visited, by the name that its proxy has on the wire, and its secret. */
export interface SecretTarget {
  type: 'stcp' | 'sudp'
  proxyName: string
  secretKey: string
  /** Of the visitor's leg alone: the owner's is what its proxy says. */
  useEncryption: boolean
  useCompression: boolean
}

/** What a visit is for. */
export type VisitTarget = PortTarget | SecretTarget

/** A visit that was accepted, unwrapped. Nobody reads `stream` yet. */
export interface VisitorConn {
  stream: ByteStream
  features: ReadonlySet<string>
  /** How messages on it are framed: those of a udp visit. */
  wire: WireProtocol
}

/** Whether the relay itself said no: to ask again would change nothing. */
export function isRefusal(error: unknown): boolean {
  return error instanceof FrpError && (error.code === 'VISIT_REFUSED' || error.code === 'MESSAGE_UNEXPECTED')
}

/**
 * Asks for a visit over a fresh stream; `runId` is that of the login, "" without one. Rejects with VISIT_REFUSED
 * (the relay's reason), TIMEOUT after 10 s, or what ended the stream; the stream is then destroyed.
 */
export function askVisit(
  stream: ByteStream,
  target: VisitTarget,
  runId: string,
  wire: WireProtocol,
  runtime: Runtime,
): Promise<VisitorConn> {
  return new Promise((resolve, reject) => {
    let channel: MessageChannel | undefined
    const fail = (error: Error): void => {
      deadline.cancel()
      channel?.destroy(error)
      reject(error)
    }
    const deadline = runtime.after(ANSWER_MS, () =>
      fail(new FrpError('TIMEOUT', `no answer to the visit within ${ANSWER_MS / 1000} s`)),
    )
    // Paused, so that no answer can come before `channel` is set; a stream that is closed already says so at once.
    stream.pause()
    const handler: MessageHandler = {
      onMessage: (message) => {
        deadline.cancel()
        if (message.type !== 'NewVisitorConnResp') {
          fail(new FrpError('MESSAGE_UNEXPECTED', `${message.type} came where NewVisitorConnResp was due`))
        } else if (message.error !== '') {
          fail(new FrpError('VISIT_REFUSED', message.error))
        } else {
          const rest = opened.detach()
          resolve({
            stream: unwrapped(prefixed(rest.stream, rest.head), target, runtime),
            features: featuresOf(message),
            wire,
          })
        }
      },
      onEnd: () => fail(new FrpError('LINK_CLOSED', 'EOF: the relay closed the connection before it answered')),
      onClose: (error) => fail(error ?? new FrpError('LINK_CLOSED', 'the relay closed the connection')),
    }
    const opened = new MessageChannel(stream, handler, { codec: streamCodec(wire) })
    channel = opened
    opened.send(visitMessage(target, runId, runtime))
    stream.resume()
  })
}

function visitMessage(target: VisitTarget, runId: string, runtime: Runtime): OutgoingOf<'NewVisitorConn'> {
  const timestamp = Math.floor(runtime.nowMs() / 1000)
  if ('proxyName' in target) {
    const { proxyName, secretKey, useEncryption, useCompression } = target
    return {
      type: 'NewVisitorConn',
      run_id: runId,
      proxy_name: proxyName,
      sign_key: privilegeKey(runtime.crypto, secretKey, timestamp),
      timestamp,
      use_encryption: useEncryption,
      use_compression: useCompression,
      edgefrp: edgefrpOf(['half-close']),
    }
  }
  const { type, port, visitKey } = target
  return {
    type: 'NewVisitorConn',
    run_id: runId,
    proxy_name: '',
    timestamp,
    ...(visitKey === '' ? {} : { sign_key: privilegeKey(runtime.crypto, visitKey, timestamp) }),
    edgefrp: edgefrpOf(['half-close'], { type, port }),
  }
}

/** What frp puts around the bytes of a stcp or sudp visitor: with the proxy's secret, not the token. */
function unwrapped(stream: ByteStream, target: VisitTarget, runtime: Runtime): ByteStream {
  if (!('proxyName' in target)) return stream
  const key = target.useEncryption ? { key: deriveKey(runtime.crypto, target.secretKey) } : {}
  return wrap(stream, { ...key, compression: target.useCompression }, runtime.crypto)
}
