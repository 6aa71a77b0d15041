import { FrpError } from '../../contract/errors.ts'
import type { Link, StreamHandler } from './byte-stream.ts'
import { Inlet } from './inlet.ts'

/** Two connected streams in memory: what one writes the other reads, as a copy. */
export function pair(): [Link, Link] {
  const a = new PairEnd()
  const b = new PairEnd()
  a.peer = b
  b.peer = a
  return [a, b]
}

class PairEnd implements Link {
  peer!: PairEnd
  private readonly inlet = new Inlet(() => this.peer.drained())
  private lent = false
  private ended = false

  write(chunk: Uint8Array): boolean {
    if (this.ended || this.inlet.isClosed) return true
    const reader = this.peer.inlet
    if (reader.push(chunk.slice(), 0) || !reader.isLent) return true
    this.lent = true
    return false
  }

  end(): void {
    if (this.ended || this.inlet.isClosed) return
    this.ended = true
    this.peer.inlet.end()
    this.closeIfDone()
  }

  destroy(reason?: Error): void {
    if (this.inlet.isClosed) return
    this.inlet.close(reason ?? new FrpError('STREAM_ABORTED', 'stream aborted by this side'))
    this.peer.inlet.close(new FrpError('STREAM_RESET', 'stream reset by the other side', { cause: reason }))
  }

  pause(): void {
    this.inlet.pause()
  }

  resume(): void {
    this.inlet.resume()
    this.closeIfDone()
  }

  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.inlet.attach(handler, head)
    this.closeIfDone()
  }

  cork(): void {
    // Nothing to gain: a write is a call.
  }

  private drained(): void {
    if (!this.lent) return
    this.lent = false
    this.inlet.drained()
  }

  private closeIfDone(): void {
    if (!this.isDone() || !this.peer.isDone()) return
    this.inlet.close()
    this.peer.inlet.close()
  }

  private isDone(): boolean {
    return this.ended && this.peer.inlet.endDelivered
  }
}
