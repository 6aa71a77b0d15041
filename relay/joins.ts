import type { ByteStream } from '../protocol/stream/byte-stream.ts'

/** A user (or visitor) joined to a work connection. */
export interface LiveJoin {
  proxyName: string
  user: ByteStream
  /** The work connection itself, and what is wrapped around it. */
  work: ByteStream
  wrapped: ByteStream
}

/** The joins of a relay that are running: what a relay that sleeps has to save beside its connections. */
export class Joins {
  private readonly running = new Set<LiveJoin>()

  add(join: LiveJoin): void {
    this.running.add(join)
  }

  delete(join: LiveJoin): void {
    this.running.delete(join)
  }

  [Symbol.iterator](): IterableIterator<LiveJoin> {
    return this.running.values()
  }

  get size(): number {
    return this.running.size
  }
}
