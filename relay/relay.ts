import type { FrpsOptions } from '../config/frps.ts'
import { type ErrorCode, FrpError, messageOf } from '../contract/errors.ts'
import { IpRules } from '../contract/ip-rules.ts'
import type { Runtime } from '../contract/runtime.ts'
import type { Message, NewWorkConn } from '../protocol/frp/messages.ts'
import type { Link } from '../protocol/stream/byte-stream.ts'
import { prefixed } from '../protocol/stream/prefixed.ts'
import type { MemoryBudget } from '../protocol/yamux/memory-budget.ts'
import type { AccessLog } from './access-log.ts'
import { Accounts } from './accounts.ts'
import { Connection, type KeepAliveTimes, type OpenedStream } from './connection.ts'
import type { Control } from './control.ts'
import { type Directory, MemoryDirectory } from './directory.ts'
import { Groups } from './groups.ts'
import { HttpIngress } from './http-ingress.ts'
import { type HttpRoutes, routesAt } from './http-routes.ts'
import type { HttpTarget } from './http-target.ts'
import { HttpsIngress } from './https-ingress.ts'
import { formatAddress, type PeerInfo, type Ports } from './ingress.ts'
import type { HttpGet } from './issuer.ts'
import { Joins } from './joins.ts'
import { IDLE_UPSTREAM_MS } from './limits.ts'
import { LoginDoor, type LoginDoorOptions } from './login-door.ts'
import { LoginGuard } from './login-guard.ts'
import { MemoryWatch } from './memory-watch.ts'
import type { ProcessFigure } from './metrics.ts'
import { PortBook, type PortRange } from './ports.ts'
import type { ProxyType, VhostTarget } from './proxies/table.ts'
import { TcpGroups } from './proxies/tcp-group.ts'
import type { ProxyBounds } from './proxy-set.ts'
import { Refusals } from './refusals.ts'
import { Registry } from './registry.ts'
import type { RegistryStore } from './registry-store.ts'
import type { SavedConnection } from './saved.ts'
import { type CallPlugin, ServerPlugins } from './server-plugins.ts'
import { NO_SLEEPERS, type Sleepers } from './sleepers.ts'
import { TcpmuxIngress } from './tcpmux-ingress.ts'
import { onVerdict } from './verdict.ts'
import { verifierOf } from './verifier.ts'
import { VisitDoor } from './visit-door.ts'
import { Visits } from './visits.ts'

/** Features of our own wire that every relay speaks (an extra key in messages, which stock peers ignore). */
const FEATURES: readonly string[] = ['half-close']
const DAY_MS = 86_400_000
/** Ends that need no line: a stranger who left, our own end, and what has a line already. */
const UNTOLD: readonly ErrorCode[] = ['LINK_CLOSED', 'STREAM_CUT', 'STREAM_RESET', 'SESSION_ENDED', 'LOGIN_THROTTLED']

export interface RelayParts {
  runtime: Runtime
  options: FrpsOptions
  ports: Ports
  /** For `auth.method = "oidc"`: how the issuer is asked for its keys. */
  get: HttpGet
  /** Undefined: clients are not pinged (a relay that sleeps). */
  keepAlive?: KeepAliveTimes | undefined
  /** frps custom404Page, read anew for each 404. */
  notFoundPage?: () => Promise<string | undefined>
  /** What this runtime adds to the features of the wire. */
  features?: readonly string[]
  /** Who owns names; in memory unless given. */
  directory?: Directory<Control>
  sleepers?: Sleepers
  /** What the registry keeps over restarts. */
  registryStore?: RegistryStore
  /** Shared by all sessions of an isolate. */
  memoryBudget?: MemoryBudget
  /** How long an idle connection to a client's web server is kept. */
  idleUpstreamMs?: number
  /** Undefined: visits of users are not written down. */
  accessLog?: AccessLog | undefined
  /** What the runtime tells of its process, for the metrics. */
  processFigures?: () => readonly ProcessFigure[]
  /** For `httpPlugins`. */
  callPlugin?: CallPlugin
  /** Proxy types that this runtime cannot carry, with what to use instead. */
  unavailable?: Partial<Record<ProxyType, string>>
}

