import { concat, Gathered } from '../../contract/bytes.ts'
import { FrpError } from '../../contract/errors.ts'
import type { Crypto } from '../../contract/runtime.ts'
import { HEAD_ROOM, MAX_AEAD_TEXT_BYTES } from '../limits.ts'
import type { ByteStream } from '../stream/byte-stream.ts'
import { type Fate, StreamWrapper } from '../stream/wrapper.ts'
import {
  type AeadAlgorithm,
  AeadDirection,
  DIRECTION_STATE_BYTES,
  nonceBytesOf,
  RECORD_HEAD_BYTES,
  sealedLength,
  TAG_BYTES,
} from './aead-direction.ts'

/** The ciphers that both ends know, in our order of preference: AES is native on every machine that matters. */
export const AEAD_ALGORITHMS = ['aes-256-gcm', 'xchacha20-poly1305'] as const satisfies readonly AeadAlgorithm[]
const KEY_BYTES = 32
const TRANSCRIPT_BYTES = 32

/** What the two hellos of a control connection agreed on. */
export interface Suite {
  algorithm: AeadAlgorithm
  /** SHA-256 over both hellos. */
  transcript: Uint8Array
}

/** Which end of the control connection we are. */
export type Role = 'client' | 'server'

const utf8 = new TextEncoder()
/** frp's names of the directions, by who writes. */
const DIRECTIONS: Readonly<Record<Role, string>> = { client: 'client-to-server', server: 'server-to-client' }

/** The key under which `writer` writes (pkg/util/net/conn.go); the token may be empty. 32 bytes. */
export function aeadKey(suite: Suite, token: string, writer: Role, crypto: Crypto): Uint8Array {
  const info = utf8.encode(`frp wire v2 control aead ${suite.algorithm} ${DIRECTIONS[writer]}`)
  return crypto.hkdfSha256(utf8.encode(token), suite.transcript, info, KEY_BYTES)
}

const SNAPSHOT_VERSION = 1
const WRITING = 1
const ENDED = 2
const READING = 4
/** Where the bits of the reading side begin. */
const READING_SHIFT = 4
/** Version, flags, algorithm, transcript, both directions; the partial record follows. */
const SNAPSHOT_BYTES = 3 + TRANSCRIPT_BYTES + 2 * DIRECTION_STATE_BYTES

/**
 * The control connection of wire protocol v2: golib's AEAD stream both ways. Each direction begins with its stream
 * nonce in clear, with the first bytes that are written. A record that does not verify resets the stream.
 */
export class AeadStream extends StreamWrapper {
  private readonly crypto: Crypto
  private readonly suite: Suite
  private readonly sealing: AeadDirection
  private readonly opening: AeadDirection
  private isWriting = false
  private isEnded = false
  /** The peer's stream nonce is known. */
  private isReading = false
  /** The first bytes of a stream nonce or a record that is not complete. */
  private readonly partial = new Gathered()

  constructor(inner: ByteStream, suite: Suite, token: string, role: Role, crypto: Crypto) {
    super(inner)
    const peer = role === 'client' ? 'server' : 'client'
    this.crypto = crypto
    this.suite = suite
    this.sealing = new AeadDirection(suite.algorithm, aeadKey(suite, token, role, crypto), crypto)
    this.opening = new AeadDirection(suite.algorithm, aeadKey(suite, token, peer, crypto), crypto)
  }

  /** The state, without keys: about 100 bytes and a partial record, at most 64 KiB. Take it when `isSavable`. */
  snapshot(): Uint8Array {
    const bytes = new Uint8Array(SNAPSHOT_BYTES + this.partial.length)
    const flags = (this.isWriting ? WRITING : 0) | (this.isEnded ? ENDED : 0) | (this.isReading ? READING : 0)
    bytes[0] = SNAPSHOT_VERSION
    bytes[1] = flags | (this.saveReading() << READING_SHIFT)
    bytes[2] = AEAD_ALGORITHMS.indexOf(this.suite.algorithm)
    bytes.set(this.suite.transcript, 3)
    bytes.set(this.sealing.save(), 3 + TRANSCRIPT_BYTES)
    bytes.set(this.opening.save(), 3 + TRANSCRIPT_BYTES + DIRECTION_STATE_BYTES)
    bytes.set(this.partial.bytes, SNAPSHOT_BYTES)
    return bytes
  }

