import type { Deadline, Runtime } from '../../../contract/runtime.ts'
import { nodeCrypto } from '../../../node/crypto.ts'
import type { ByteStream, StreamHandler } from '../../../protocol/stream/byte-stream.ts'

/** Reads everything, and can refuse to. */
export class Reader implements StreamHandler {
  readonly chunks: Uint8Array[] = []
  isEnded = false
  closes = 0
  error: Error | undefined
  drains = 0
  /** How often to answer false: the chunk is kept until `stream.resume()`. */
  keepNext = 0
  kept: Uint8Array | undefined
  onChunk: ((chunk: Uint8Array) => void) | undefined

  onData(chunk: Uint8Array): boolean {
    this.chunks.push(chunk.slice())
    this.onChunk?.(chunk)
    if (this.keepNext > 0) {
      this.keepNext -= 1
      this.kept = chunk
      return false
    }
    // Whoever answers true gives the memory back: the source may find it overwritten.
    chunk.fill(0xaa)
    return true
  }

  onEnd(): void {
    this.isEnded = true
  }

  onDrain(): void {
    this.drains += 1
  }

  onClose(error?: Error): void {
    this.closes += 1
    this.error = error
  }

  get bytes(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.chunks))
  }
}

/**
 * The stream below a wrapper, by hand: records what is written and delivers what a test says. It overwrites
 * what was written and answered true, as a stream may, and what it delivered and got back.
 */
export class Below implements ByteStream {
  readonly written: Uint8Array[] = []
  handler: StreamHandler | undefined
  isEnded = false
  isPaused = false
  destroyed: Error | undefined
  isDestroyed = false
  /** Answer false to the next so many writes. */
  keepNext = 0
  lent: Uint8Array | undefined
  resumes = 0
  isWaiting = false

  write(chunk: Uint8Array, headRoom = 0): boolean {
    if (this.lent) throw new Error('a write while a chunk is on loan')
    if (this.isEnded) throw new Error('a write after the end')
    this.written.push(chunk.slice())
    if (this.keepNext > 0) {
      this.keepNext -= 1
      this.lent = chunk
      return false
    }
    if (headRoom >= 0) new Uint8Array(chunk.buffer, chunk.byteOffset - headRoom, headRoom + chunk.length).fill(0xbb)
    return true
  }

  end(): void {
    if (this.isEnded) throw new Error('ended twice')
    this.isEnded = true
  }

  destroy(reason?: Error): void {
    if (this.isDestroyed) return
    this.isDestroyed = true
    this.destroyed = reason
    this.handler?.onClose(reason ?? new Error('destroyed'))
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    this.isWaiting = false
    this.resumes += 1
  }

  attach(handler: StreamHandler): void {
    this.handler = handler
  }

  /** `false`: the wrapper wants no more until it resumes. */
  deliver(bytes: Uint8Array, headRoom = 0): boolean {
    if (this.isPaused || this.isWaiting) throw new Error('delivered to one who does not read')
    const buffer = new Uint8Array(headRoom + bytes.length)
    buffer.set(bytes, headRoom)
    this.isWaiting = true
    const before = this.resumes
    const chunk = buffer.subarray(headRoom)
    const used = this.handler?.onData(chunk, headRoom) ?? true
    if (used) {
      chunk.fill(0xcc)
      this.isWaiting = false
    } else if (this.resumes > before) this.isWaiting = false
    return !this.isWaiting
  }

  drain(): void {
    this.lent?.fill(0xdd)
    this.lent = undefined
    this.handler?.onDrain()
  }

  get bytes(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.written))
  }
}

/** Time that moves when a test says so. */
export class ManualRuntime implements Runtime {
  now = 0
  readonly crypto = nodeCrypto
  readonly log = {
    trace() {},
    debug() {},
    info() {},
    warn() {},
    error() {},
    enabled: () => false,
    child: () => this.log,
  } as Runtime['log']
  private open: { at: number; run: () => void }[] = []

  nowMs(): number {
    return this.now
  }

  monotonicMs(): number {
    return this.now
  }

  after(delayMs: number, run: () => void): Deadline {
    const deadline = { at: this.now + delayMs, run }
    this.open.push(deadline)
    return {
      cancel: () => {
        this.open = this.open.filter((one) => one !== deadline)
      },
    }
  }

  get deadlines(): number {
    return this.open.length
  }

  /** Moves on to the next deadline and runs it; `false` if there is none. */
  step(): boolean {
    this.open.sort((a, b) => a.at - b.at)
    const next = this.open.shift()
    if (next === undefined) return false
    this.now = Math.max(this.now, next.at)
    next.run()
    return true
  }
}

/** Crypto whose random bytes are given. */
export function fixedRandom(...values: Uint8Array[]) {
  return { ...nodeCrypto, randomBytes: (length: number) => values.shift()?.slice() ?? nodeCrypto.randomBytes(length) }
}

/** `bytes` in pieces that end at `cuts`. */
export function cutAt(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  const pieces: Uint8Array[] = []
  let from = 0
  for (const place of [...places, bytes.length]) {
    if (place > from) pieces.push(bytes.slice(from, place))
    from = place
  }
  return pieces
}
