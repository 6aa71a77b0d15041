import type { FrpsOptions } from '../config/frps.ts'
import { type ErrorCode, FrpError, messageOf } from '../contract/errors.ts'
import { formatAddress } from '../contract/ip.ts'
import { IpRules } from '../contract/ip-rules.ts'
import type { Runtime } from '../contract/runtime.ts'
import type { Feature } from '../protocol/frp/edgefrp-field.ts'
import type { Message } from '../protocol/frp/messages.ts'
import type { Link } from '../protocol/stream/byte-stream.ts'
import { Accounts } from './accounts.ts'
import { Connection, type OpenedStream } from './connection.ts'
import type { Control } from './control.ts'
import { MemoryDirectory } from './directory.ts'
import { Groups } from './groups.ts'
import { HttpIngress } from './http-ingress.ts'
import { type HttpRoutes, routesAt } from './http-routes.ts'
import type { HttpTarget } from './http-target.ts'
import { HttpsIngress } from './https-ingress.ts'
import type { PeerInfo } from './ingress.ts'
import { Joins } from './joins.ts'
import { CLOSE_MS, IDLE_UPSTREAM_MS } from './limits.ts'
import { LoginDoor, type LoginDoorOptions } from './login-door.ts'
import { LoginGuard } from './login-guard.ts'
import { MemoryWatch } from './memory-watch.ts'
import type { ProcessFigure } from './metrics.ts'
import { Rendezvous } from './nathole/rendezvous.ts'
import { PortBook, rangesOf } from './ports.ts'
import type { VhostTarget } from './proxies/table.ts'
import { TcpGroups } from './proxies/tcp-group.ts'
import { Refusals } from './refusals.ts'
import { Registry } from './registry.ts'
import { boundsOf, type RelayParts, type ReloadResult } from './relay-parts.ts'
import type { SavedConnection } from './saved.ts'
import { ServerPlugins } from './server-plugins.ts'
import { NO_SLEEPERS } from './sleepers.ts'
import { Strangers } from './strangers.ts'
import { TcpmuxIngress } from './tcpmux-ingress.ts'
import { verifierOf } from './verifier.ts'
import { VisitDoor } from './visit-door.ts'
import { Visits } from './visits.ts'
import { WorkConnDoor } from './work-conn-door.ts'

/** Features of our own wire that every relay speaks (an extra key in messages, which stock peers ignore). */
const FEATURES: readonly Feature[] = ['half-close', 'ip-rules']
const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
/** Ends that need no line: a stranger who left, our own end, and what has a line already. */
const UNTOLD: readonly ErrorCode[] = ['LINK_CLOSED', 'STREAM_CUT', 'STREAM_RESET', 'SESSION_ENDED', 'LOGIN_THROTTLED']

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
  private readonly workConns: WorkConnDoor
  private readonly connections = new Set<Connection>()
  /** Those without an accepted first message. */
  private readonly pending = new Strangers<Connection>()

  constructor(parts: RelayParts) {
    const { runtime, options } = parts
    const { limits } = options.edgefrp
    const sleepers = parts.sleepers ?? NO_SLEEPERS
    const features = [...FEATURES, ...(parts.features ?? [])]
    this.parts = parts
    this.runtime = runtime
    this.current = options
    this.tcpPorts = new PortBook(runtime, rangesOf(options.allowPorts))
    this.udpPorts = new PortBook(runtime, rangesOf(options.allowPorts))
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
      burst: limits.failedLoginsBurst,
      perSecond: limits.failedLoginsPerSecond,
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
      isDetailed: () => this.current.detailedErrorsToClient,
      maxNameLength: limits.maxNameLength,
      features,
      clientOf: (runId) => this.logins.owner(runId),
    })
    this.workConns = new WorkConnDoor({
      runtime,
      plugins: this.plugins,
      isDetailed: () => this.current.detailedErrorsToClient,
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
    this.pending.add(connection, peer.ip)
    if (this.pending.size > maxPendingLogins) {
      this.pending.surplus()?.close(new FrpError('LIMIT', `${maxPendingLogins} connections without a login`))
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
    this.tcpPorts.allow(rangesOf(options.allowPorts))
    this.udpPorts.allow(rangesOf(options.allowPorts))
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
      closeMs: this.parts.sleepers === undefined ? CLOSE_MS : undefined,
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
        this.workConns.open(from, message, opened)
        break
      case 'NewVisitorConn':
        this.visitDoor.open(from, message, opened)
        break
      default:
        opened.channel.destroy(new FrpError('MESSAGE_UNEXPECTED', `${message.type} as the first message`))
    }
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
      bounds: () => boundsOf(this.current, this.parts.maxProxyBytes ?? Number.POSITIVE_INFINITY),
      context: {
        ports: parts.ports,
        tcpPorts: this.tcpPorts,
        udpPorts: this.udpPorts,
        httpRoutes: options.vhostHTTPPort > 0 ? routes.http : undefined,
        httpsRoutes: options.vhostHTTPSPort > 0 ? routes.https : undefined,
        tcpmuxRoutes: options.tcpmuxHTTPConnectPort > 0 ? routes.tcpmux : undefined,
        natHoles: new Rendezvous({
          runtime,
          sleepers: parts.sleepers ?? NO_SLEEPERS,
          reserveMs: options.natholeAnalysisDataReserveHours * HOUR_MS,
        }),
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
