import type { ProxyOptions } from '../../config/proxies.ts'
import { messageOf } from '../../contract/errors.ts'
import type { Deadline, Log, Runtime } from '../../contract/runtime.ts'
import type { Outgoing, StartWorkConn } from '../../protocol/frp/messages.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { HealthMonitor } from '../health.ts'
import { newProxyMessage } from './new-proxy.ts'

/** The states of a proxy, spelled as frp's admin API shows them. */
export type Phase = 'new' | 'wait start' | 'start error' | 'running' | 'check failed' | 'closed'

/** frp, client/proxy/proxy_wrapper.go waitResponseTimeout: NewProxy is sent again without an answer. */
export const ANSWER_MS = 20_000
/** frp, startErrTimeout: a refused proxy is asked for again. */
const REFUSED_RETRY_MS = 30_000

/**
 * From NewProxy or CloseProxy to the line about the check behind it: the relay needs a moment to act on it, and who takes the
 * line as the cue to send users must not outrun it.
 */
const CHECK_TOLD_MS = 50

/** A work connection that the relay started for one of our proxies; nobody reads it until it is attached. */
export interface WorkConn {
  stream: ByteStream
  start: StartWorkConn
  /** Whether a FIN of this stream ends one direction alone, and a reset is told as one. */
  halfClose: boolean
}

/** What a proxy type does with its work connections. */
export interface Backend {
  /** Gets ready before the relay is asked; rejects with what is wrong, and is then called again later. */
  open?(): Promise<void>
  /** Takes the connection; must attach to its stream before it returns. */
  take(work: WorkConn): void
  /** The proxy, or its session alone, is gone; connections that run on their own go on. */
  close(isSessionOver?: boolean): void
}

/** What a proxy needs of the session that it is offered on. */
export interface ProxyParts {
  config: ProxyOptions
  /** `user.name`, what the relay knows it by. */
  wireName: string
  runtime: Runtime
  log: Log
  /** Or why there is none: such a proxy is not asked for. */
  backend: Backend | string
  send(message: Outgoing): void
  /** Whoever waits for the proxy to be settled looks again. */
  onChange(): void
}

/**
 * One proxy of the configuration as one session offers it: asks the relay for it, asks again when the answer does not come
 * or is no, takes it back when its health check fails (frp, client/proxy/proxy_wrapper.go).
 */
export class ProxyOffer {
  phase: Phase = 'new'
  /** The relay's reason, or ours, while `phase` is `start error`. */
  error = ''
  /** As the relay told: `:port`, or hosts. */
  remoteAddr = ''
  readonly config: ProxyOptions
  readonly wireName: string
  private readonly parts: ProxyParts
  private readonly monitor: HealthMonitor | undefined
  private retry: Deadline | undefined
  private isOpening = false
  private isWithdrawn = false

  constructor(parts: ProxyParts) {
    this.parts = parts
    this.config = parts.config
    this.wireName = parts.wireName
    this.monitor = HealthMonitor.of(parts.config, parts.runtime, parts.log, (isHealthy) => this.checked(isHealthy))
  }

  start(): void {
    const { backend } = this.parts
    if (typeof backend === 'string') {
      this.fail(backend)
      return
    }
    if (backend.open === undefined) this.begin()
    else this.open(backend.open())
  }

  /** The relay answered; returns what is to be logged as the reason, '' when the proxy runs. */
  answered(remoteAddr: string, error: string): string {
    if (this.phase !== 'wait start') return 'status not wait start, ignore start message'
    this.retry?.cancel()
    this.remoteAddr = remoteAddr
    this.error = error
    if (error === '') {
      this.phase = 'running'
      return ''
    }
    this.phase = 'start error'
    this.retry = this.parts.runtime.after(REFUSED_RETRY_MS, () => this.ask())
    return error
  }

  /** Whether no answer of the relay is due: it said yes or no, or it was not asked. */
  get isSettled(): boolean {
    return this.phase !== 'wait start' && !this.isOpening
  }

  take(work: WorkConn): boolean {
    const { backend } = this.parts
    if (this.phase !== 'running' || typeof backend === 'string') return false
    backend.take(work)
    return true
  }

  /** Tells the relay to send no more users; what runs goes on, and users on their way are still served. */
  withdraw(): void {
    this.isWithdrawn = true
    this.retry?.cancel()
    this.monitor?.stop()
    this.parts.send({ type: 'CloseProxy', proxy_name: this.wireName })
  }

  /** `isSessionOver`: the proxy itself is not to end. */
  close(isSessionOver = false): void {
    if (this.phase === 'closed') return
    this.withdraw()
    this.phase = 'closed'
    if (typeof this.parts.backend !== 'string') this.parts.backend.close(isSessionOver)
  }

  private begin(): void {
    if (this.monitor === undefined) this.ask()
    else this.monitor.start()
  }

  private open(opening: Promise<void>): void {
    this.isOpening = true
    opening.then(
      () => {
        this.isOpening = false
        if (this.isWithdrawn) return
        this.begin()
        this.parts.onChange()
      },
      (error: unknown) => {
        this.isOpening = false
        if (this.isWithdrawn) return
        this.fail(messageOf(error))
        // A missing file may come: a disk that is mounted later. frp asks again at the same pace.
        this.retry = this.parts.runtime.after(REFUSED_RETRY_MS, () => this.start())
        this.parts.onChange()
      },
    )
  }

  private ask(): void {
    this.phase = 'wait start'
    this.retry?.cancel()
    this.retry = this.parts.runtime.after(ANSWER_MS, () => this.ask())
    try {
      this.parts.send(newProxyMessage(this.config, this.wireName))
    } catch (error) {
      // Above all: more domains and headers than a v1 message holds.
      this.fail(messageOf(error))
    }
  }

  /** What asking again would not mend. */
  private fail(error: string): void {
    this.retry?.cancel()
    this.phase = 'start error'
    this.error = error
    this.parts.log.warn(`start error: ${error}`)
  }

  private checked(isHealthy: boolean): void {
    const { log, runtime, send } = this.parts
    runtime.after(CHECK_TOLD_MS, () => log.info(`health check ${isHealthy ? 'success' : 'failed'}`))
    if (isHealthy) {
      if (this.phase === 'new' || this.phase === 'check failed') this.ask()
      return
    }
    if (this.phase !== 'running' && this.phase !== 'wait start' && this.phase !== 'start error') return
    this.retry?.cancel()
    send({ type: 'CloseProxy', proxy_name: this.wireName })
    this.phase = 'check failed'
  }
}
