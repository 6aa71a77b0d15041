import type { ByteStream } from '../protocol/stream/byte-stream.ts'
import type { VisitorLeg } from './proxy.ts'

/** A user (or visitor) joined to a work connection. */
export interface LiveJoin {
  proxyName: string
  /** The user's connection itself, and what is wrapped around it: with the secret of a stcp or sudp proxy. */
  user: ByteStream
  wrappedUser: ByteStream
  /** How the user's leg is wrapped; undefined for a user who is no visitor of a secret proxy. */
  leg: VisitorLeg | undefined
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
