import { FrpError } from '../../contract/errors.ts'
import type { Crypto } from '../../contract/runtime.ts'
import { HEAD_ROOM } from '../limits.ts'
import { type ByteStream, READ_ONLY } from '../stream/byte-stream.ts'
import { type Fate, StreamWrapper } from '../stream/wrapper.ts'
import { BLOCK_BYTES, CFB_STATE_BYTES, Cfb } from './cfb.ts'

/** golib crypto: the salt that frp sets at its start, and its rounds. */
const SALT = new TextEncoder().encode('frp')
const ITERATIONS = 64

/** frp's stream key: of the token, or of a proxy's secretKey. 16 bytes. */
export function deriveKey(crypto: Crypto, secret: string): Uint8Array {
  return crypto.pbkdf2Sha1(new TextEncoder().encode(secret), SALT, ITERATIONS, BLOCK_BYTES)
}

/** AES-128-CFB both ways over `stream`, as golib crypto: each direction begins with its start vector in clear. */
export function encrypt(stream: ByteStream, key: Uint8Array, crypto: Crypto): CipherStream {
  return new CipherStream(stream, key, crypto)
}

const SNAPSHOT_VERSION = 1
const WRITING = 1
const ENDED = 2
/** Where the bits of the reading side begin. */
const READING_SHIFT = 4
/** Version, flags, bytes of the peer's start vector, both directions. */
const SNAPSHOT_BYTES = 3 + 2 * CFB_STATE_BYTES + BLOCK_BYTES

export class CipherStream extends StreamWrapper {
  private readonly crypto: Crypto
  private readonly encryption: Cfb
  private readonly decryption: Cfb
  private readonly peerIv = new Uint8Array(BLOCK_BYTES)
  private peerIvBytes = 0
  private isWriting = false
  private isEnded = false

  constructor(inner: ByteStream, key: Uint8Array, crypto: Crypto) {
    super(inner)
    this.crypto = crypto
    this.encryption = new Cfb(crypto, key, true)
    this.decryption = new Cfb(crypto, key, false)
  }

  /** The state of both ciphers, in about 85 bytes. Take it when `isSavable`. */
  snapshot(): Uint8Array {
    const bytes = new Uint8Array(SNAPSHOT_BYTES)
    bytes[0] = SNAPSHOT_VERSION
    bytes[1] = (this.isWriting ? WRITING : 0) | (this.isEnded ? ENDED : 0) | (this.saveReading() << READING_SHIFT)
    bytes[2] = this.peerIvBytes
    bytes.set(this.peerIv, 3)
    bytes.set(this.encryption.save(), 3 + BLOCK_BYTES)
    bytes.set(this.decryption.save(), 3 + BLOCK_BYTES + CFB_STATE_BYTES)
    return bytes
  }

  /** Goes on from a snapshot, over the stream that carries on; before `attach`. */
  static restore(inner: ByteStream, key: Uint8Array, crypto: Crypto, bytes: Uint8Array): CipherStream {
    if (bytes[0] !== SNAPSHOT_VERSION || bytes.length !== SNAPSHOT_BYTES) {
      throw new RangeError(`snapshot of a cipher: version ${bytes[0]}, ${bytes.length} bytes`)
    }
    const stream = new CipherStream(inner, key, crypto)
    stream.isWriting = ((bytes[1] ?? 0) & WRITING) !== 0
    stream.isEnded = ((bytes[1] ?? 0) & ENDED) !== 0
    stream.loadReading((bytes[1] ?? 0) >> READING_SHIFT)
    stream.peerIvBytes = Math.min(bytes[2] ?? 0, BLOCK_BYTES)
    stream.peerIv.set(bytes.subarray(3, 3 + BLOCK_BYTES))
    stream.encryption.load(bytes.subarray(3 + BLOCK_BYTES, 3 + BLOCK_BYTES + CFB_STATE_BYTES))
    stream.decryption.load(bytes.subarray(3 + BLOCK_BYTES + CFB_STATE_BYTES))
    return stream
  }

  override write(chunk: Uint8Array, headRoom = 0): boolean {
    if (this.isEnded || this.inlet.isClosed) return true
    if (this.isWriting && headRoom !== READ_ONLY) {
      this.encryption.apply(chunk)
      return this.inner.write(chunk, headRoom)
    }
    if (this.isWriting) return this.writeCopy(chunk, undefined)
    this.isWriting = true
    const iv = this.crypto.randomBytes(BLOCK_BYTES)
    this.encryption.start(iv)
    if (headRoom < BLOCK_BYTES) return this.writeCopy(chunk, iv)
    this.encryption.apply(chunk)
    const whole = new Uint8Array(chunk.buffer, chunk.byteOffset - BLOCK_BYTES, chunk.length + BLOCK_BYTES)
    whole.set(iv)
    return this.inner.write(whole, headRoom - BLOCK_BYTES)
  }

  override end(): void {
    this.isEnded = true
    this.inner.end()
  }

  override onEnd(): void {
    if (this.peerIvBytes === 0 || this.peerIvBytes === BLOCK_BYTES) super.onEnd()
    else {
      const got = `${this.peerIvBytes} of ${BLOCK_BYTES} bytes`
      this.fail(new FrpError('CIPHER_TRUNCATED', `the stream ended after ${got} of its start vector`))
    }
  }

  protected override receive(chunk: Uint8Array, headRoom: number): Fate {
    const skipped = this.peerIvBytes < BLOCK_BYTES ? this.readIv(chunk) : 0
    if (skipped === chunk.length) return 'used'
    if (headRoom === READ_ONLY) {
      const copy = chunk.slice(skipped)
      this.decryption.apply(copy)
      return this.deliver(copy, 0)
    }
    const text = skipped === 0 ? chunk : chunk.subarray(skipped)
    this.decryption.apply(text)
    return this.deliver(text, headRoom + skipped)
  }

  private readIv(chunk: Uint8Array): number {
    const part = chunk.subarray(0, BLOCK_BYTES - this.peerIvBytes)
    this.peerIv.set(part, this.peerIvBytes)
    this.peerIvBytes += part.length
    if (this.peerIvBytes === BLOCK_BYTES) this.decryption.start(this.peerIv)
    return part.length
  }

  private writeCopy(chunk: Uint8Array, iv: Uint8Array | undefined): boolean {
    const from = HEAD_ROOM + (iv?.length ?? 0)
    const buffer = new Uint8Array(from + chunk.length)
    if (iv) buffer.set(iv, HEAD_ROOM)
    const text = buffer.subarray(from)
    text.set(chunk)
    this.encryption.apply(text)
    return this.inner.write(buffer.subarray(HEAD_ROOM), HEAD_ROOM)
  }
}
