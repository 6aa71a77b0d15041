import { FrpError } from '../../contract/errors.ts'
import type { Runtime } from '../../contract/runtime.ts'
import type { Control } from '../control.ts'
import { askVisit, isRefusal, type VisitorConn, type VisitTarget } from './visitor-conn.ts'

/** How long somebody at a local port waits for a session that is down. */
export const LOCAL_WAIT_MS = 10_000

/** A visit that runs, and whose session waits until `release` is called. */
export interface OpenVisit extends VisitorConn {
  release(): void
}

/** The way to one relay: what opens visits there, over one session for all of them. */
export interface Way {
  /**
   * Opens a visit; a session that is down may take `waitMs` to come back. Rejects with VISIT_REFUSED, TIMEOUT, or
   * why there is no session.
   */
  open(target: VisitTarget, waitMs: number): Promise<OpenVisit>
  /** Ends what waits; running visits go with their session. */
  close(): void
}

/** Visits over a session that logged in: the client's own, or one that is kept up for them. */
export class LoggedInWay implements Way {
  private readonly runtime: Runtime
  private control: Control | undefined
  private isClosed = false
  private readonly waiting = new Set<() => void>()

  constructor(runtime: Runtime) {
    this.runtime = runtime
  }

  /** For `Service.onControl`. */
  readonly use = (control: Control | undefined): void => {
    this.control = control
    if (control !== undefined) this.wake()
  }

  async open(target: VisitTarget, waitMs: number): Promise<OpenVisit> {
    const untilMs = this.runtime.monotonicMs() + waitMs
    for (;;) {
      const control = await this.session(untilMs)
      const release = control.hold()
      try {
        return {
          ...(await askVisit(await control.openStream(), target, control.runId, control.wire, this.runtime)),
          release,
        }
      } catch (error) {
        release()
        // A session that broke under the question has a successor soon, and the visit did not begin.
        const isLost = this.control !== control && !isRefusal(error)
        if (!isLost || this.isClosed || this.runtime.monotonicMs() >= untilMs) throw error
      }
    }
  }

  close(): void {
    this.isClosed = true
    this.control = undefined
    this.wake()
  }

  /** The session that serves, or the next one; `untilMs` of the monotonic clock. Rejects with TIMEOUT or SESSION_ENDED. */
  session(untilMs: number): Promise<Control> {
    if (this.control !== undefined) return Promise.resolve(this.control)
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        deadline.cancel()
        this.waiting.delete(settle)
        if (this.control !== undefined) resolve(this.control)
        else if (this.isClosed) reject(new FrpError('SESSION_ENDED', 'the client is closing'))
        else reject(new FrpError('TIMEOUT', 'no session with the relay came up in time'))
      }
      const deadline = this.runtime.after(Math.max(0, untilMs - this.runtime.monotonicMs()), settle)
      this.waiting.add(settle)
      if (this.isClosed) settle()
    })
  }

  private wake(): void {
    for (const settle of [...this.waiting]) settle()
  }
}
