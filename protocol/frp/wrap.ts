import type { Crypto } from '../../contract/runtime.ts'
import type { ByteStream } from '../stream/byte-stream.ts'
import { ThrottledStream, type TokenBucket, throttle } from '../stream/throttle.ts'
import { StreamWrapper } from '../stream/wrapper.ts'
import { CipherStream, encrypt } from './cipher.ts'
import type { WireProtocol } from './codec.ts'
import { ReframedStream } from './reframe.ts'
import { compress, SnappyStream } from './snappy.ts'

export interface WrapOptions {
  /** useEncryption, with the key of `deriveKey`. */
  key?: Uint8Array
  /** useCompression. */
  compression?: boolean
  /** The bandwidth limit of the proxy. */
  bucket?: TokenBucket
  /**
   * Count the bytes on the wire, as frpc does (bandwidthLimitMode client), instead of the user's, as frps does
   * (mode server).
   */
  bucketBelow?: boolean
  /** A limit that streams of several proxies share, on the user's bytes. */
  sharedBucket?: TokenBucket
  /** How the messages of a sudp connection are framed on `stream`, when the other end frames them otherwise. */
  reframe?: WireProtocol
}

/** What frp puts around a stream's payload. A sender's bytes are compressed, then encrypted, then sent. */
export function wrap(stream: ByteStream, options: WrapOptions, crypto: Crypto): ByteStream {
  const { key, compression, bucket, bucketBelow, sharedBucket, reframe } = options
  let wrapped = stream
  if (bucket && bucketBelow) wrapped = throttle(wrapped, bucket)
  if (key) wrapped = encrypt(wrapped, key, crypto)
  if (compression) wrapped = compress(wrapped)
  if (bucket && !bucketBelow) wrapped = throttle(wrapped, bucket)
  if (sharedBucket) wrapped = throttle(wrapped, sharedBucket)
  if (reframe) wrapped = new ReframedStream(wrapped, reframe)
  return wrapped
}

/**
 * State of what is between `wrapped` and `raw`, outermost first; undefined while bytes wait there that have no
 * place in it.
 */
export function saveWrap(wrapped: ByteStream, raw: ByteStream): Uint8Array[] | undefined {
  const saved: Uint8Array[] = []
  let stream = wrapped
  while (stream !== raw && stream instanceof StreamWrapper) {
    if (!stream.isSavable) return undefined
    if (isStateful(stream)) saved.push(stream.snapshot())
    stream = stream.below
  }
  return saved
}

/** As {@link wrap}, going on from `saveWrap`. */
export function reviveWrap(
  stream: ByteStream,
  options: WrapOptions,
  crypto: Crypto,
  saved: readonly Uint8Array[],
): ByteStream {
  const { key, compression, bucket, bucketBelow, sharedBucket, reframe } = options
  // Innermost first, as `wrap` builds it; popped as they are needed.
  const states = [...saved]
  const slow = (inner: ByteStream, limit: TokenBucket): ByteStream => {
    const state = states.pop()
    return state === undefined ? throttle(inner, limit) : ThrottledStream.restore(inner, limit, state)
  }
  let wrapped = stream
  if (bucket && bucketBelow) wrapped = slow(wrapped, bucket)
  const cipher = key === undefined ? undefined : states.pop()
  if (key && cipher) wrapped = CipherStream.restore(wrapped, key, crypto, cipher)
  const snappy = compression ? states.pop() : undefined
  if (snappy) wrapped = SnappyStream.restore(wrapped, snappy)
  if (bucket && !bucketBelow) wrapped = slow(wrapped, bucket)
  if (sharedBucket) wrapped = slow(wrapped, sharedBucket)
  const reframed = reframe === undefined ? undefined : states.pop()
  if (reframe && reframed) wrapped = ReframedStream.restore(wrapped, reframe, reframed)
  return wrapped
}

function isStateful(stream: StreamWrapper): stream is StreamWrapper & { snapshot(): Uint8Array } {
  return STATEFUL.some((kind) => stream instanceof kind)
}

const STATEFUL = [CipherStream, SnappyStream, ThrottledStream, ReframedStream]
