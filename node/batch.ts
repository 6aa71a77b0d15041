import { giveBuffer, takeBuffer } from './read-buffer.ts'

/** Small writes of one turn, copied one behind the other into a 64 KiB buffer with head room before it. */
export class Batch {
  length = 0
  private buffer: Uint8Array | undefined
  private readonly inFlight: Uint8Array[] = []

  /** Whether `length` bytes more have room. */
  fits(length: number): boolean {
    return this.buffer === undefined || this.length + length <= this.buffer.length
  }

  /** Copies `chunk`, which must fit. */
  append(chunk: Uint8Array): void {
    this.buffer ??= takeBuffer(1)
    this.buffer.set(chunk, this.length)
    this.length += chunk.length
  }

  /** What was gathered, to be sent now; the memory stays taken until `sent` or `allSent`. */
  take(): Uint8Array {
    const buffer = this.buffer
    if (buffer === undefined) return new Uint8Array(0)
    const bytes = buffer.subarray(0, this.length)
    this.inFlight.push(buffer)
    this.buffer = undefined
    this.length = 0
    return bytes
  }

  /** Everything that was taken has left. */
  allSent(): void {
    for (let buffer = this.inFlight.pop(); buffer !== undefined; buffer = this.inFlight.pop()) giveBuffer(buffer)
  }
}
