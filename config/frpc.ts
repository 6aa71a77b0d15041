import { giveAddressRules } from './address-rules.ts'
import { authFields, logTable, quicTable, tlsFiles, valueSource, webServerTable } from './both-ends.ts'
import { edgefrpOfFrpc } from './edgefrp.ts'
import {
  anyTable,
  choice,
  flag,
  int,
  isTable,
  list,
  mapOf,
  member,
  port,
  stringMap,
  strings,
  type TableOf,
  table,
  text,
} from './field.ts'
import { checkFrpc } from './frpc-rules.ts'
import type { Loaded } from './frps.ts'
import { FRPC_NOT_BUILT, warningsOf } from './not-built.ts'
import { lowered, overlay } from './overlay.ts'
import type { Path, Problems } from './problems.ts'
import { checkProxy, type ProxyOptions, proxyField } from './proxies.ts'
import { type Context, newReading, objectOf } from './reading.ts'
import { checkVisitor, type VisitorOptions, visitorField } from './visitors.ts'

/** frp: `validation.go`, SupportedTransportProtocols and SupportedWireProtocols. */
const PROTOCOLS = ['tcp', 'kcp', 'quic', 'websocket', 'wss'] as const
const WIRE_PROTOCOLS = ['v1', 'v2'] as const

const authTable = table({
  ...authFields,
  oidc: table({
    clientID: text(),
    clientSecret: text(),
    audience: text(),
    scope: text(),
    tokenEndpointURL: text(),
    additionalEndpointParams: stringMap(),
    trustedCaFile: text(),
    insecureSkipVerify: flag(),
    proxyURL: text(),
    tokenSource: valueSource,
  }),
})

const transportTable = table({
  protocol: choice(PROTOCOLS, 'tcp', () => `invalid transport.protocol, optional values are [${PROTOCOLS.join(' ')}]`),
  wireProtocol: choice(
    WIRE_PROTOCOLS,
    'v1',
    () => `invalid transport.wireProtocol, optional values are [${WIRE_PROTOCOLS.join(' ')}]`,
  ),
  /** Seconds. */
  dialServerTimeout: int(10, 'int64'),
  /** Seconds; negative: off. */
  dialServerKeepalive: int(7200, 'int64'),
  connectServerLocalIP: text(),
  /** "" becomes the environment's `http_proxy`, lower case only. */
  proxyURL: text(),
  /** frp's documents say 0, its code 1: it cannot be 0. */
  poolCount: int(1),
  tcpMux: flag(true),
  /** Seconds. */
  tcpMuxKeepaliveInterval: int(30, 'int64'),
  quic: quicTable,
  /** Seconds; negative: off. 0 becomes -1 with tcpMux, 30 and 90 without. */
  heartbeatInterval: int(0, 'int64'),
  heartbeatTimeout: int(0, 'int64'),
  tls: table({ enable: flag(true), disableCustomTLSFirstByte: flag(true), ...tlsFiles }),
})

/** frpc.toml, key by key (frp: `pkg/config/v1/client.go`), without proxies, visitors and our table. */
const FRPC_FIELDS = {
  version: text(),
  clientID: text(),
  user: text(),
  serverAddr: text('0.0.0.0'),
  serverPort: port(7000),
  natHoleStunServer: text('stun.easyvoip.com:3478'),
  dnsServer: text(),
  loginFailExit: flag(true),
  /** Names of proxies and visitors to run; none listed: all. */
  start: strings(),
  auth: authTable,
  log: logTable,
  webServer: webServerTable,
  transport: transportTable,
  virtualNet: table({ address: text() }),
  featureGates: mapOf(flag(), 'map[string]bool'),
  udpPacketSize: int(1500, 'int64'),
  metadatas: stringMap(),
  includes: strings(),
  store: table({ path: text() }),
}

