import { checkBlocks } from './address-rules.ts'
import { authFields, checkAuth, checkWebServer, logTable, quicTable, tlsFiles, webServerTable } from './both-ends.ts'
import { edgefrpOfFrps } from './edgefrp.ts'
import { flag, int, list, port, strings, type TableOf, table, text } from './field.ts'
import { FRPS_NOT_BUILT, warningsOf } from './not-built.ts'
import { checkOidcOfFrps } from './oidc-rules.ts'
import type { Problems } from './problems.ts'
import { type Context, newReading, objectOf } from './reading.ts'
import { checkUsers } from './users.ts'

/** frp: `server.go` of its plugins, the operations that exist. */
const PLUGIN_OPS: readonly string[] = ['Login', 'NewProxy', 'CloseProxy', 'Ping', 'NewWorkConn', 'NewUserConn']

/** frps.toml, key by key (frp: `pkg/config/v1/server.go`). `int` and `text`: a zero value takes the default. */
const FRPS_FIELDS = {
  version: text(),
  auth: table({
    ...authFields,
    oidc: table({ issuer: text(), audience: text(), skipExpiryCheck: flag(), skipIssuerCheck: flag() }),
  }),
  bindAddr: text('0.0.0.0'),
  bindPort: port(7000),
  kcpBindPort: port(),
  quicBindPort: port(),
  /** "" becomes bindAddr. */
  proxyBindAddr: text(),
  vhostHTTPPort: port(),
  /** Seconds to wait for a response head. */
  vhostHTTPTimeout: int(60, 'int64'),
  vhostHTTPSPort: port(),
  tcpmuxHTTPConnectPort: port(),
  tcpmuxPassthrough: flag(),
  subDomainHost: text(),
  custom404Page: text(),
  sshTunnelGateway: table({
    bindPort: port(),
    privateKeyFile: text(),
    autoGenPrivateKeyPath: text('./.autogen_ssh_key'),
    authorizedKeysFile: text(),
  }),
  webServer: webServerTable,
  enablePrometheus: flag(),
  log: logTable,
  transport: table({
    tcpMux: flag(true),
    /** Seconds. */
    tcpMuxKeepaliveInterval: int(30, 'int64'),
    /** Seconds; negative: off. */
    tcpKeepalive: int(7200, 'int64'),
    maxPoolCount: int(5, 'int64'),
    /** Seconds; negative: off. 0 becomes -1 with tcpMux and 90 without. */
    heartbeatTimeout: int(0, 'int64'),
    quic: quicTable,
    /** `force` is also true when there is a trustedCaFile. */
    tls: table({ force: flag(), ...tlsFiles }),
  }),
  detailedErrorsToClient: flag(true),
  /** tcp and udp proxies of one client; 0: no limit. */
  maxPortsPerClient: int(0, 'int64'),
  /** Seconds that a user waits for a work connection. */
  userConnTimeout: int(10, 'int64'),
  udpPacketSize: int(1500, 'int64'),
  natholeAnalysisDataReserveHours: int(168, 'int64'),
  /** Ports that clients may ask for; none listed: all. */
  allowPorts: list(table({ start: port(), end: port(), single: port() })),
  httpPlugins: list(table({ name: text(), addr: text(), path: text(), ops: strings(), tlsVerify: flag() })),
  edgefrp: edgefrpOfFrps,
}
const frpsTable = table(FRPS_FIELDS)

/** A relay's configuration with all defaults, named as in frps.toml. */
export interface FrpsOptions extends TableOf<typeof FRPS_FIELDS> {
  /** The keys that the file sets itself, dotted (`transport.heartbeatTimeout`). */
  given: ReadonlySet<string>
}

/** Options, and lines for the log that are no errors. */
export interface Loaded<T> {
  options: T
  warnings: string[]
}

/**
 * Checks and completes an object shaped like frps.toml (from a file or from flags).
 * Throws FrpError CONFIG_FIELD, one line a problem.
 */
export function completeFrps(raw: unknown, context: Context = {}): Loaded<FrpsOptions> {
  const { reading, problems, given } = newReading(context)
  const options: FrpsOptions = { ...frpsTable.read(objectOf(raw, problems), [], reading), given }
  const notes: string[] = []
  if (problems.count === 0) {
    checkAuth(options.auth, ['auth'], context.allowUnsafe ?? [], problems)
    notes.push(...checkOidcOfFrps(options, context.fileName ?? '', problems))
    checkWebServer(options.webServer, problems)
    checkAddresses(options.edgefrp, problems)
    checkUsers(options.edgefrp.users, problems)
    options.httpPlugins.forEach((plugin, index) => {
      if (plugin.ops.every((op) => PLUGIN_OPS.includes(op))) return
      problems.add(
        ['httpPlugins', index, 'ops'],
        `invalid http plugin ops, optional values are [${PLUGIN_OPS.join(' ')}]`,
      )
    })
    options.allowPorts.forEach((range, index) => {
      if (range.single > 0 || range.start <= range.end) return
      problems.add(['allowPorts', index], `range number is invalid: ${range.start}-${range.end}`)
    })
  }
  problems.throwIfAny()
  derive(options)
  return { options, warnings: [...notes, ...warningsOf(FRPS_NOT_BUILT, options, context.fileName)] }
}

function checkAddresses(edgefrp: FrpsOptions['edgefrp'], problems: Problems): void {
  for (const key of ['trustedProxies', 'proxyProtocolFrom', 'allowIPs', 'denyIPs'] as const) {
    checkBlocks(edgefrp[key], ['edgefrp', key], problems)
  }
}

/** Defaults that hang on another key. */
function derive(options: FrpsOptions): void {
  const { transport } = options
  if (options.proxyBindAddr === '') options.proxyBindAddr = options.bindAddr
  if (transport.heartbeatTimeout === 0) transport.heartbeatTimeout = transport.tcpMux ? -1 : 90
  if (transport.tls.trustedCaFile !== '') transport.tls.force = true
}
