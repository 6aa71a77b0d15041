import type { StreamHandler } from './byte-stream.ts'

interface Waiting {
  chunk: Uint8Array
  headRoom: number
  /** A head given at `attach`: the source has nothing to do with it. */
  isHead: boolean
}

/** An {@link Inlet} as plain data. */
export interface SavedInlet {
  /** Heads first, then what came from the source. */
  waiting: Uint8Array
  headBytes: number
  /** Size of the chunk that the reader has not given back; 0 for a head. */
  keptBytes: number
  isKeeping: boolean
  paused: boolean
  ended: boolean
  endDelivered: boolean
}

/**
 * The reading half that most streams share: the one handler, pause and resume, what waits, and the order
 * data, end, close. A stream pushes into it what arrived; the inlet delivers it when the reader may have it.
 */
export class Inlet {
  /** True once `onEnd` was called. */
  endDelivered = false
  /** Bytes that wait here for the reader. */
  bytesWaiting = 0
  /** After a `push` that answered `false`: the chunk is kept or waits, and `onRelease` will tell; else it was taken for good. */
  isLent = false
  private handler: StreamHandler | undefined
  private readonly waiting: Waiting[] = []
  private paused = false
  private kept: Waiting | undefined
  private resumedInside = false
  private delivering = false
  private ended = false
  private closing: { error: Error | undefined } | undefined
  private closeDelivered = false
  private readonly onRelease: (bytes: number, isTaken: boolean) => void

  /**
   * `onRelease` is called for each chunk that `push` did not get rid of at once, when the reader is done
   * with it; `isTaken`: the reader keeps the memory for good.
   */
  constructor(onRelease: (bytes: number, isTaken: boolean) => void) {
    this.onRelease = onRelease
  }

  /** Whether a chunk pushed now would reach the handler at once. */
  get isOpen(): boolean {
    return (
      this.handler !== undefined &&
      this.kept === undefined &&
      !this.paused &&
      !this.delivering &&
      this.waiting.length === 0
    )
  }

  /**
   * `true`: the memory is the source's again. `false`: it is not; `isLent` tells whether the chunk is kept or
   * waits here (`onRelease` will tell), or the reader took it for good.
   */
  push(chunk: Uint8Array, headRoom: number): boolean {
    if (this.closing !== undefined) return true
    if (this.isOpen) {
      const isUsed = this.deliver(chunk, headRoom, false)
      const isLent = !isUsed && !this.resumedInside
      // From inside, a new reader may have left a head, and the source may have ended.
      if (this.waiting.length > 0 || this.ended) this.flush()
      this.isLent = isLent
      return isUsed
    }
    this.waiting.push({ chunk, headRoom, isHead: false })
    this.bytesWaiting += chunk.length
    this.isLent = true
    return false
  }

  /** No more bytes will be pushed. */
  end(): void {
    this.ended = true
    this.flush()
  }

  /** Without an error only after `end` was delivered. With one, what waits is dropped. */
  close(error?: Error): void {
    if (this.closing !== undefined) return
    this.closing = { error }
    this.waiting.length = 0
    this.bytesWaiting = 0
    this.deliverClose()
  }

  get isClosed(): boolean {
    return this.closing !== undefined
  }

  get isPaused(): boolean {
    return this.paused
  }

  /** The chunk that the stream had on loan from its writer is free. */
  drained(): void {
    if (this.closing === undefined) this.handler?.onDrain()
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.resumedInside = true
    this.paused = false
    const kept = this.kept
    this.kept = undefined
    if (kept !== undefined && !kept.isHead) this.onRelease(kept.chunk.length, false)
    this.flush()
  }

  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.handler = handler
    if (head !== undefined && head.length > 0 && this.closing === undefined) {
      this.waiting.unshift({ chunk: head, headRoom: 0, isHead: true })
      this.bytesWaiting += head.length
    }
    if (this.closing !== undefined) this.deliverClose()
    else this.flush()
  }

  /** What must outlive sleep. The chunk that the reader keeps is the reader's to save; its size is ours. */
  save(): SavedInlet {
    let headBytes = 0
    for (const { chunk, isHead } of this.waiting) if (isHead) headBytes += chunk.length
    const waiting = new Uint8Array(this.bytesWaiting)
    let filled = 0
    for (const { chunk } of this.waiting) {
      waiting.set(chunk, filled)
      filled += chunk.length
    }
    const keptBytes = this.kept === undefined || this.kept.isHead ? 0 : this.kept.chunk.length
    const { paused, ended, endDelivered } = this
    return { waiting, headBytes, keptBytes, isKeeping: this.kept !== undefined, paused, ended, endDelivered }
  }

  /** Before `attach`: what `save` gave. */
  load(saved: SavedInlet): void {
    const head = saved.waiting.subarray(0, saved.headBytes)
    const rest = saved.waiting.subarray(saved.headBytes)
    if (head.length > 0) this.waiting.push({ chunk: head, headRoom: 0, isHead: true })
    if (rest.length > 0) this.waiting.push({ chunk: rest, headRoom: 0, isHead: false })
    this.bytesWaiting = saved.waiting.length
    if (saved.isKeeping) {
      this.kept = { chunk: new Uint8Array(saved.keptBytes), headRoom: 0, isHead: saved.keptBytes === 0 }
    }
    this.paused = saved.paused
    this.ended = saved.ended
    this.endDelivered = saved.endDelivered
  }

  private deliver(chunk: Uint8Array, headRoom: number, isHead: boolean): boolean {
    const handler = this.handler
    if (handler === undefined) return false
    this.delivering = true
    this.resumedInside = false
    const used = handler.onData(chunk, headRoom)
    this.delivering = false
    // Resumed from inside: the handler keeps that memory for good and wants more, in other memory.
    if (!used && !this.resumedInside) this.kept = { chunk, headRoom, isHead }
    return used
  }

  private flush(): void {
    if (this.delivering) return
    while (this.isReadable()) {
      const next = this.waiting.shift()
      if (next === undefined) break
      this.bytesWaiting -= next.chunk.length
      const used = this.deliver(next.chunk, next.headRoom, next.isHead)
      if (this.kept === undefined && !next.isHead) this.onRelease(next.chunk.length, !used)
    }
    if (this.ended && !this.endDelivered && this.isReadable() && this.waiting.length === 0) {
      this.endDelivered = true
      this.handler?.onEnd()
    }
  }

  private isReadable(): boolean {
    return this.handler !== undefined && !this.paused && this.kept === undefined && this.closing === undefined
  }

  private deliverClose(): void {
    if (this.closeDelivered || this.handler === undefined || this.closing === undefined) return
    this.closeDelivered = true
    this.handler.onClose(this.closing.error)
  }
}