/** What came of reading the configuration again. */
export interface ReloadResult {
  /** Keys that differ and that a running relay does not change. */
  needRestart: string[]
}

/** Where users' names lead. */
interface Routes {
  http: HttpRoutes<HttpTarget>
  https: HttpRoutes<VhostTarget>
  tcpmux: HttpRoutes<VhostTarget>
}

/** One public endpoint: its clients, names, routes and limits. The same on every runtime. */
export class Relay {
  readonly registry: Registry
  /** The door for users' HTTP requests; without vhost HTTP it finds no route. */
  readonly http: HttpIngress
  /** The doors for users of https and tcpmux proxies. */
  readonly https: HttpsIngress
  readonly tcpmux: TcpmuxIngress
  /** Reads the configuration anew; undefined: there is nothing to read. Rejects with FrpError, and then nothing has changed. */
  reloader: (() => Promise<ReloadResult>) | undefined
  readonly visits: Visits
  readonly joins = new Joins()
  readonly refusals: Refusals
  private readonly parts: RelayParts
  private current: FrpsOptions
  private readonly tcpPorts: PortBook
  private readonly udpPorts: PortBook
  private readonly runtime: Runtime
  private readonly memory: MemoryWatch
  private readonly accounts: Accounts
  private readonly plugins: ServerPlugins
  /** Where users of all proxies may come from. */
  private ipRules: IpRules
  private readonly logins: LoginDoor
  private readonly visitDoor: VisitDoor
  private readonly connections = new Set<Connection>()
  /** Those without an accepted first message, oldest first. */
  private readonly pending = new Set<Connection>()

  constructor(parts: RelayParts) {
    const { runtime, options } = parts
    const { limits } = options.edgefrp
    const sleepers = parts.sleepers ?? NO_SLEEPERS
    const features = [...FEATURES, ...(parts.features ?? [])]
    this.parts = parts
    this.runtime = runtime
    this.current = options
    this.tcpPorts = new PortBook(runtime, rangesOf(options))
    this.udpPorts = new PortBook(runtime, rangesOf(options))
    this.refusals = new Refusals(runtime)
    this.memory = new MemoryWatch(runtime, limits.maxMemoryBytes, () => this.heldBytes)
    this.accounts = new Accounts(options, runtime, verifierOf(options, runtime, parts.get))
    this.ipRules = new IpRules(options.edgefrp.allowIPs, options.edgefrp.denyIPs)
    this.plugins = new ServerPlugins({ runtime, plugins: options.httpPlugins, call: parts.callPlugin })
    this.visits = new Visits(runtime)
    this.registry = new Registry({
      runtime,
      maxOffline: limits.maxRemembered,
      offlineMs: limits.rememberDays * DAY_MS,
      store: parts.registryStore,
    })
    const guard = new LoginGuard(runtime, {
      failuresBurst: limits.failedLoginsBurst,
      failuresPerSecond: limits.failedLoginsPerSecond,
    })
    const routes: Routes = {
      http: routesAt<HttpTarget>(options.vhostHTTPPort),
      https: routesAt<VhostTarget>(options.vhostHTTPSPort),
      tcpmux: routesAt<VhostTarget>(options.tcpmuxHTTPConnectPort),
    }
    const notFoundPage = parts.notFoundPage ?? (() => Promise.resolve(undefined))
    this.http = new HttpIngress({
      runtime,
      routes: routes.http,
      sleepers,
      responseTimeoutMs: options.vhostHTTPTimeout * 1000,
      notFoundPage,
    })
    const firstBytesMs = limits.headerTimeoutSeconds * 1000
    const { refusals } = this
    this.https = new HttpsIngress({ runtime, routes: routes.https.table, refusals, helloTimeoutMs: firstBytesMs })
    this.tcpmux = new TcpmuxIngress({
      runtime,
      routes: routes.tcpmux.table,
      refusals,
      isPassthrough: options.tcpmuxPassthrough,
      headLimits: { bytes: limits.httpHeadBytes, fields: limits.httpFields },
      headTimeoutMs: firstBytesMs,
      notFoundPage,
    })
    this.visitDoor = new VisitDoor({
      runtime,
      visits: this.visits,
      sleepers,
      guard,
      isDetailed: options.detailedErrorsToClient,
      maxNameLength: limits.maxNameLength,
      features,
      clientOf: (runId) => this.logins.owner(runId),
    })
    this.logins = new LoginDoor({
      runtime,
      options,
      accounts: this.accounts,
      guard,
      registry: this.registry,
      sleepers,
      plugins: this.plugins,
      features,
      proxies: this.proxySetOptions(routes),
      onVerified: (connection) => this.pending.delete(connection),
    })
  }

