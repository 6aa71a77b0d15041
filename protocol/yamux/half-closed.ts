import { FrpError } from '../../contract/errors.ts'
import { YAMUX_HALF_CLOSED_MS } from '../limits.ts'
import type { YamuxStream } from './stream.ts'

/** Streams that we ended and the peer did not. frp resets them 5 minutes after its FIN; here, if they are silent. */
export class HalfClosed {
  /** With the time of our FIN or of the last look, in ms; oldest first. */
  private readonly sinceMs = new Map<YamuxStream, number>()

  add(stream: YamuxStream, nowMs: number): void {
    this.sinceMs.delete(stream)
    this.sinceMs.set(stream, nowMs)
  }

  delete(stream: YamuxStream): void {
    this.sinceMs.delete(stream)
  }

  clear(): void {
    this.sinceMs.clear()
  }

  /** Resets those that were silent for too long; the time of the next look, in ms. */
  tick(nowMs: number): number | undefined {
    for (const [stream, sinceMs] of this.sinceMs) {
      if (nowMs - sinceMs < YAMUX_HALF_CLOSED_MS) return sinceMs + YAMUX_HALF_CLOSED_MS
      if (stream.hasHeard) {
        stream.hasHeard = false
        this.add(stream, nowMs)
      } else {
        const text = `yamux stream ${stream.id}: no FIN from the peer within ${YAMUX_HALF_CLOSED_MS} ms after ours`
        stream.destroy(new FrpError('TIMEOUT', text))
      }
    }
    return undefined
  }

  /** Stream id and age in ms, in turns. */
  save(nowMs: number): number[] {
    const values: number[] = []
    for (const [stream, sinceMs] of this.sinceMs) values.push(stream.id, Math.max(0, Math.round(nowMs - sinceMs)))
    return values
  }

  load(values: number[], nowMs: number, streamOf: (id: number) => YamuxStream): void {
    for (let i = 0; i + 1 < values.length; i += 2) {
      this.add(streamOf(values[i] as number), nowMs - (values[i + 1] as number))
    }
  }
}
