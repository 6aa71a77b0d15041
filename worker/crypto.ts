import {
  createCipheriv,
  createDecipheriv,
  createHash,
  hkdfSync,
  pbkdf2Sync,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'
import type { Crypto } from '../contract/runtime.ts'

/** RFC 5116 5.1, RFC 8439 2.8. */
const TAG_BYTES = 16

/** The lent crypto, on workerd's native node:crypto (it has CBC and ECB, no CFB). */
export const workerCrypto: Crypto = {
  randomBytes: (length) => plain(randomBytes(length)),
  md5: (data) => plain(createHash('md5').update(data).digest()),
  sha256: (data) => plain(createHash('sha256').update(data).digest()),
  pbkdf2Sha1: (secret, salt, iterations, length) => plain(pbkdf2Sync(secret, salt, iterations, length, 'sha1')),
  hkdfSha256: (key, salt, info, length) => new Uint8Array(hkdfSync('sha256', key, salt, info, length)),
  aesCbcEncrypt: (key, iv, data) => {
    const cipher = createCipheriv('aes-128-cbc', key, iv)
    cipher.setAutoPadding(false)
    return plain(cipher.update(data))
  },
  aesEcbEncrypt: (key, data) => {
    const cipher = createCipheriv('aes-128-ecb', key, null)
    cipher.setAutoPadding(false)
    return plain(cipher.update(data))
  },
  aeadSeal: (aead, key, nonce, aad, text) => {
    const cipher = createCipheriv(aead, key, nonce, { authTagLength: TAG_BYTES })
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
    const decipher = createDecipheriv(aead, key, nonce, { authTagLength: TAG_BYTES })
    decipher.setAAD(aad)
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES))
    try {
      const text = plain(decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES)))
      decipher.final()
      return text
    } catch {
      // The tag does not match; ChaCha20 says so in `update` already here, GCM in `final`.
      return undefined
    }
  },
  timingSafeEqual: (a, b) => a.length === b.length && timingSafeEqual(a, b),
}

/** A Buffer's `slice` shares memory, a Uint8Array's copies; the core counts on the second. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
