/**
 * The one stream contract: a TCP socket, a WebSocket, a yamux stream, or a wrapper around one.
 *
 * Bytes are handed over, not copied, and every hand-over says who owns the memory afterwards. At most one
 * chunk is on loan in each direction. `test/contract/byte-stream.ts` is the executable form of this page and
 * runs over every implementation.
 */
export interface ByteStream {
  /**
   * Sends `chunk`. `true`: it was sent or copied, the memory is the caller's again at once. `false`: the
   * stream keeps `chunk` until `onDrain`; until then the caller neither writes again nor touches it.
   * The stream may overwrite `chunk` and the `headRoom` bytes that lie before it in the same buffer
   * (headers, masks, ciphers), unless `headRoom` is `READ_ONLY`.
   * After `end()`, `destroy()` or `onClose` a write is dropped and answers `true`.
   */
  write(chunk: Uint8Array, headRoom?: number): boolean
  /** Half-close: FIN after what was written. Reading goes on. Legal while a chunk is on loan. */
  end(): void
  /** Resets both directions; what was not yet sent is dropped. The peer's `onClose` gets an error. */
  destroy(reason?: Error): void
  /** No `onData` and no `onEnd` from now until `resume()`; a yamux stream then grants no window. */
  pause(): void
  /**
   * Goes on after `pause()` or after an `onData` that answered `false` (whose memory is the source's again).
   * May deliver synchronously. Called from inside `onData` that then answers `false`, it means: keep the
   * memory that was handed over with me, and go on reading into other memory (what a demultiplexer does).
   */
  resume(): void
  /**
   * Sets the one reader; a second call replaces it (the hand-over that frp's protocol needs). `head` are
   * bytes that the last reader did not use: a copy that now belongs to the stream. They come first.
   * Unless paused, `head` and what waited are delivered before `attach` returns, `onEnd` and `onClose` too.
   */
  attach(handler: StreamHandler, head?: Uint8Array): void
}

export interface StreamHandler {
  /**
   * `true`: the memory is the source's again. `false`: the handler keeps it (and the `headRoom` bytes before
   * it), and the source waits for `resume()`. The handler may overwrite chunk and head room in either case.
   */
  onData(chunk: Uint8Array, headRoom: number): boolean
  /** The peer's FIN, after all its bytes. Comes at most once. Writing goes on. */
  onEnd(): void
  /** The chunk that a `write` kept is free again. Comes once for each `write` that answered `false`. */
  onDrain(): void
  /** Once, last. With an error unless both directions ended with FIN. `destroy()` brings it too, maybe at once. */
  onClose(error?: Error): void
}

/** What a multiplexer rides on: one connection to the peer. */
export interface Link extends ByteStream {
  /** Each chunk it delivers is memory of its own, which a reader may keep as well as copy. */
  readonly givesMemory?: boolean
  /**
   * The writer of this turn writes many small pieces: copy them into one batch and flush it at the end of
   * the turn, or before a large chunk. Calling it again in the same turn is free.
   */
  cork(): void
}

/** As `headRoom`: the bytes of `chunk` must not be changed either (a constant, memory that others read). */
export const READ_ONLY = -1
