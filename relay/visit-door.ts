import { FrpError } from '../contract/errors.ts'
import { formatAddress } from '../contract/ip.ts'
import type { Runtime } from '../contract/runtime.ts'
import { edgefrpOf, type Feature, featuresOf } from '../protocol/frp/edgefrp-field.ts'
import type { MessageChannel } from '../protocol/frp/message-channel.ts'
import type { NewVisitorConn } from '../protocol/frp/messages.ts'
import { prefixed } from '../protocol/stream/prefixed.ts'
import { isAccount } from './accounts.ts'
import type { Connection, OpenedStream } from './connection.ts'
import type { Control } from './control.ts'
import { clientText, lineText } from './error-text.ts'
import type { LoginGuard } from './login-guard.ts'
import { secretKeyOf } from './proxies/secret.ts'
import type { Sleepers } from './sleepers.ts'
import { type Visitable, Visits } from './visits.ts'

export interface VisitDoorOptions {
  runtime: Runtime
  visits: Visits
  sleepers: Sleepers
  /** Wrong visit keys count as failed logins of their address. */
  guard: LoginGuard
  /** detailedErrorsToClient, as it is now. */
  isDetailed: () => boolean
  maxNameLength: number
  features: readonly Feature[]
  /** The client with this run id. */
  clientOf: (runId: string) => Control | undefined
}

/** Takes visitor connections in: NewVisitorConn, its answer, and then the bytes are the proxy's. */
export class VisitDoor {
  private readonly options: VisitDoorOptions

  constructor(options: VisitDoorOptions) {
    this.options = options
  }

  open(connection: Connection, message: NewVisitorConn, { channel, raw, wire }: OpenedStream): void {
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
      edgefrp: edgefrpOf(this.options.features),
    })
    const isWritten = channel.backlogBytes === 0
    const { stream, head } = channel.detach()
    const { ip, port, local } = connection.peer
    const { remote_port: visitedPort } = visited.message
    const addresses = {
      sourceIp: ip,
      sourcePort: port,
      destinationIp: local?.ip ?? '',
      destinationPort: visitedPort > 0 ? visitedPort : (local?.port ?? 0),
    }
    // Mostly the answer left at once and nothing came behind the message: the stream itself can be used.
    visited.proxy.visit?.(isWritten && head.length === 0 ? raw : prefixed(stream, head), addresses, {
      useEncryption: message.use_encryption,
      useCompression: message.use_compression,
      wire,
      isHalfClosing: featuresOf(message).has('half-close'),
    })
  }

  private authorise(connection: Connection, message: NewVisitorConn): Visitable {
    const { visits, sleepers, maxNameLength } = this.options
    // Our own client asks for a port; a visitor of frp's, or ours in that role, for a name.
    if (message.edgefrp?.['type'] !== undefined) {
      const isLoggedIn = this.isLoggedIn(connection) && connection.control?.state.runId === message.run_id
      const key = Visits.keyOf(message)
      sleepers.wake([key])
      const principal = isLoggedIn ? connection.control?.state.principal : undefined
      const onlyOf = principal !== undefined && isAccount(principal) ? principal.user : undefined
      return visits.find(key, message, isLoggedIn, onlyOf)
    }
    const client = this.clientOf(connection, message)
    const key = secretKeyOf(message.proxy_name.slice(0, maxNameLength))
    sleepers.wake([key])
    return visits.findSecret(key, message, {
      ip: connection.peer.ip,
      isLoggedIn: client !== undefined || this.isLoggedIn(connection),
      user: client?.user ?? '',
    })
  }

  /** The client that a visit says it belongs to; undefined: to none (frpc before 0.50, or a stranger). */
  private clientOf(connection: Connection, message: NewVisitorConn): Control | undefined {
    if (message.run_id === '') return undefined
    // As for work connections: a run id that somebody learned is of no use on another connection.
    const client = connection.isMultiplexed ? connection.control : this.options.clientOf(message.run_id)
    if (client?.isOpen === true && client.state.runId === message.run_id) return client
    throw new FrpError('AUTH_FAILED', 'no client control found for the run id')
  }

  private isLoggedIn(connection: Connection): boolean {
    return connection.control?.isOpen === true
  }

  private refuse(connection: Connection, channel: MessageChannel, message: NewVisitorConn, error: unknown): void {
    const { ip, port } = connection.peer
    const { guard, maxNameLength } = this.options
    const { isThrottled, report } = guard.failed(ip)
    if (report > 0) this.options.runtime.log.warn(`visitor [${formatAddress(ip, port)}]: ${lineText(error)}`)
    // A client that is logged in keeps its session, whatever one visitor of it is configured with.
    if (isThrottled && !this.isLoggedIn(connection)) {
      connection.close(new FrpError('LOGIN_THROTTLED', `too many refused visits from ${ip}`))
      return
    }
    const text = this.options.isDetailed() ? clientText(error) : 'register visitor conn error'
    channel.send({ type: 'NewVisitorConnResp', proxy_name: message.proxy_name.slice(0, maxNameLength), error: text })
    channel.end()
  }
}
