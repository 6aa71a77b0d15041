import { FrpError } from '../contract/errors.ts'
import type { Deadline, Runtime } from '../contract/runtime.ts'
import type { ByteStream, Link } from '../protocol/stream/byte-stream.ts'
import { KeepAlive, type KeepAliveOptions } from '../protocol/yamux/keep-alive.ts'
import { Session } from '../protocol/yamux/session.ts'

/** What carries the frp streams of one session. */
export interface Carrier {
  /** A new frp stream to the relay. */
  open(): ByteStream | Promise<ByteStream>
  /** Pings the relay below the messages, where there is something that can. */
  keepAlive(options: KeepAliveOptions): void
  /** Gives up what is being opened, and with yamux all streams. */
  close(): void
  /** The connection that carries all streams is gone; never called where each has its own. */
  onClose: ((error?: Error) => void) | undefined
}

/** How often the session is asked for what is overdue: streams that we ended and the relay did not. */
const TICK_MS = 30_000

/** All streams over one connection, by yamux. */
export class MuxCarrier implements Carrier {
  onClose: ((error?: Error) => void) | undefined
  private readonly link: Link
  private readonly session: Session
  private readonly runtime: Runtime
  private alive: KeepAlive | undefined
  private tick: Deadline

  constructor(link: Link, runtime: Runtime) {
    this.link = link
    this.runtime = runtime
    this.session = new Session(link, {
      role: 'client',
      nowMs: () => runtime.monotonicMs(),
      onPong: (id) => this.alive?.pong(id),
      onClose: (error) => this.closed(error),
    })
    this.tick = runtime.after(TICK_MS, () => this.onTick())
    this.session.start()
  }

  open(): ByteStream {
    return this.session.open()
  }

  keepAlive(options: KeepAliveOptions): void {
    this.alive?.stop()
    this.session.measureRoundTrip()
    // A relay that does not answer would not see a polite end either.
    this.alive = new KeepAlive(this.session, this.runtime, options, (error) => this.link.destroy(error))
  }

  close(): void {
    this.session.close()
  }

  private onTick(): void {
    const next = this.session.tick(this.runtime.monotonicMs())
    if (this.session.isClosed && next === undefined) return
    const delay = this.session.isClosed && next !== undefined ? next - this.runtime.monotonicMs() : TICK_MS
    this.tick = this.runtime.after(Math.max(0, delay), () => this.onTick())
  }

  private closed(error?: Error): void {
    this.alive?.stop()
    this.tick.cancel()
    // Once more for the link that the relay may not close.
    this.tick = this.runtime.after(0, () => this.onTick())
    this.onClose?.(error)
  }
}

/** Each stream over a connection of its own (`transport.tcpMux = false`). */
export class DirectCarrier implements Carrier {
  onClose: ((error?: Error) => void) | undefined
  private readonly dial: (signal: AbortSignal) => Promise<Link>
  private readonly closing = new AbortController()

  constructor(dial: (signal: AbortSignal) => Promise<Link>) {
    this.dial = dial
  }

  open(): Promise<ByteStream> {
    return this.dial(this.closing.signal)
  }

  keepAlive(): void {
    // Ping and Pong messages do it here, as in frp.
  }

  close(): void {
    this.closing.abort(new FrpError('SESSION_ENDED', 'the session is over'))
  }
}
