import type { Socket } from 'node:net'
import { FrpError, messageOf } from '../../contract/errors.ts'
import type { Deadline } from '../../contract/runtime.ts'
import { resetSocket } from '../../node/socket.ts'
import { wrap } from '../../protocol/frp/wrap.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { prefixed } from '../../protocol/stream/prefixed.ts'
import { dialLocal, joinLocal } from '../proxies/local.ts'
import type { Backend, WorkConn } from '../proxies/proxy.ts'
import type { TcpParts } from '../proxies/tcp.ts'
import { Opening } from './opening.ts'

/**
 * frp's ReadHeaderTimeout of its plugins: how long a user may take to say what it wants, and to hear our answer (a
 * socket that is not read does not tell that it broke).
 */
export const OPENING_MS = 60_000
/** How long a user may stay after what we say last. */
export const LINGER_MS = 10_000

/** A user who says first where to go (SOCKS5, CONNECT), until it is joined with that service. */
export class TunnelUser {
  readonly opening: Opening
  readonly work: WorkConn
  private readonly parts: TcpParts
  private deadline: Deadline
  private isOver = false

  constructor(parts: TcpParts, work: WorkConn, maxOpeningBytes: number) {
    const { runtime, wrapping, onCount } = parts
    this.parts = parts
    this.work = work
    onCount(1)
    this.opening = new Opening(wrap(work.stream, wrapping, runtime.crypto), maxOpeningBytes)
    this.deadline = runtime.after(OPENING_MS, () =>
      this.abandon(new FrpError('TIMEOUT', `no complete opening within ${OPENING_MS / 1000} s`)),
    )
  }

  /** Connects to where the user wants to go; the wait ends with the user. */
  dial(host: string, port: number): Promise<Socket> {
    const dialing = new AbortController()
    this.opening.onGone = (error) => dialing.abort(error)
    if (this.opening.isGone) dialing.abort(new FrpError('STREAM_CUT', 'the user is gone'))
    return dialLocal({ host, port }, this.parts.runtime, dialing.signal)
  }

  /** Sends what tells that the way is open, and joins both ends. */
  async join(socket: Socket, answer: Uint8Array): Promise<void> {
    try {
      await this.opening.send(answer)
    } catch (error) {
      resetSocket(socket)
      throw error
    }
    this.deadline.cancel()
    const { log, runtime } = this.parts
    log.debug('join connections')
    joinLocal(socket, this.opening.stream, {
      runtime,
      halfClose: this.work.halfClose,
      head: this.opening.rest(),
      onClose: (error) => {
        this.over()
        log.debug(`join connections closed${error === undefined ? '' : `: ${messageOf(error)}`}`)
      },
    })
  }

  /** Answers why not, and ends. What the user still sends is dropped, and it has 10 s to leave. */
  async refuse(answer: Uint8Array): Promise<void> {
    const { stream } = this.opening
    await this.opening.send(answer)
    this.deadline.cancel()
    this.deadline = this.parts.runtime.after(LINGER_MS, () => this.abandon('a refused user stayed'))
    stream.end()
    stream.attach({
      onData: () => true,
      onEnd: () => undefined,
      onDrain: () => undefined,
      onClose: () => this.over(),
    })
    stream.resume()
  }

  /** Resets the user. */
  abandon(error: unknown): void {
    this.opening.stream.destroy(error instanceof Error ? error : new FrpError('STREAM_ABORTED', messageOf(error)))
    this.over()
  }

  /** Gives the stream to another reader, with all that was read; who takes it calls `over`. */
  release(): ByteStream {
    this.deadline.cancel()
    return prefixed(this.opening.stream, this.opening.rest())
  }

  /** The connection is over, however it ended. */
  over(): void {
    this.deadline.cancel()
    if (this.isOver) return
    this.isOver = true
    this.parts.onCount(-1)
  }
}

/** Serves each user of a proxy by `serve`; what it rejects with resets that user alone. */
export function tunnelBackend(
  parts: TcpParts,
  maxOpeningBytes: number,
  serve: (user: TunnelUser) => Promise<void>,
  close: () => void = () => undefined,
): Backend {
  return {
    take(work) {
      const user = new TunnelUser(parts, work, maxOpeningBytes)
      serve(user).catch((error: unknown) => {
        if (!user.opening.isGone) parts.log.debug(`connection refused: ${messageOf(error)}`)
        user.abandon(error)
      })
    },
    close,
  }
}