  /** Takes a connection that a client made; everything that follows from it is the relay's. */
  accept(link: Link, peer: PeerInfo, head?: Uint8Array): Connection {
    const connection = this.connect(link, peer)
    const { maxPendingLogins } = this.options.edgefrp.limits
    this.pending.add(connection)
    // Strangers that have not logged in are few: the one that has been waiting longest makes room.
    if (this.pending.size > maxPendingLogins) {
      for (const oldest of this.pending) {
        oldest.close(new FrpError('LIMIT', `${maxPendingLogins} connections without a login`))
        break
      }
    }
    connection.start(head)
    return connection
  }

  /**
   * Goes on with a connection after sleep, over the link that carries on; call `resume` on it when everything
   * that it is joined to is there. Throws FrpError YAMUX_BAD_SNAPSHOT.
   */
  revive(link: Link, saved: SavedConnection): Connection {
    const connection = this.connect(link, saved.peer)
    connection.revive(saved, (control, stream) => this.logins.revive(connection, control, stream))
    return connection
  }

  get options(): FrpsOptions {
    return this.current
  }

  /** Goes on with what `reloadedFrps` made of another file: tokens, users, ports, limits. Sessions stay. */
  reload(options: FrpsOptions): void {
    const { runtime } = this
    // First what can be refused.
    const ipRules = new IpRules(options.edgefrp.allowIPs, options.edgefrp.denyIPs)
    this.logins.reload(
      options,
      (before) => new Accounts(options, runtime, verifierOf(options, runtime, this.parts.get), before),
    )
    this.ipRules = ipRules
    this.tcpPorts.allow(rangesOf(options))
    this.udpPorts.allow(rangesOf(options))
    this.current = options
  }

  /** Figures of the process, if the runtime has any. */
  processFigures(): readonly ProcessFigure[] {
    return this.parts.processFigures?.() ?? []
  }

  get clientCount(): number {
    return this.logins.clientCount
  }

  /** Gets what the first login will need; a failure is told in the log, and it is tried again at each login. */
  async prepare(): Promise<void> {
    await this.accounts.prepare().catch((error: unknown) => this.runtime.log.error(messageOf(error)))
  }

  /** Bytes that streams of clients hold, and window that they were granted. */
  get heldBytes(): number {
    if (this.parts.memoryBudget !== undefined) return this.parts.memoryBudget.total
    let sum = 0
    for (const connection of this.connections) sum += connection.heldBytes
    return sum
  }

  /** Ends all connections. */
  close(): void {
    for (const connection of [...this.connections]) {
      connection.close(new FrpError('SESSION_ENDED', 'the relay is closing'))
    }
  }

  private connect(link: Link, peer: PeerInfo): Connection {
    const { limits } = this.options.edgefrp
    const connection = new Connection(link, peer, {
      runtime: this.runtime,
      handshakeMs: limits.handshakeTimeoutSeconds * 1000,
      bytesBeforeLogin: limits.bytesBeforeLogin,
      idleFrames: { perSecond: limits.idleFramesPerSecond, burst: limits.idleFramesBurst },
      maxStreams: limits.maxStreamsPerClient,
      memoryBytes: limits.sessionMemoryBytes,
      memoryBudget: this.parts.memoryBudget,
      keepAlive: this.parts.keepAlive,
      onFirstMessage: (from, message, opened) => this.onFirstMessage(from, message, opened),
      onAccepted: (accepted) => this.pending.delete(accepted),
      onClose: (closed, error) => {
        this.connections.delete(closed)
        this.pending.delete(closed)
        if (!closed.isAccepted && error !== undefined && !UNTOLD.includes(error.code)) {
          this.refusals.report(formatAddress(peer.ip, peer.port), error.message)
        }
      },
    })
    this.connections.add(connection)
    return connection
  }

