import { FrpError } from '../../contract/errors.ts'
import type { Deadline, Runtime } from '../../contract/runtime.ts'
import type { Session } from './session.ts'

export interface KeepAliveOptions {
  /** Between two pings, in ms; frp: transport.tcpMuxKeepaliveInterval, 30 s. 0 or less: no pings. */
  intervalMs: number
  /** For an answer, in ms; yamux: ConnectionWriteTimeout, 10 s. */
  timeoutMs: number
}

/** Pings a session at intervals and says once when an answer does not come. The only part with a timer. */
export class KeepAlive {
  private readonly session: Session
  private readonly runtime: Runtime
  private readonly options: KeepAliveOptions
  private readonly onDead: (error: FrpError) => void
  private deadline: Deadline | undefined
  private pingId: number | undefined
  private isStopped = false

  constructor(session: Session, runtime: Runtime, options: KeepAliveOptions, onDead: (error: FrpError) => void) {
    this.session = session
    this.runtime = runtime
    this.options = options
    this.onDead = onDead
    this.deadline = this.wait()
  }

  /** To be called with what the session's `onPong` gives. */
  pong(id: number): void {
    if (this.isStopped || id !== this.pingId) return
    this.pingId = undefined
    this.deadline?.cancel()
    this.deadline = this.wait()
  }

  stop(): void {
    this.isStopped = true
    this.deadline?.cancel()
  }

  private wait(): Deadline | undefined {
    if (this.options.intervalMs <= 0) return undefined
    return this.runtime.after(this.options.intervalMs, () => this.ping())
  }

  private ping(): void {
    if (this.isStopped) return
    if (this.session.isClosed) {
      this.stop()
      return
    }
    this.deadline = this.runtime.after(this.options.timeoutMs, () => this.miss())
    this.pingId = this.session.nextPingId
    this.session.ping()
  }

  private miss(): void {
    if (this.isStopped) return
    this.stop()
    if (this.session.isClosed) return
    this.onDead(
      new FrpError('YAMUX_KEEPALIVE', `yamux ping ${this.pingId} not answered in ${this.options.timeoutMs} ms`),
    )
  }
}
