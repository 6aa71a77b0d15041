import { FrpError } from '../contract/errors.ts'
import type { Deadline, Runtime } from '../contract/runtime.ts'
import type { Link } from '../protocol/stream/byte-stream.ts'

/** What both WebSocket links offer beyond a Link. */
export interface WebsocketLink extends Link {
  /** Whether the peer is edgefrp: then an empty text frame is FIN and close code 4000 a reset. */
  readonly isOwnPeer: boolean
  /** Largest message to accept, in bytes; may be raised after login. */
  maxMessageBytes: number
  /** Called for each pong. */
  onPong: (() => void) | undefined
  /** Sends a ping; it waits behind a chunk that is on its way. */
  ping(): void
  /** Pings every `intervalMs`; a peer that sends nothing for `timeoutMs` after one is reset with TIMEOUT. */
  startPings(intervalMs: number, timeoutMs: number, runtime: Pick<Runtime, 'after'>): void
}

export interface WebsocketOptions {
  /** The client masks what it sends. */
  role: 'client' | 'server'
  /** The peer said `edgefrp: 1` in the upgrade. */
  isOwnPeer: boolean
  /** Bytes that came behind the head of the upgrade. */
  head?: Uint8Array
  /** Default: the limit that holds before login. */
  maxMessageBytes?: number
}

/** Close code between our own ends: what TCP calls a reset. */
export const CLOSE_RESET = 4000
export const CLOSE_NORMAL = 1000
export const CLOSE_PROTOCOL_ERROR = 1002
export const CLOSE_TOO_LARGE = 1009

/** The error that a close code other than 1000 stands for; `undefined` code: no close frame came. */
export function closeError(code: number | undefined, cause?: unknown): FrpError {
  if (code === CLOSE_RESET) return new FrpError('STREAM_RESET', 'stream reset by the other side')
  const text = code === undefined ? 'without a close frame' : `with close code ${code}`
  return new FrpError('STREAM_CUT', `WebSocket closed ${text}`, { cause })
}

/** The clock of the pings: whatever arrives after a ping counts as its answer, a pong may queue behind much data. */
export class PingClock {
  /** To be set at each arrival. */
  hasHeard = false
  private readonly link: { ping(): void; destroy(reason: Error): void; readonly isHeld: boolean }
  private readonly intervalMs: number
  private readonly timeoutMs: number
  private readonly runtime: Pick<Runtime, 'after'>
  private deadline: Deadline

  /** `isHeld`: we do not read now, so that silence says nothing. */
  constructor(
    link: { ping(): void; destroy(reason: Error): void; readonly isHeld: boolean },
    intervalMs: number,
    timeoutMs: number,
    runtime: Pick<Runtime, 'after'>,
  ) {
    this.link = link
    this.intervalMs = intervalMs
    this.timeoutMs = timeoutMs
    this.runtime = runtime
    this.deadline = runtime.after(intervalMs, () => this.ping())
  }

  stop(): void {
    this.deadline.cancel()
  }

  private ping(): void {
    this.hasHeard = false
    this.deadline = this.runtime.after(this.timeoutMs, () => this.check())
    this.link.ping()
  }

  private check(): void {
    if (this.hasHeard || this.link.isHeld) {
      this.deadline = this.runtime.after(Math.max(0, this.intervalMs - this.timeoutMs), () => this.ping())
      return
    }
    this.link.destroy(new FrpError('TIMEOUT', `no answer to a WebSocket ping within ${this.timeoutMs} ms`))
  }
}
