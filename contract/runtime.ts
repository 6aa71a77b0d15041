/** What a runtime (Node, a Durable Object) lends to the rooms that know no runtime. */

/** A thing that will happen; cancelling twice, or after it happened, is harmless. */
export interface Deadline {
  cancel(): void
}

/** The authenticated ciphers that a runtime has: keys of 32 bytes, nonces of 12, tags of 16 (RFC 5116, RFC 8439). */
export type Aead = 'aes-256-gcm' | 'chacha20-poly1305'

/** Primitives that both runtimes have as synchronous native code. All byte arguments are only read. */
export interface Crypto {
  randomBytes(length: number): Uint8Array
  md5(data: Uint8Array): Uint8Array
  sha256(data: Uint8Array): Uint8Array
  /** PBKDF2 with HMAC-SHA-1. */
  pbkdf2Sha1(secret: Uint8Array, salt: Uint8Array, iterations: number, length: number): Uint8Array
  hkdfSha256(key: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array
  /** AES-128 in CBC mode without padding; `data.length` is a multiple of 16. */
  aesCbcEncrypt(key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array
  /** AES-128 in ECB mode without padding; `data.length` is a multiple of 16. */
  aesEcbEncrypt(key: Uint8Array, data: Uint8Array): Uint8Array
  /** The ciphertext of `text` and behind it the tag, which covers `aad` too. */
  aeadSeal(aead: Aead, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, text: Uint8Array): Uint8Array
  /** What `aeadSeal` was given; undefined: the tag says that something of it is another. */
  aeadOpen(aead: Aead, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined
  /** Compares in a time that depends on the lengths only; different lengths are unequal. */
  timingSafeEqual(a: Uint8Array, b: Uint8Array): boolean
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error'

/** Where lines for people go. A line is one event: control characters in it are escaped by the runtime. */
export interface Log {
  trace(message: string): void
  debug(message: string): void
  info(message: string): void
  warn(message: string): void
  error(message: string): void
  /** Whether a line of this level would be written; ask before building a costly one. */
  enabled(level: LogLevel): boolean
  /** The same log with `[prefix]` before each line, as frp prefixes run id and proxy name. */
  child(prefix: string): Log
}

export interface Runtime {
  /** Unix time in ms: for the wire and for people, never for measuring. */
  nowMs(): number
  /** A clock in ms that never jumps, with an arbitrary zero: for deadlines and intervals. */
  monotonicMs(): number
  /**
   * Runs `run` once, `delayMs` from now. One timer of the runtime serves all deadlines, and it is armed only
   * while one is open: a Durable Object may sleep exactly when none is.
   */
  after(delayMs: number, run: () => void): Deadline
  readonly crypto: Crypto
  readonly log: Log
}
