import { YAMUX_ACCEPT_BACKLOG } from '../limits.ts'
import type { YamuxStream } from './stream.ts'

/**
 * Streams whose opening has not been answered, by the peer or by us (yamux: AcceptBacklog). frp resets what exceeds
 * its own, so our SYNs beyond it wait for answers.
 */
export class Backlog {
  unansweredIn = 0
  unansweredOut = 0
  private readonly held: YamuxStream[] = []

  get isFull(): boolean {
    return this.unansweredIn >= YAMUX_ACCEPT_BACKLOG
  }

  /** The peer's; the ACK has still to leave. */
  incoming(stream: YamuxStream): void {
    stream.isUnanswered = true
    stream.isAckDue = true
    this.unansweredIn += 1
    stream.schedule()
  }

  /** Ours; the SYN has still to leave. */
  outgoing(stream: YamuxStream): void {
    stream.isSynDue = true
    stream.isOurs = true
    if (this.unansweredOut >= YAMUX_ACCEPT_BACKLOG) {
      stream.isSynHeld = true
      this.held.push(stream)
    } else this.release(stream)
  }

  /** Answered by either side, or gone. */
  answered(stream: YamuxStream): void {
    if (stream.isSynHeld) {
      stream.isSynHeld = false
      this.held.splice(this.held.indexOf(stream), 1)
    }
    if (!stream.isUnanswered) return
    stream.isUnanswered = false
    if (!stream.isOurs) {
      this.unansweredIn -= 1
      return
    }
    this.unansweredOut -= 1
    const next = this.held.shift()
    if (next === undefined) return
    next.isSynHeld = false
    this.release(next)
  }

  clear(): void {
    this.held.length = 0
  }

  save(): number[] {
    return this.held.map((stream) => stream.id)
  }

  /** After all streams were read: `held` as `save` gave them. */
  load(streams: Iterable<YamuxStream>, held: YamuxStream[]): void {
    for (const stream of streams) {
      if (!stream.isUnanswered) continue
      if (stream.isOurs) this.unansweredOut += 1
      else this.unansweredIn += 1
    }
    this.held.push(...held)
  }

  private release(stream: YamuxStream): void {
    stream.isUnanswered = true
    this.unansweredOut += 1
    stream.schedule()
  }
}
