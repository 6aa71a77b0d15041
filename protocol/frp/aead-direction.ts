import { FrpError } from '../../contract/errors.ts'
import type { Aead, Crypto } from '../../contract/runtime.ts'
import { MAX_AEAD_TEXT_BYTES, MAX_AES_GCM_RECORDS } from '../limits.ts'
import { hchacha20 } from './hchacha20.ts'

/** The ciphers of the control connection of v2, under frp's names. */
export type AeadAlgorithm = 'aes-256-gcm' | 'xchacha20-poly1305'

/** Length of a record's ciphertext and tag, u32 big endian. */
export const RECORD_HEAD_BYTES = 4
/** Poly1305's and GCM's. */
export const TAG_BYTES = 16
/** The longest nonce. */
const MAX_NONCE_BYTES = 24
/** Of XChaCha20's nonce these make the key, the other 8 are ChaCha20's behind four zeros. */
const HCHACHA_BYTES = 16
/** Size of {@link AeadDirection.save}: stream nonce, and how many records there were. */
export const DIRECTION_STATE_BYTES = MAX_NONCE_BYTES + 8

interface Kind {
  aead: Aead
  nonceBytes: number
  maxRecords: number
}

const KINDS: Readonly<Record<AeadAlgorithm, Kind>> = {
  'aes-256-gcm': { aead: 'aes-256-gcm', nonceBytes: 12, maxRecords: MAX_AES_GCM_RECORDS },
  // golib has no bound here but the nonce; a number stays exact up to this one.
  'xchacha20-poly1305': { aead: 'chacha20-poly1305', nonceBytes: MAX_NONCE_BYTES, maxRecords: Number.MAX_SAFE_INTEGER },
}

/** Bytes of the stream nonce that a direction begins with. */
export function nonceBytesOf(algorithm: AeadAlgorithm): number {
  return KINDS[algorithm].nonceBytes
}

/** The length of a record's ciphertext and tag; throws CIPHER_RECORD when it cannot be. `head`: 4 bytes. */
export function sealedLength(head: Uint8Array, record: number): number {
  const length = new DataView(head.buffer, head.byteOffset).getUint32(0)
  const most = MAX_AEAD_TEXT_BYTES + TAG_BYTES
  if (length < TAG_BYTES || length > most) {
    throw new FrpError('CIPHER_RECORD', `record ${record}: length ${length}, expected ${TAG_BYTES} to ${most}`)
  }
  return length
}

/** One direction of golib's AEAD stream (crypto/aead_stream.go): a key, a stream nonce, and a count of records. */
export class AeadDirection {
  /** Records so far; the next one has this number. */
  records = 0
  private readonly crypto: Crypto
  private readonly kind: Kind
  private readonly key: Uint8Array
  private streamNonce: Uint8Array

  constructor(algorithm: AeadAlgorithm, key: Uint8Array, crypto: Crypto) {
    this.crypto = crypto
    this.kind = KINDS[algorithm]
    this.key = key
    this.streamNonce = new Uint8Array(this.kind.nonceBytes)
  }

  /** Begins with a stream nonce, which is copied. */
  start(streamNonce: Uint8Array): void {
    this.streamNonce = streamNonce.slice()
    this.records = 0
  }

  /** Seals `text` into `out`, which has room for head and tag too. Throws CIPHER_RECORD when no nonce is left. */
  seal(text: Uint8Array, out: Uint8Array): void {
    const head = out.subarray(0, RECORD_HEAD_BYTES)
    new DataView(head.buffer, head.byteOffset).setUint32(0, text.length + TAG_BYTES)
    const { key, nonce } = this.next()
    out.set(this.crypto.aeadSeal(this.kind.aead, key, nonce, this.aad(head), text), RECORD_HEAD_BYTES)
    this.records += 1
  }

  /** The text of a whole record. Throws CIPHER_RECORD when it is not the next one that the other end sealed. */
  open(record: Uint8Array): Uint8Array {
    const { key, nonce } = this.next()
    const aad = this.aad(record.subarray(0, RECORD_HEAD_BYTES))
    const text = this.crypto.aeadOpen(this.kind.aead, key, nonce, aad, record.subarray(RECORD_HEAD_BYTES))
    if (text === undefined) {
      const what = `${record.length - RECORD_HEAD_BYTES} bytes do not verify`
      throw new FrpError('CIPHER_RECORD', `record ${this.records}: ${what} (another token, or changed on the way)`)
    }
    this.records += 1
    return text
  }

  save(): Uint8Array {
    const state = new Uint8Array(DIRECTION_STATE_BYTES)
    state.set(this.streamNonce)
    const view = new DataView(state.buffer)
    view.setBigUint64(MAX_NONCE_BYTES, BigInt(this.records))
    return state
  }

  load(state: Uint8Array): void {
    this.streamNonce = state.slice(0, this.kind.nonceBytes)
    this.records = Number(new DataView(state.buffer, state.byteOffset).getBigUint64(MAX_NONCE_BYTES))
  }

  /** golib: the stream nonce plus the number of the record, as one big-endian integer that must not wrap. */
  private next(): { key: Uint8Array; nonce: Uint8Array } {
    const nonce = this.streamNonce.slice()
    let carry = this.records
    for (let i = nonce.length - 1; i >= 0 && carry > 0; i--) {
      carry += nonce[i] as number
      nonce[i] = carry % 256
      carry = Math.floor(carry / 256)
    }
    if (carry > 0 || this.records >= this.kind.maxRecords) {
      throw new FrpError('CIPHER_RECORD', `record ${this.records}: the nonces of this direction are used up`)
    }
    if (this.kind.nonceBytes < MAX_NONCE_BYTES) return { key: this.key, nonce }
    const short = new Uint8Array(12)
    short.set(nonce.subarray(HCHACHA_BYTES), 4)
    return { key: hchacha20(this.key, nonce), nonce: short }
  }

  private aad(head: Uint8Array): Uint8Array {
    const aad = new Uint8Array(this.streamNonce.length + head.length)
    aad.set(this.streamNonce)
    aad.set(head, this.streamNonce.length)
    return aad
  }
}