/** Where a client logs in: the server of the file, or one of `edgefrp.fallbackServers`. */
export interface ServerOptions {
  serverAddr: string
  serverPort: number
  auth: ReturnType<typeof authTable.read>
  transport: ReturnType<typeof transportTable.read>
}

const fallbackTable = table({
  serverAddr: text(),
  serverPort: port(7000),
  auth: authTable,
  transport: transportTable,
})

const fallbackServers = list(fallbackTable)

const frpcTable = table({
  ...FRPC_FIELDS,
  proxies: list(proxyField),
  visitors: list(visitorField),
  // Read in a second step, laid over the file's own server.
  edgefrp: table({ ...edgefrpOfFrpc, fallbackServers: list(anyTable()) }),
})

/** A client's configuration with all defaults, named as in frpc.toml. */
export interface FrpcOptions extends TableOf<typeof FRPC_FIELDS> {
  /** What is to run: enabled, and named in `start` when there is one. */
  proxies: ProxyOptions[]
  visitors: VisitorOptions[]
  edgefrp: TableOf<typeof edgefrpOfFrpc> & { fallbackServers: ServerOptions[] }
  /** The keys that the file sets itself, dotted (`transport.heartbeatInterval`). */
  given: ReadonlySet<string>
}

/** Proxies and visitors with the places that they came from, before any is left out. */
export interface Sections {
  proxies: Entry<ProxyOptions>[]
  visitors: Entry<VisitorOptions>[]
}
interface Entry<T> {
  options: T
  path: Path
  problems: Problems
}

/**
 * Checks and completes an object shaped like frpc.toml (from a file or from flags); `included` are the sections
 * of other files. Throws FrpError CONFIG_FIELD, one line a problem.
 */
export function completeFrpc(raw: unknown, context: Context = {}, included: Sections[] = []): Loaded<FrpcOptions> {
  const { reading, problems, given } = newReading(context)
  const top = objectOf(raw, problems)
  const basic = frpcTable.read(top, [], reading)
  const servers = fallbackServers.read(
    basic.edgefrp.fallbackServers.map((server) => (problems.count === 0 ? inherit(server, top) : server)),
    ['edgefrp', 'fallbackServers'],
    reading,
  )
  const read = { ...basic, edgefrp: { ...basic.edgefrp, fallbackServers: servers } }
  for (const { transport } of [read, ...servers]) derive(transport, context.envs ?? {})
  const own = sectionsOf(read, problems)
  const proxies = [own, ...included].flatMap((sections) => sections.proxies)
  const visitors = [own, ...included].flatMap((sections) => sections.visitors)
  const notes = problems.count === 0 ? checkFrpc(read, context, problems) : []
  checkNames('proxy', proxies)
  checkNames('visitor', visitors)
  const runs = (entry: Entry<{ name: string; enabled: boolean }>): boolean =>
    entry.options.enabled && (read.start.length === 0 || read.start.includes(entry.options.name))
  const runningProxies = proxies.filter(runs)
  const runningVisitors = visitors.filter(runs)
  if (problems.count === 0) {
    giveAddressRules(
      read.edgefrp.proxies,
      proxies.map(({ options }) => options),
      problems,
    )
  }
  for (const entry of runningProxies) ifSound(entry, () => checkProxy(entry.options, entry.path, entry.problems))
  for (const entry of runningVisitors) ifSound(entry, () => checkVisitor(entry.options, entry.path, entry.problems))
  for (const other of new Set([...proxies, ...visitors].map((entry) => entry.problems))) {
    if (other !== problems) problems.addAll(other)
  }
  problems.throwIfAny()
  const options: FrpcOptions = {
    ...read,
    proxies: runningProxies.map((entry) => entry.options),
    visitors: runningVisitors.map((entry) => entry.options),
    given,
  }
  return { options, warnings: [...notes, ...warningsOf(FRPC_NOT_BUILT, options, context.fileName)] }
}

