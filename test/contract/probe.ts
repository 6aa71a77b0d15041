import type { ByteStream, StreamHandler } from '../../protocol/stream/byte-stream.ts'

/** What a reader does with a chunk: gives it back, keeps it until `resume`, or keeps it for good. */
export type Answer = 'use' | 'keep' | 'take'

/** What a reader scribbles over memory that it may overwrite. */
const SCRIBBLE = 0xee

/** Reads and writes one end of a stream, by the letter of the contract, and notes all that happens. */
export class Probe implements StreamHandler {
  readonly stream: ByteStream
  readonly events: string[] = []
  answer: Answer = 'use'
  bytesRead = 0
  ends = 0
  closes = 0
  drains = 0
  /** Writes that answered false. */
  refusals = 0
  closeError: Error | undefined
  /** The chunk that was kept last, and a copy of what was in it. */
  kept: { chunk: Uint8Array; copy: Uint8Array } | undefined
  /** Called inside onData, after the chunk was noted; may change the answer. */
  onChunk: ((chunk: Uint8Array) => void) | undefined
  private readonly taken: Uint8Array[] = []
  private readonly waiters: { isDone: () => boolean; done: () => void }[] = []
  private drainWaiter: (() => void) | undefined

  constructor(stream: ByteStream, attaches = true) {
    this.stream = stream
    if (attaches) stream.attach(this)
  }

  /** All bytes so far. Chunks that were taken for good are looked at only now. */
  get received(): Uint8Array {
    const all = new Uint8Array(this.bytesRead)
    let filled = 0
    for (const chunk of this.taken) {
      all.set(chunk, filled)
      filled += chunk.length
    }
    return all
  }

  onData(chunk: Uint8Array, headRoom: number): boolean {
    this.bytesRead += chunk.length
    this.events.push('data')
    const { answer } = this
    if (answer === 'take') {
      this.taken.push(chunk)
      this.stream.resume()
    } else {
      const copy = chunk.slice()
      this.taken.push(copy)
      if (answer === 'keep') this.kept = { chunk, copy }
      else scribble(chunk, headRoom)
    }
    this.onChunk?.(chunk)
    this.check()
    return answer === 'use'
  }

  onEnd(): void {
    this.ends += 1
    this.events.push('end')
    this.check()
  }

  onDrain(): void {
    this.drains += 1
    this.events.push('drain')
    const waiter = this.drainWaiter
    this.drainWaiter = undefined
    waiter?.()
    this.check()
  }

  onClose(error?: Error): void {
    this.closes += 1
    this.closeError = error
    this.events.push('close')
    this.check()
  }

  /** Resolves as soon as `isDone` holds, looked at whenever something happens here. */
  until(isDone: () => boolean): Promise<void> {
    return new Promise((done) => {
      this.waiters.push({ isDone, done })
      this.check()
    })
  }

  /** Writes a copy of `bytes`; memory that is ours again is overwritten at once. Resolves when the next write may come. */
  async write(bytes: Uint8Array, headRoom = 32): Promise<void> {
    const drained = this.tryWrite(bytes, headRoom)
    if (drained !== undefined) await drained
  }

  /** Writes a copy of `bytes`; undefined: it was taken, else resolves when the loan is over. */
  tryWrite(bytes: Uint8Array, headRoom = 32): Promise<void> | undefined {
    const memory = new Uint8Array(headRoom + bytes.length)
    memory.set(bytes, headRoom)
    const chunk = memory.subarray(headRoom)
    if (this.stream.write(chunk, headRoom)) {
      memory.fill(SCRIBBLE)
      return undefined
    }
    this.refusals += 1
    return new Promise((resolve) => {
      this.drainWaiter = () => {
        memory.fill(SCRIBBLE)
        resolve()
      }
    })
  }

  private check(): void {
    for (const waiter of this.waiters.splice(0)) {
      if (waiter.isDone()) waiter.done()
      else this.waiters.push(waiter)
    }
  }
}

function scribble(chunk: Uint8Array, headRoom: number): void {
  new Uint8Array(chunk.buffer, chunk.byteOffset - headRoom, headRoom + chunk.length).fill(SCRIBBLE)
}

/** Turns of the event loop: for what must not happen, there is no event to wait for. */
export async function turns(count = 30): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Bytes that show where they belong. */
export function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed >>> 0
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

/** Whether both hold the same bytes; quicker than `toEqual` and no flood of numbers when not. */
export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
