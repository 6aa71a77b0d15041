import { FrpError, messageOf } from '../contract/errors.ts'
import { formatAddress } from '../contract/ip.ts'
import type { Runtime } from '../contract/runtime.ts'
import type { NewWorkConn } from '../protocol/frp/messages.ts'
import { prefixed } from '../protocol/stream/prefixed.ts'
import type { Connection, OpenedStream } from './connection.ts'
import type { Control } from './control.ts'
import type { ServerPlugins } from './server-plugins.ts'
import { onVerdict } from './verdict.ts'

export interface WorkConnDoorOptions {
  runtime: Runtime
  plugins: ServerPlugins
  /** detailedErrorsToClient, as it is now. */
  isDetailed: () => boolean
  /** The client with this run id. */
  clientOf: (runId: string) => Control | undefined
}

/** Takes work connections in: NewWorkConn, and then the stream waits in its client's pool. */
export class WorkConnDoor {
  private readonly options: WorkConnDoorOptions

  constructor(options: WorkConnDoorOptions) {
    this.options = options
  }

  open(from: Connection, message: NewWorkConn, opened: OpenedStream): void {
    const { channel } = opened
    // With yamux the work connections of a client come on the connection that it logged in on: a run id that
    // somebody learned is of no use elsewhere.
    const control = from.isMultiplexed ? from.control : this.options.clientOf(message.run_id)
    const { runtime, isDetailed } = this.options
    onVerdict(
      runtime,
      () => {
        if (control === undefined || control.state.runId !== message.run_id || !control.isOpen) {
          throw new FrpError('AUTH_FAILED', 'no client control found for the run id')
        }
        const answer = this.verify(control, message)
        return answer instanceof Promise ? answer.then(() => control) : control
      },
      (verified) => this.take(verified, from, opened),
      (error) => {
        runtime.log.warn(`[${formatAddress(from.peer.ip, from.peer.port)}] ${messageOf(error)}`)
        channel.send({ type: 'StartWorkConn', error: isDetailed() ? messageOf(error) : 'invalid NewWorkConn' })
        channel.end()
      },
    )
  }

  /** Plugins first, which may change what the token is held against. */
  private verify(control: Control, message: NewWorkConn): undefined | Promise<void> {
    const { plugins } = this.options
    const { verifier, pluginUser } = control
    const { principal } = control.state
    if (!plugins.has('NewWorkConn')) return verifier.verifyNewWorkConn(message, principal)
    return plugins.newWorkConn(pluginUser, message).then((changed) => verifier.verifyNewWorkConn(changed, principal))
  }

  private take(control: Control, from: Connection, { channel, raw, wire }: OpenedStream): void {
    // It may have ended while somebody was asked about it.
    if (!channel.isOpen) return
    from.accepted()
    if (control.pool.hasRoom) {
      const { stream, head } = channel.detach()
      // Mostly nothing came behind the message, and the stream itself can be used.
      control.pool.put({ stream: head.length === 0 ? raw : prefixed(stream, head), wire })
      return
    }
    channel.send({ type: 'StartWorkConn', error: 'work connection pool is full, discarding' })
    channel.end()
  }
}
