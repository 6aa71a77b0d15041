import type { YamuxStream } from './stream.ts'

interface Holder {
  /** The stream that holds most bytes; undefined if none holds any. */
  heaviest(): YamuxStream | undefined
}

/**
 * What the streams of one or several sessions may cost together, in bytes: for each stream what it holds, or
 * what its window has grown beyond yamux's first 256 KiB, whichever is more.
 */
export class MemoryBudget {
  /** Bytes charged now. */
  used = 0
  readonly limit: number
  /** Windows grow only up to here, so that fast readers leave room for others. */
  readonly growLimit: number
  /** The sessions that share it. */
  readonly holders = new Set<Holder>()

  constructor(limit: number, growLimit = limit) {
    this.limit = limit
    this.growLimit = growLimit
  }

  /** Bytes charged to this budget and to others that share its limit. */
  get total(): number {
    return this.used
  }

  get isOver(): boolean {
    return this.total > this.limit
  }

  /** Whether a window may grow by so much. */
  allows(more: number): boolean {
    return this.total + more <= this.growLimit
  }

  heaviest(): YamuxStream | undefined {
    let most: YamuxStream | undefined
    for (const holder of this.holders) {
      const stream = holder.heaviest()
      if (stream !== undefined && stream.heldBytes > (most?.heldBytes ?? 0)) most = stream
    }
    return most
  }
}
