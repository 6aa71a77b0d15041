import {
  createCipheriv,
  createDecipheriv,
  createHash,
  hkdfSync,
  pbkdf2Sync,
  randomFillSync,
  timingSafeEqual,
} from 'node:crypto'
import type { Aead, Crypto } from '../contract/runtime.ts'
import { plainBytes } from './bytes.ts'

/** One call into the kernel's generator serves some hundred run ids, masks and start vectors. */
const POOL_BYTES = 4_096
/** Longer requests go to the generator themselves; a quarter of the pool wastes little of it. */
const LARGEST_POOLED_BYTES = POOL_BYTES / 4

/** RFC 5116 5.1, RFC 8439 2.8. */
const TAG_BYTES = 16

/** The lent crypto of Node, all synchronous native code. */
export const nodeCrypto: Crypto = {
  randomBytes,
  md5: (data) => plainBytes(createHash('md5').update(data).digest()),
  sha256: (data) => plainBytes(createHash('sha256').update(data).digest()),
  pbkdf2Sha1: (secret, salt, iterations, length) => plainBytes(pbkdf2Sync(secret, salt, iterations, length, 'sha1')),
  hkdfSha256: (key, salt, info, length) => new Uint8Array(hkdfSync('sha256', key, salt, info, length)),
  aesCbcEncrypt: (key, iv, data) => aes('aes-128-cbc', key, iv, data),
  aesEcbEncrypt: (key, data) => aes('aes-128-ecb', key, null, data),
  aeadSeal: (aead, key, nonce, aad, text) => {
    const cipher = createCipheriv(gcm(aead), key, nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(aad)
    const sealed = cipher.update(text)
    cipher.final()
    const whole = new Uint8Array(sealed.length + TAG_BYTES)
    whole.set(sealed)
    whole.set(cipher.getAuthTag(), sealed.length)
    return whole
  },
  aeadOpen: (aead, key, nonce, aad, sealed) => {
    if (sealed.length < TAG_BYTES) return undefined
    const decipher = createDecipheriv(gcm(aead), key, nonce, { authTagLength: TAG_BYTES })
    decipher.setAAD(aad)
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES))
    try {
      const text = plainBytes(decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES)))
      decipher.final()
      return text
    } catch {
      // The tag does not match: OpenSSL has no other error here.
      return undefined
    }
  },
  timingSafeEqual: (a, b) => a.length === b.length && timingSafeEqual(a, b),
}

/** Node's types know the mode by its name alone; both of ours have a tag and additional data. */
function gcm(aead: Aead): 'aes-256-gcm' {
  return aead as 'aes-256-gcm'
}

function aes(mode: 'aes-128-cbc' | 'aes-128-ecb', key: Uint8Array, iv: Uint8Array | null, data: Uint8Array) {
  const cipher = createCipheriv(mode, key, iv)
  cipher.setAutoPadding(false)
  const out = plainBytes(cipher.update(data))
  // Throws when the length is no multiple of the block: without it the rest would vanish silently.
  cipher.final()
  return out
}

const pool = new Uint8Array(POOL_BYTES)
let used = POOL_BYTES

function randomBytes(length: number): Uint8Array {
  if (length > LARGEST_POOLED_BYTES) return randomFillSync(new Uint8Array(length))
  if (used + length > POOL_BYTES) {
    randomFillSync(pool)
    used = 0
  }
  const out = pool.slice(used, used + length)
  // A secret that was handed out stays nowhere else.
  pool.fill(0, used, used + length)
  used += length
  return out
}