/** Checks and completes one proxy, from flags or a store. Throws FrpError CONFIG_FIELD. */
export function completeProxy(raw: unknown, context: Context = {}): ProxyOptions {
  const { reading, problems } = newReading(context)
  const options = proxyField.read(objectOf(raw, problems), [], reading)
  if (options !== undefined && problems.count === 0) checkProxy(options, [], problems)
  return sound(options, problems)
}

/** Checks and completes one visitor, from flags or a store. Throws FrpError CONFIG_FIELD. */
export function completeVisitor(raw: unknown, context: Context = {}): VisitorOptions {
  const { reading, problems } = newReading(context)
  const options = visitorField.read(objectOf(raw, problems), [], reading)
  if (options !== undefined && problems.count === 0) checkVisitor(options, [], problems)
  return sound(options, problems)
}

/** The proxies and visitors of an included file; its other keys are checked and dropped, as in frp. */
export function readSections(raw: unknown, context: Context): Sections {
  const { reading, problems } = newReading(context)
  const sections = sectionsOf(frpcTable.read(objectOf(raw, problems), [], reading), problems)
  if (sections.proxies.length === 0 && sections.visitors.length === 0) problems.throwIfAny()
  return sections
}

/** Adds the user's name as frp does: on the wire a proxy is `{user}.{name}`. */
export function wireName(user: string, name: string): string {
  return user === '' ? name : `${user}.${name}`
}

function sectionsOf(
  read: Pick<ReturnType<typeof frpcTable.read>, 'proxies' | 'visitors'>,
  problems: Problems,
): Sections {
  const entries = <T>(options: (T | undefined)[], key: string): Entry<T>[] =>
    options.flatMap((one, index) => (one === undefined ? [] : [{ options: one, path: [key, index], problems }]))
  return { proxies: entries(read.proxies, 'proxies'), visitors: entries(read.visitors, 'visitors') }
}

/** frp: `load.go`, validateNoDuplicateNames; before any is left out. */
function checkNames(kind: string, entries: readonly Entry<{ name: string }>[]): void {
  const seen = new Set<string>()
  for (const { options, path, problems } of entries) {
    if (options.name !== '' && seen.has(options.name)) {
      problems.add([...path, 'name'], `${kind} name [${options.name}] is duplicated`)
    }
    seen.add(options.name)
  }
}

function ifSound(entry: Entry<unknown>, check: () => void): void {
  if (!entry.problems.under(entry.path)) check()
}

function sound<T>(options: T | undefined, problems: Problems): T {
  problems.throwIfAny()
  if (options === undefined) throw new TypeError('a field that reads undefined adds a problem')
  return options
}

/** Defaults that hang on another key or on the environment. */
function derive(transport: ServerOptions['transport'], envs: Readonly<Record<string, string>>): void {
  if (transport.proxyURL === '') transport.proxyURL = envs['http_proxy'] ?? ''
  if (transport.heartbeatInterval === 0) transport.heartbeatInterval = transport.tcpMux ? -1 : 30
  if (transport.heartbeatTimeout === 0) transport.heartbeatTimeout = transport.tcpMux ? -1 : 90
}

/**
 * A fallback server says what differs: its `auth` and `transport` are laid over those of the file. The server
 * name of TLS is not inherited, for it belongs to the other host.
 */
function inherit(server: Record<string, unknown>, top: Record<string, unknown>): Record<string, unknown> {
  const transport = lowered(member(top, 'transport'))
  if (isTable(transport['tls'])) delete transport['tls']['servername']
  const auth = lowered(member(top, 'auth'))
  const own = lowered(server)
  // One of the two may stand in a file: the server's own one is laid over either.
  if (isTable(own['auth']) && ['token', 'tokensource'].some((key) => Object.hasOwn(own['auth'] ?? {}, key))) {
    delete auth['token']
    delete auth['tokensource']
  }
  return overlay({ auth, transport }, own)
}
