import { HEAD_ROOM } from '../limits.ts'
import type { StreamHandler } from './byte-stream.ts'

interface Waiting {
  chunk: Uint8Array
  headRoom: number
  /** A head given at `attach`: the source has nothing to do with it. */
  isHead: boolean
}

/** An {@link Inlet} as plain data. */
export interface SavedInlet {
  /** Chunks as they wait: heads first, then what came from the source. */
  waiting: Uint8Array[]
  headCount: number
  /** Bytes that the last chunk can still take in. */
  spareBytes: number
  /** Size of the chunk that the reader has not given back; 0 for a head. */
  keptBytes: number
  isKeeping: boolean
  paused: boolean
  ended: boolean
  endDelivered: boolean
}

/** Memory for copies of small chunks, in bytes: a flood of tiny ones must not cost a multiple of its size. */
const MIN_BLOCK_BYTES = 256
const MAX_BLOCK_BYTES = 16 * 1024

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
  /** Room behind the last waiting chunk, in its block. */
  private spareBytes = 0
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
    this.spareBytes = 0
    this.bytesWaiting += chunk.length
    this.isLent = true
    return false
  }

  /** For an inlet that is not open: keeps a copy, with head room before it. `onRelease` will tell. */
  pushCopy(chunk: Uint8Array): void {
    if (this.closing !== undefined) return
    const { length } = chunk
    const last = this.waiting.at(-1)
    if (last === undefined || last.isHead || length > this.spareBytes) {
      const block = Math.max(MIN_BLOCK_BYTES, Math.min(MAX_BLOCK_BYTES, this.bytesWaiting))
      this.waitAsCopy(chunk, Math.max(0, block - length))
      return
    }
    const grown = new Uint8Array(last.chunk.buffer, last.chunk.byteOffset, last.chunk.length + length)
    grown.set(chunk, last.chunk.length)
    last.chunk = grown
    this.spareBytes -= length
    this.bytesWaiting += length
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
    const { paused, ended, endDelivered, kept } = this
    return {
      waiting: this.waiting.map(({ chunk }) => chunk),
      headCount: this.waiting.filter(({ isHead }) => isHead).length,
      spareBytes: this.waiting.at(-1)?.isHead === false ? this.spareBytes : 0,
      keptBytes: kept === undefined || kept.isHead ? 0 : kept.chunk.length,
      isKeeping: kept !== undefined,
      paused,
      ended,
      endDelivered,
    }
  }

  /** Before `attach`: what `save` gave. */
  load(saved: SavedInlet): void {
    for (const [index, chunk] of saved.waiting.entries()) {
      if (index < saved.headCount) {
        this.waiting.push({ chunk, headRoom: 0, isHead: true })
        this.bytesWaiting += chunk.length
      } else this.waitAsCopy(chunk, index === saved.waiting.length - 1 ? saved.spareBytes : 0)
    }
    if (saved.isKeeping) {
      this.kept = { chunk: new Uint8Array(saved.keptBytes), headRoom: 0, isHead: saved.keptBytes === 0 }
    }
    this.paused = saved.paused
    this.ended = saved.ended
    this.endDelivered = saved.endDelivered
  }

  private waitAsCopy(chunk: Uint8Array, spareBytes: number): void {
    const block = new Uint8Array(HEAD_ROOM + chunk.length + spareBytes)
    block.set(chunk, HEAD_ROOM)
    const copy = block.subarray(HEAD_ROOM, HEAD_ROOM + chunk.length)
    this.waiting.push({ chunk: copy, headRoom: HEAD_ROOM, isHead: false })
    this.bytesWaiting += chunk.length
    this.spareBytes = spareBytes
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
