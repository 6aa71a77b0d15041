import { FrpError } from '../../contract/errors.ts'
import { type ByteStream, READ_ONLY, type StreamHandler } from '../../protocol/stream/byte-stream.ts'

/** What was understood of the bytes so far, and how many of them belong to it. */
export interface Parsed<T> {
  value: T
  bytesUsed: number
}

interface Reading {
  /** Answers whether it has what it needs. */
  tryNow(): boolean
  fail(error: unknown): void
}

/**
 * Reads what a user says first on a stream (a head of HTTP, the greetings of SOCKS), piece by piece. Between
 * two reads the stream is paused; what was read too far is the next reader's, by `rest`.
 */
export class Opening implements StreamHandler {
  readonly stream: ByteStream
  /** Is called once if the stream closes before its next reader attached. */
  onGone: ((error: Error) => void) | undefined
  private readonly maxBytes: number
  private kept = new Uint8Array(0)
  private reading: Reading | undefined
  private drained: { resolve(): void; reject(error: Error): void } | undefined
  private closed: Error | undefined

  /** `maxBytes`: of what is read and not yet understood. */
  constructor(stream: ByteStream, maxBytes: number) {
    this.stream = stream
    this.maxBytes = maxBytes
    stream.pause()
    stream.attach(this)
  }

  /** Whether the stream is closed; `onGone` was told. */
  get isGone(): boolean {
    return this.closed !== undefined
  }

  /** Waits until `parse` answers; rejects with what it throws, LIMIT, or why no more bytes come. */
  read<T>(parse: (bytes: Uint8Array) => Parsed<T> | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const reading: Reading = {
        tryNow: () => {
          const found = parse(this.kept)
          if (found === undefined) return false
          this.kept = this.kept.subarray(found.bytesUsed)
          resolve(found.value)
          return true
        },
        fail: reject,
      }
      if (this.closed !== undefined) {
        reject(this.closed)
        return
      }
      this.reading = reading
      this.advance()
      if (this.reading === reading) this.stream.resume()
    })
  }

  /** The next `count` bytes. */
  take(count: number): Promise<Uint8Array> {
    return this.read((bytes) =>
      bytes.length < count ? undefined : { value: bytes.subarray(0, count), bytesUsed: count },
    )
  }

  /** Sends an answer; resolves when the memory is free again, so that the next reader gets no `onDrain` of ours. */
  send(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.closed !== undefined) reject(this.closed)
      else if (this.stream.write(bytes, READ_ONLY)) resolve()
      else this.drained = { resolve, reject }
    })
  }

  /** A copy of the bytes that were read too far: for the next reader's `attach`. */
  rest(): Uint8Array {
    return this.kept.slice()
  }

  onData(chunk: Uint8Array): boolean {
    const bytes = new Uint8Array(this.kept.length + chunk.length)
    bytes.set(this.kept)
    bytes.set(chunk, this.kept.length)
    this.kept = bytes
    this.advance()
    if (this.reading !== undefined && bytes.length > this.maxBytes) {
      this.fail(new FrpError('LIMIT', `${bytes.length} bytes of an opening, at most ${this.maxBytes}`))
    }
    if (this.reading === undefined) this.stream.pause()
    return true
  }

  onEnd(): void {
    this.fail(new FrpError('STREAM_CUT', 'the user ended before saying what it wants'))
  }

  onDrain(): void {
    const { drained } = this
    this.drained = undefined
    drained?.resolve()
  }

  onClose(error?: Error): void {
    this.closed = error ?? new FrpError('STREAM_CUT', 'the user is gone')
    this.drained?.reject(this.closed)
    this.drained = undefined
    this.fail(this.closed)
    this.onGone?.(this.closed)
  }

  private advance(): void {
    try {
      if (this.reading?.tryNow() === true) this.reading = undefined
    } catch (error) {
      this.fail(error)
    }
  }

  private fail(error: unknown): void {
    const { reading } = this
    this.reading = undefined
    reading?.fail(error)
  }
}
