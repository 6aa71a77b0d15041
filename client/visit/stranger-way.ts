import type { FrpcOptions } from '../../config/frpc.ts'
import { FrpError } from '../../contract/errors.ts'
import type { Runtime } from '../../contract/runtime.ts'
import type { WireProtocol } from '../../protocol/frp/codec.ts'
import { BackOff } from '../back-off.ts'
import type { Carrier } from '../carrier.ts'
import { Connector } from '../connector.ts'
import { keepAliveTimes } from '../keep-alive-times.ts'
import { pause } from '../pause.ts'
import { askVisit, isRefusal, type VisitorConn, type VisitTarget } from './visitor-conn.ts'
import type { OpenVisit, Way } from './way.ts'

/**
 * Visits of one service by its key, or of a public one, without a login. The connection is made for the first
 * visit and kept: a relay lets a stranger have one stream, and 10 s, until a visit was accepted.
 */
export class StrangerWay implements Way {
  private readonly options: FrpcOptions
  private readonly runtime: Runtime
  private readonly random: () => number
  private readonly closing = new AbortController()
  /** A connection on which a visit was accepted. */
  private carrier: Carrier | undefined
  /** The visit that a connection is being made for. */
  private first: Promise<VisitorConn> | undefined

  /** `options` name the server; `random` answers uniformly from [0, 1). */
  constructor(options: FrpcOptions, runtime: Runtime, random: () => number = Math.random) {
    this.options = options
    this.runtime = runtime
    this.random = random
  }

  async open(target: VisitTarget, waitMs: number): Promise<OpenVisit> {
    const untilMs = this.runtime.monotonicMs() + waitMs
    const backOff = new BackOff(this.random)
    for (;;) {
      try {
        return { ...(await this.attempt(target)), release: () => undefined }
      } catch (error) {
        if (this.closing.signal.aborted) throw this.closing.signal.reason
        const delayMs = backOff.afterFailure()
        if (isRefusal(error) || this.runtime.monotonicMs() + delayMs > untilMs) throw error
        await pause(delayMs, this.runtime, this.closing.signal)
      }
    }
  }

  close(): void {
    this.closing.abort(new FrpError('SESSION_ENDED', 'the client is closing'))
    this.carrier?.close()
  }

  private get wire(): WireProtocol {
    return this.options.transport.wireProtocol
  }

  private async attempt(target: VisitTarget): Promise<VisitorConn> {
    // The answer to the first one holds for all that came meanwhile: a wrong key is tried once.
    if (this.first !== undefined) await this.first
    if (this.carrier !== undefined) return askVisit(await this.carrier.open(), target, '', this.wire, this.runtime)
    if (this.first !== undefined) return this.attempt(target)
    const first = this.connect(target)
    this.first = first
    try {
      return await first
    } finally {
      this.first = undefined
    }
  }

  private async connect(target: VisitTarget): Promise<VisitorConn> {
    const { signal } = this.closing
    const carrier = await new Connector(this.options, this.options, this.runtime).connect(signal)
    let lost: Error | undefined
    carrier.onClose = (error) => {
      lost = error
      if (this.carrier === carrier) this.carrier = undefined
    }
    try {
      const visit = await askVisit(await carrier.open(), target, '', this.wire, this.runtime)
      signal.throwIfAborted()
      const keepAlive = keepAliveTimes(this.options.given, this.options, '', visit.features)
      if (keepAlive !== undefined) carrier.keepAlive(keepAlive)
      if (lost === undefined) this.carrier = carrier
      return visit
    } catch (error) {
      carrier.close()
      // What broke the connection says more than that its streams are over.
      throw lost ?? error
    }
  }
}
