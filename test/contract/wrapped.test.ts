import { nodeCrypto } from '../../node/crypto.ts'
import { AeadStream, type Role } from '../../protocol/frp/aead.ts'
import { deriveKey, encrypt } from '../../protocol/frp/cipher.ts'
import { compress } from '../../protocol/frp/snappy.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { pair } from '../../protocol/stream/pair.ts'
import { byteStreamContract } from './byte-stream.ts'

const key = deriveKey(nodeCrypto, 'secret')

byteStreamContract(
  'cipher over a pair',
  async () => {
    const [a, b] = pair()
    return [encrypt(a, key, nodeCrypto), encrypt(b, key, nodeCrypto), () => {}]
  },
  { boundBytes: 256 * 1024 },
)

byteStreamContract(
  'snappy over a pair',
  async () => {
    const [a, b] = pair()
    return [compress(a), compress(b), () => {}]
  },
  { boundBytes: 256 * 1024 },
)

byteStreamContract(
  'snappy over cipher over a pair',
  async () => {
    const [a, b] = pair()
    return [compress(encrypt(a, key, nodeCrypto)), compress(encrypt(b, key, nodeCrypto)), () => {}]
  },
  { boundBytes: 512 * 1024 },
)

for (const algorithm of ['aes-256-gcm', 'xchacha20-poly1305'] as const) {
  const suite = { algorithm, transcript: new Uint8Array(32) }
  const aead = (stream: ByteStream, role: Role) => new AeadStream(stream, suite, 'secret', role, nodeCrypto)
  byteStreamContract(
    `AEAD ${algorithm} over a pair`,
    async () => {
      const [a, b] = pair()
      return [aead(a, 'client'), aead(b, 'server'), () => {}]
    },
    { boundBytes: 256 * 1024 },
  )
}
