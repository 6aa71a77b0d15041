import { FrpError } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import type { MessageChannel } from '../protocol/frp/message-channel.ts'
import type { NewVisitorConn } from '../protocol/frp/messages.ts'
import type { ByteStream } from '../protocol/stream/byte-stream.ts'
import { prefixed } from '../protocol/stream/prefixed.ts'
import type { Connection } from './connection.ts'
import { clientText, lineText } from './error-text.ts'
import { formatAddress } from './ingress.ts'
import type { LoginGuard } from './login-guard.ts'
import type { Sleepers } from './sleepers.ts'
import { type Visitable, Visits } from './visits.ts'

export interface VisitDoorOptions {
  runtime: Runtime
  visits: Visits
  sleepers: Sleepers
  /** Wrong visit keys count as failed logins of their address. */
  guard: LoginGuard
  isDetailed: boolean
  maxNameLength: number
  features: readonly string[]
}

/** Takes visitor connections in: NewVisitorConn, its answer, and then the bytes are the proxy's. */
export class VisitDoor {
  private readonly options: VisitDoorOptions

  constructor(options: VisitDoorOptions) {
    this.options = options
  }

  open(connection: Connection, channel: MessageChannel, message: NewVisitorConn, raw: ByteStream): void {
    let visited: Visitable
    try {
      visited = this.authorise(connection, message)
    } catch (error) {
      this.refuse(connection, channel, message, error)
      return
    }
    connection.accepted()
    channel.send({
      type: 'NewVisitorConnResp',
      proxy_name: message.proxy_name,
      edgefrp: { v: 1, features: [...this.options.features] },
    })
    const isWritten = channel.backlogBytes === 0
    const { stream, head } = channel.detach()
    const { ip, port } = connection.peer
    // Mostly the answer left at once and nothing came behind the message: the stream itself can be used.
    visited.proxy.visit?.(isWritten && head.length === 0 ? raw : prefixed(stream, head), {
      sourceIp: ip,
      sourcePort: port,
      destinationIp: '',
      destinationPort: visited.message.remote_port,
    })
  }

  private authorise(connection: Connection, message: NewVisitorConn): Visitable {
    const isLoggedIn = connection.control?.isOpen === true && connection.control.state.runId === message.run_id
    if (message.edgefrp === undefined) {
      throw new FrpError('NOT_SUPPORTED', `custom listener for [${message.proxy_name}] doesn't exist`)
    }
    const key = Visits.keyOf(message)
    this.options.sleepers.wake([key])
    return this.options.visits.find(key, message, isLoggedIn)
  }

  private refuse(connection: Connection, channel: MessageChannel, message: NewVisitorConn, error: unknown): void {
    const { ip, port } = connection.peer
    const { guard, maxNameLength } = this.options
    const { isThrottled, report } = guard.failed(ip)
    if (report > 0) this.options.runtime.log.warn(`visitor [${formatAddress(ip, port)}]: ${lineText(error)}`)
    if (isThrottled) {
      connection.close(new FrpError('LOGIN_THROTTLED', `too many refused visits from ${ip}`))
      return
    }
    const text = this.options.isDetailed ? clientText(error) : 'register visitor conn error'
    channel.send({ type: 'NewVisitorConnResp', proxy_name: message.proxy_name.slice(0, maxNameLength), error: text })
    channel.end()
  }
}