  private onFirstMessage(from: Connection, message: Message, opened: OpenedStream): void {
    switch (message.type) {
      case 'Login':
        this.logins.open(from, message, opened)
        break
      case 'NewWorkConn':
        this.onNewWorkConn(from, message, opened)
        break
      case 'NewVisitorConn':
        this.visitDoor.open(from, message, opened)
        break
      default:
        opened.channel.destroy(new FrpError('MESSAGE_UNEXPECTED', `${message.type} as the first message`))
    }
  }

  private onNewWorkConn(from: Connection, message: NewWorkConn, opened: OpenedStream): void {
    const { channel } = opened
    // With yamux the work connections of a client come on the connection that it logged in on: a run id that
    // somebody learned is of no use elsewhere.
    const control = from.isMultiplexed ? from.control : this.logins.owner(message.run_id)
    onVerdict(
      this.runtime,
      () => {
        if (control === undefined || control.state.runId !== message.run_id || !control.isOpen) {
          throw new FrpError('AUTH_FAILED', 'no client control found for the run id')
        }
        const answer = this.verifyWorkConn(control, message)
        return answer instanceof Promise ? answer.then(() => control) : control
      },
      (verified) => this.takeWorkConn(verified, from, opened),
      (error) => {
        this.runtime.log.warn(`[${formatAddress(from.peer.ip, from.peer.port)}] ${messageOf(error)}`)
        const text = this.options.detailedErrorsToClient ? messageOf(error) : 'invalid NewWorkConn'
        channel.send({ type: 'StartWorkConn', error: text })
        channel.end()
      },
    )
  }

  private takeWorkConn(control: Control, from: Connection, { channel, raw, wire }: OpenedStream): void {
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

  private verifyWorkConn(control: Control, message: NewWorkConn): undefined | Promise<void> {
    const { plugins } = this
    const { verifier } = control
    const { principal } = control.state
    if (!plugins.has('NewWorkConn')) return verifier.verifyNewWorkConn(message, principal)
    return plugins
      .newWorkConn(control.pluginUser, message)
      .then((changed) => verifier.verifyNewWorkConn(changed, principal))
  }

  private proxySetOptions(routes: Routes): LoginDoorOptions['proxies'] {
    const { runtime, options, parts } = this
    const { limits } = options.edgefrp
    return {
      runtime,
      directory: parts.directory ?? new MemoryDirectory<Control>(),
      registry: this.registry,
      visits: this.visits,
      joins: this.joins,
      refusals: this.refusals,
      ipRules: () => this.ipRules,
      accessLog: parts.accessLog,
      isFull: () => this.memory.isFull,
      unavailable: parts.unavailable ?? {},
      bounds: () => boundsOf(this.current),
      context: {
        ports: parts.ports,
        tcpPorts: this.tcpPorts,
        udpPorts: this.udpPorts,
        httpRoutes: options.vhostHTTPPort > 0 ? routes.http : undefined,
        httpsRoutes: options.vhostHTTPSPort > 0 ? routes.https : undefined,
        tcpmuxRoutes: options.tcpmuxHTTPConnectPort > 0 ? routes.tcpmux : undefined,
        groups: new Groups(runtime.crypto),
        tcpGroups: new TcpGroups(),
        subDomainHost: options.subDomainHost,
        udpSessions: limits.udpSessionsPerProxy,
        udpIdleMs: limits.udpIdleSeconds * 1000,
        idleUpstreamMs: parts.idleUpstreamMs ?? IDLE_UPSTREAM_MS,
      },
    }
  }
}

function boundsOf({ maxPortsPerClient, edgefrp: { limits } }: FrpsOptions): ProxyBounds {
  return {
    maxPorts: maxPortsPerClient,
    maxProxies: limits.maxProxiesPerClient,
    maxNameLength: limits.maxNameLength,
    newProxiesBurst: limits.newProxiesBurst,
    newProxiesPerSecond: limits.newProxiesPerSecond,
  }
}

function rangesOf({ allowPorts }: FrpsOptions): PortRange[] {
  return allowPorts.map(({ start, end, single }) => (single > 0 ? { start: single, end: single } : { start, end }))
}
