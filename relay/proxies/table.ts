import type { Log, Runtime } from '../../contract/runtime.ts'
import type { NewProxy } from '../../protocol/frp/messages.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import type { Groups } from '../groups.ts'
import type { HttpRoutes } from '../http-routes.ts'
import type { HttpTarget } from '../http-target.ts'
import type { Addresses, Ports } from '../ingress.ts'
import type { Rendezvous } from '../nathole/rendezvous.ts'
import type { PortBook, PortRange } from '../ports.ts'
import type { VisitorLeg, WorkConns } from '../proxy.ts'
import { httpProxy } from './http.ts'
import { httpsProxy } from './https.ts'
import { secretProxy } from './secret.ts'
import { tcpProxy } from './tcp.ts'
import type { TcpGroups } from './tcp-group.ts'
import { tcpmuxProxy } from './tcpmux.ts'
import { udpProxy } from './udp.ts'
import { xtcpProxy } from './xtcp.ts'

/** frp's proxy types. */
export type ProxyType = 'tcp' | 'udp' | 'http' | 'https' | 'tcpmux' | 'stcp' | 'sudp' | 'xtcp'

/** What a proxy may need of its relay; a type takes what it needs. */
export interface ProxyContext {
  runtime: Runtime
  log: Log
  message: NewProxy
  /** The client that has it. */
  owner: { user: string; runId: string }
  workConns: WorkConns
  ports: Ports
  tcpPorts: PortBook
  udpPorts: PortBook
  /** The only ports that its user may have; undefined: all of the relay's. */
  onlyPorts: readonly PortRange[] | undefined
  /** Undefined: vhost HTTP is off. */
  httpRoutes: HttpRoutes<HttpTarget> | undefined
  /** Undefined: vhost HTTPS is off. */
  httpsRoutes: HttpRoutes<VhostTarget> | undefined
  /** Undefined: the port of HTTP CONNECT is off. */
  tcpmuxRoutes: HttpRoutes<VhostTarget> | undefined
  natHoles: Rendezvous
  groups: Groups
  tcpGroups: TcpGroups
  subDomainHost: string
  /** Users of a udp proxy that are remembered, and how long after their last datagram they may be answered. */
  udpSessions: number
  udpIdleMs: number
  /** How long an idle connection to a web server is kept. */
  idleUpstreamMs: number
}

/** What is behind a host of an https or tcpmux proxy. */
export interface VhostTarget {
  message: NewProxy
  workConns: WorkConns
}

/** One registered proxy. */
export interface RelayProxy {
  /** Keys of the directory that it needs beside its name. */
  readonly claims: readonly string[]
  /** Not undefined: `claims` may be held by others of this group too. */
  readonly group?: string | undefined
  /** Whether it counts against maxPortsPerClient. */
  readonly usesPort: boolean
  /** Starts to serve, once the keys are claimed; returns `remote_addr` of NewProxyResp. Throws FrpError. */
  open(): Promise<string>
  /** Serves again after sleep, on the port that `message` has by now; what was claimed is still held. */
  reopen(): void
  close(): void
  /**
   * `tcp:<port>`, `udp:<port>` or `secret:<name>`: what visitors ask for. Of a port undefined before `open`, and
   * always for other types.
   */
  readonly visitKey?: string | undefined
  /** A visitor's connection, after the handshake; `addresses` say where the visitor is, `leg` how it was wrapped. */
  visit?(visitor: ByteStream, addresses: Addresses, leg: VisitorLeg): void
}

/** One row a type. A factory throws FrpError for what is wrong. */
export const PROXY_TYPES: Readonly<Record<ProxyType, (context: ProxyContext) => RelayProxy>> = {
  tcp: tcpProxy,
  udp: udpProxy,
  http: httpProxy,
  https: httpsProxy,
  tcpmux: tcpmuxProxy,
  stcp: secretProxy,
  sudp: secretProxy,
  xtcp: xtcpProxy,
}
