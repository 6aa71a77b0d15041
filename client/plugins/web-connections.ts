import { FrpError } from '../../contract/errors.ts'
import type { Deadline, Runtime } from '../../contract/runtime.ts'
import { dial } from '../../node/dial.ts'
import { socketStream } from '../../node/socket.ts'
import { clientTls } from '../../node/tls.ts'
import type { ByteStream, StreamHandler } from '../../protocol/stream/byte-stream.ts'

/** A web server that requests are sent on to. */
export interface WebTarget {
  host: string
  port: number
  isTls: boolean
}

/** Go's http.DefaultTransport: to connect, and how long a connection is kept for the next request. */
const DIAL_MS = 30_000
const KEEP_IDLE_MS = 90_000
/** How long a server may take to end a connection that we have ended. */
const LINGER_MS = 10_000
/** Kept connections in all: a browser page opens six at once. */
const MAX_IDLE = 32

/** Connections to web servers, used again. */
export class WebConnections {
  private readonly runtime: Runtime
  private readonly isVerified: boolean
  private idle: Idle[] = []
  private isClosed = false

  /** `isVerified`: the certificates of https servers are checked. */
  constructor(runtime: Runtime, isVerified: boolean) {
    this.runtime = runtime
    this.isVerified = isVerified
  }

  /** A kept connection, which its server may have closed a moment ago. Its reader must attach at once. */
  takeIdle({ host, port, isTls }: WebTarget): ByteStream | undefined {
    const found = this.idle.findLast(
      ({ target: kept }) => kept.host === host && kept.port === port && kept.isTls === isTls,
    )
    if (found !== undefined) this.forget(found)
    return found?.stream
  }

  /** A new connection within 30 s; its reader must attach at once. */
  async dial({ host, port, isTls }: WebTarget, dialing: AbortController): Promise<ByteStream> {
    const { signal } = dialing
    const deadline = this.runtime.after(DIAL_MS, () =>
      dialing.abort(new FrpError('TIMEOUT', `no connection to ${host}:${port} within ${DIAL_MS / 1000} s`)),
    )
    try {
      const raw = await dial({ host, port }, signal)
      if (!isTls) return socketStream(raw)
      const abort = (): void => {
        raw.destroy()
      }
      signal.addEventListener('abort', abort)
      try {
        return socketStream(await clientTls(raw, { serverName: host, isVerified: this.isVerified }), { raw })
      } finally {
        signal.removeEventListener('abort', abort)
      }
    } catch (error) {
      throw signal.aborted ? signal.reason : error
    } finally {
      deadline.cancel()
    }
  }

  /** Takes a connection back whose last exchange ended exactly. */
  keep(target: WebTarget, stream: ByteStream): void {
    const idle = new Idle(target, stream, this.runtime, (gone) => this.forget(gone))
    stream.attach(idle)
    if (idle.isGone) return
    if (this.isClosed || this.idle.length >= MAX_IDLE) {
      idle.drop()
      return
    }
    idle.deadline = this.runtime.after(KEEP_IDLE_MS, () => idle.drop())
    this.idle.push(idle)
  }

  /** Ends those that are kept; those in use end with their users. */
  close(): void {
    this.isClosed = true
    for (const idle of [...this.idle]) idle.drop()
  }

  private forget(gone: Idle): void {
    gone.deadline?.cancel()
    this.idle = this.idle.filter((one) => one !== gone)
  }
}

/** A kept connection: whatever comes on it ends it. */
class Idle implements StreamHandler {
  readonly target: WebTarget
  readonly stream: ByteStream
  deadline: Deadline | undefined
  isGone = false
  private readonly runtime: Runtime
  private readonly onGone: (idle: Idle) => void

  constructor(target: WebTarget, stream: ByteStream, runtime: Runtime, onGone: (idle: Idle) => void) {
    this.target = target
    this.stream = stream
    this.runtime = runtime
    this.onGone = onGone
  }

  drop(): void {
    this.stream.end()
    this.runtime.after(LINGER_MS, () => this.stream.destroy())
    this.gone()
  }

  /** A server that speaks first (408) is out of step. */
  onData(): boolean {
    this.stream.destroy()
    return true
  }

  onEnd(): void {
    this.drop()
  }

  onDrain(): void {
    // Nothing was written.
  }

  onClose(): void {
    this.gone()
  }

  private gone(): void {
    if (this.isGone) return
    this.isGone = true
    this.onGone(this)
  }
}
