import type { Rate } from '../../contract/rate-limit.ts'
import type { MemoryBudget } from './memory-budget.ts'
import type { YamuxStream } from './stream.ts'

export interface SessionOptions {
  /** The client opens odd stream ids, the server even ones. */
  role: 'client' | 'server'
  /** Monotonic, in ms. */
  nowMs(): number
  /** The peer opened a stream; without it every such stream is reset. Attach at once or later. */
  onStream?(stream: YamuxStream): void
  /** Once; without an error when either side ended the link between two frames. */
  onClose?(error?: Error): void
  /** The link is gone as well: before `onClose`, with it, or when the peer has closed its side. */
  onLinkClose?(): void
  /** The answer to our ping. */
  onPong?(id: number): void
  /** Default: YAMUX_MAX_STREAMS. */
  maxStreams?: number
  /** Bytes that a stream's window may grow to; default: YAMUX_MAX_WINDOW. */
  maxWindow?: number
  /** Several sessions may share one; default: 64 MiB for this session. */
  memoryBudget?: MemoryBudget
  /** Frames that carry nothing; beyond it the session ends with YAMUX_FLOOD. Default: the constants of `limits.ts`. */
  idleFrames?: Rate
}
