import { deriveKey } from '../../protocol/frp/cipher.ts'
import { MessageChannel, type MessageHandler } from '../../protocol/frp/message-channel.ts'
import { streamCodec } from '../../protocol/frp/opening.ts'
import { privilegeKey } from '../../protocol/frp/token.ts'
import { wrap } from '../../protocol/frp/wrap.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { prefixed } from '../../protocol/stream/prefixed.ts'
import { workerCrypto } from '../../worker/crypto.ts'
import type { EdgeClient } from './client.ts'

/** The secret of the proxies that are visited. */
export const KEY = 'sk'

export interface SecretFlags {
  use_encryption: boolean
  use_compression: boolean
}

/** A visitor's connection as stock frpc makes it; unwrapped, once the relay accepted it. */
export function visitSecret(visitor: EdgeClient, name: string, flags: SecretFlags, key = KEY): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    const handler: MessageHandler = {
      onMessage: (message) => {
        const { stream, head } = door.detach()
        const error = message.type === 'NewVisitorConnResp' ? message.error : message.type
        if (error !== '') reject(new Error(error))
        const cipher = flags.use_encryption ? { key: deriveKey(workerCrypto, KEY) } : {}
        resolve(wrap(prefixed(stream, head), { ...cipher, compression: flags.use_compression }, workerCrypto))
      },
      onClose: (error) => reject(error ?? new Error('closed')),
    }
    const door = new MessageChannel(visitor.session.open(), handler, { codec: streamCodec(visitor.wire) })
    const sign_key = privilegeKey(workerCrypto, key, 7)
    door.send({ type: 'NewVisitorConn', run_id: visitor.runId, proxy_name: name, timestamp: 7, sign_key, ...flags })
  })
}
