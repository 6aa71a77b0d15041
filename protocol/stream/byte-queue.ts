/**
 * Bytes that wait to be parsed, as the chunks they came in. Taking and peeking copy only what spans chunks.
 * The queue keeps references: push copies of memory that its owner will use again.
 */
export class ByteQueue {
  /** Bytes in the queue. */
  length = 0
  private chunks: Uint8Array[] = []
  /** Index of the first chunk that still holds bytes; the front is trimmed now and then, not at each take. */
  private first = 0

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.chunks.push(chunk)
    this.length += chunk.length
  }

  /** The byte at `index`, which must be below `length`. */
  at(index: number): number {
    let offset = index
    for (let i = this.first; i < this.chunks.length; i++) {
      const chunk = this.chunks[i] as Uint8Array
      if (offset < chunk.length) return chunk[offset] as number
      offset -= chunk.length
    }
    throw new RangeError(`byte ${index} of ${this.length}`)
  }

  /** The first `count` bytes without removing them; `count` must not exceed `length`. */
  peek(count: number): Uint8Array {
    const head = this.chunks[this.first]
    if (head !== undefined && head.length >= count) return head.subarray(0, count)
    const out = new Uint8Array(count)
    let filled = 0
    for (let i = this.first; filled < count; i++) {
      const chunk = this.chunks[i]
      if (chunk === undefined) throw new RangeError(`peek of ${count} bytes, ${this.length} there`)
      const part = chunk.subarray(0, count - filled)
      out.set(part, filled)
      filled += part.length
    }
    return out
  }

  /** Removes and returns the first `count` bytes; `count` must not exceed `length`. */
  take(count: number): Uint8Array {
    const out = this.peek(count)
    this.skip(count)
    return out
  }

  /** Removes and returns what is left of the front chunk, at most `count` bytes; empty if there are none. */
  takeUpTo(count: number): Uint8Array {
    const head = this.chunks[this.first]
    if (head === undefined || count <= 0) return new Uint8Array(0)
    return this.take(Math.min(count, head.length))
  }

  /** Removes and returns everything. */
  takeAll(): Uint8Array {
    return this.take(this.length)
  }

  skip(count: number): void {
    if (count > this.length) throw new RangeError(`skip of ${count} bytes, ${this.length} there`)
    this.length -= count
    let left = count
    while (left > 0) {
      const head = this.chunks[this.first] as Uint8Array
      if (head.length > left) {
        this.chunks[this.first] = head.subarray(left)
        break
      }
      left -= head.length
      this.first += 1
    }
    this.trim()
  }

  clear(): void {
    this.chunks = []
    this.first = 0
    this.length = 0
  }

  private trim(): void {
    if (this.first === this.chunks.length) {
      this.chunks = []
      this.first = 0
    } else if (this.first > 64) {
      this.chunks = this.chunks.slice(this.first)
      this.first = 0
    }
  }
}