  /** Goes on from a snapshot, over the stream that carries on; before `attach`. */
  static restore(inner: ByteStream, token: string, role: Role, crypto: Crypto, bytes: Uint8Array): AeadStream {
    const algorithm = AEAD_ALGORITHMS[bytes[2] ?? AEAD_ALGORITHMS.length]
    if (bytes[0] !== SNAPSHOT_VERSION || bytes.length < SNAPSHOT_BYTES || algorithm === undefined) {
      throw new RangeError(`snapshot of an AEAD stream: version ${bytes[0]}, ${bytes.length} bytes`)
    }
    const transcript = bytes.slice(3, 3 + TRANSCRIPT_BYTES)
    const stream = new AeadStream(inner, { algorithm, transcript }, token, role, crypto)
    const flags = bytes[1] ?? 0
    stream.isWriting = (flags & WRITING) !== 0
    stream.isEnded = (flags & ENDED) !== 0
    stream.isReading = (flags & READING) !== 0
    stream.loadReading(flags >> READING_SHIFT)
    stream.sealing.load(bytes.subarray(3 + TRANSCRIPT_BYTES, 3 + TRANSCRIPT_BYTES + DIRECTION_STATE_BYTES))
    stream.opening.load(bytes.subarray(3 + TRANSCRIPT_BYTES + DIRECTION_STATE_BYTES, SNAPSHOT_BYTES))
    stream.partial.append(bytes.subarray(SNAPSHOT_BYTES))
    return stream
  }

  override write(chunk: Uint8Array): boolean {
    if (this.isEnded || this.inlet.isClosed || chunk.length === 0) return true
    const nonce = this.isWriting ? undefined : this.crypto.randomBytes(nonceBytesOf(this.suite.algorithm))
    if (nonce !== undefined) this.sealing.start(nonce)
    this.isWriting = true
    const records = Math.ceil(chunk.length / MAX_AEAD_TEXT_BYTES)
    const from = HEAD_ROOM + (nonce?.length ?? 0)
    const buffer = new Uint8Array(from + chunk.length + records * (RECORD_HEAD_BYTES + TAG_BYTES))
    if (nonce !== undefined) buffer.set(nonce, HEAD_ROOM)
    try {
      this.seal(chunk, buffer.subarray(from))
    } catch (error) {
      this.failWith(error)
      return true
    }
    return this.inner.write(buffer.subarray(HEAD_ROOM), HEAD_ROOM)
  }

  override end(): void {
    this.isEnded = true
    this.inner.end()
  }

  override onEnd(): void {
    if (this.partial.length === 0) {
      super.onEnd()
      return
    }
    const what = this.isReading ? `record ${this.opening.records}` : 'its stream nonce'
    this.fail(new FrpError('CIPHER_TRUNCATED', `the stream ended after ${this.partial.length} bytes of ${what}`))
  }

  /** Gives the texts of all whole records as one chunk, in memory of their own. */
  protected override receive(chunk: Uint8Array): Fate {
    const texts: Uint8Array[] = []
    let failure: unknown
    try {
      for (let at = 0; at < chunk.length; ) at += this.read(chunk.subarray(at), texts)
    } catch (error) {
      failure = error
    }
    const text = concat(texts)
    const fate = text.length === 0 ? 'used' : this.deliver(text, 0)
    if (failure !== undefined) this.failWith(failure)
    return fate
  }

  /** Reads from the start of `rest`, at most to the end of a record; answers how many bytes. */
  private read(rest: Uint8Array, texts: Uint8Array[]): number {
    const { partial } = this
    const known = partial.length === 0 ? rest : partial.bytes
    const needed = this.neededFor(known)
    if (needed > known.length) {
      const from = partial.length
      const count = Math.min(needed - from, rest.length)
      partial.append(rest.subarray(0, count))
      if (partial.length < needed) return count
      // All that was needed is here; it may show that more is.
      const whole = partial.bytes
      if (this.neededFor(whole) === whole.length) this.take(whole, texts)
      return count
    }
    this.take(known.subarray(0, needed), texts)
    return needed
  }

  /** Of a nonce or record that begins with `known`: how many bytes it has, as far as that can be told. */
  private neededFor(known: Uint8Array): number {
    if (!this.isReading) return nonceBytesOf(this.suite.algorithm)
    if (known.length < RECORD_HEAD_BYTES) return RECORD_HEAD_BYTES
    return RECORD_HEAD_BYTES + sealedLength(known, this.opening.records)
  }

  private take(whole: Uint8Array, texts: Uint8Array[]): void {
    this.partial.drop()
    if (this.isReading) texts.push(this.opening.open(whole))
    else this.opening.start(whole)
    this.isReading = true
  }

  private seal(chunk: Uint8Array, out: Uint8Array): void {
    let to = 0
    for (let at = 0; at < chunk.length; at += MAX_AEAD_TEXT_BYTES) {
      const text = chunk.subarray(at, at + MAX_AEAD_TEXT_BYTES)
      const end = to + RECORD_HEAD_BYTES + text.length + TAG_BYTES
      this.sealing.seal(text, out.subarray(to, end))
      to = end
    }
  }

  private failWith(error: unknown): void {
    if (!(error instanceof FrpError)) throw error
    this.fail(error)
  }
}
