import type { ByteStream, StreamHandler } from './byte-stream.ts'

/** Bytes that passed a join, added as they pass; several joins may share one. */
export interface Traffic {
  /** From `a` to `b`. */
  forward: number
  /** From `b` to `a`. */
  backward: number
}

export interface JoinOptions {
  traffic?: Traffic
  /** Called once, when both streams are closed; with the first error of either. */
  onClose?: (error?: Error) => void
  /**
   * What `b` ends is ended for good: `b` is a stock frp peer, whose FIN means that it reads no more
   * (golib io.Join closes both sides at the first end of file).
   */
  endOfBIsClose?: boolean
  /** The same for `a`: a visitor at a stock frpc. */
  endOfAIsClose?: boolean
  /** Bytes that were read from `a` before and belong in front. A copy; the join owns it. */
  headOfA?: Uint8Array
  headOfB?: Uint8Array
}

/**
 * Carries bytes, FIN, reset and back-pressure between two streams: the only copy loop in the system.
 * A FIN on one side becomes a FIN on the other; an error on one side resets the other.
 */
export function join(a: ByteStream, b: ByteStream, options: JoinOptions = {}): void {
  const done = new Closing(options.onClose)
  const traffic = options.traffic ?? { forward: 0, backward: 0 }
  const left = new Leg(a, b, traffic, true, options.endOfAIsClose ?? false, done)
  const right = new Leg(b, a, traffic, false, options.endOfBIsClose ?? false, done)
  a.attach(left, options.headOfA)
  b.attach(right, options.headOfB)
}

class Closing {
  private open = 2
  private first: Error | undefined
  private readonly report: ((error?: Error) => void) | undefined

  constructor(report: ((error?: Error) => void) | undefined) {
    this.report = report
  }

  closed(error: Error | undefined): void {
    this.first ??= error
    this.open -= 1
    if (this.open === 0) this.report?.(this.first)
  }
}

/** Reads `from`, writes `to`, and tells `from` when `to` can take more. */
class Leg implements StreamHandler {
  private readonly from: ByteStream
  private readonly to: ByteStream
  private readonly traffic: Traffic
  private readonly forward: boolean
  private readonly endIsClose: boolean
  private readonly done: Closing

  constructor(
    from: ByteStream,
    to: ByteStream,
    traffic: Traffic,
    forward: boolean,
    endIsClose: boolean,
    done: Closing,
  ) {
    this.from = from
    this.to = to
    this.traffic = traffic
    this.forward = forward
    this.endIsClose = endIsClose
    this.done = done
  }

  onData(chunk: Uint8Array, headRoom: number): boolean {
    if (this.forward) this.traffic.forward += chunk.length
    else this.traffic.backward += chunk.length
    return this.to.write(chunk, headRoom)
  }

  onEnd(): void {
    this.to.end()
    if (this.endIsClose) this.from.end()
  }

  /** `from` took the chunk that it had on loan: it is `to` who may read on. */
  onDrain(): void {
    this.to.resume()
  }

  onClose(error?: Error): void {
    if (error) this.to.destroy(error)
    this.done.closed(error)
  }
}
