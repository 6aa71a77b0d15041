import { namedAddressRules } from './address-rules.ts'
import { count, flag, list, strings, table, text } from './field.ts'
import { userField } from './users.ts'
import { visitField } from './visits.ts'

/**
 * The keys that frp has not, all under one table `edgefrp`. To add a key, add a line here.
 * Numbers come from the threat model's table of limits; 0 is a value unless it says otherwise.
 */

const MIB = 1024 * 1024

/** Bounds of a relay. */
const limitsTable = table({
  /** From accept to a complete request head or TLS hello. */
  headerTimeoutSeconds: count(10, 1, 600),
  /** From accept to the first accepted first message. */
  handshakeTimeoutSeconds: count(10, 1, 600),
  /** Connections without an accepted first message; the oldest makes room. */
  maxPendingLogins: count(256, 1),
  /** Bytes that a connection may have us hold before its login. */
  bytesBeforeLogin: count(64 * 1024, 10_240),
  /** One WebSocket message after login. */
  maxMessageBytes: count(8 * MIB, 64 * 1024),
  /** yamux streams of one client. */
  maxStreamsPerClient: count(16_384, 1),
  /** Bytes held and window granted beyond yamux's 256 KiB, for one client. */
  sessionMemoryBytes: count(64 * MIB, 256 * 1024),
  /** The same for all clients of one hub. */
  hubMemoryBytes: count(16 * MIB, 256 * 1024),
  /** Frames that carry nothing, sustained and at once. */
  idleFramesPerSecond: count(2_000, 1),
  idleFramesBurst: count(10_000, 1),
  /** Failed logins of one address (a /64 for IPv6): at once, and then a second. */
  failedLoginsBurst: count(20, 1),
  failedLoginsPerSecond: count(1, 1),
  /** Right tokens, from all addresses; more wait in line. */
  loginsPerSecond: count(200, 1),
  maxProxiesPerClient: count(10_000, 1),
  /** NewProxy messages of one client: at once, and then a second. */
  newProxiesBurst: count(10_000, 1),
  newProxiesPerSecond: count(20, 1),
  /** Characters of the name of a proxy, user or client id. */
  maxNameLength: count(255, 1, 4_096),
  /** Clients and proxies that are off line but still shown, and for how long. */
  maxRemembered: count(10_000),
  rememberDays: count(7),
  udpSessionsPerProxy: count(4_096, 1),
  udpIdleSeconds: count(60, 1),
  /** Head of an HTTP message. */
  httpHeadBytes: count(64 * 1024, 1_024, 16 * MIB),
  httpFields: count(200, 1, 100_000),
  /** New work is refused when the process holds 80 % of this. */
  maxMemoryBytes: count(512 * MIB, 16 * MIB),
  /** Sockets; 0: what the process may open, less 512. */
  maxConnections: count(0),
})

/** `edgefrp` of a relay. */
export const edgefrpOfFrps = table({
  limits: limitsTable,
  auth: table({
    /** Seconds that a login's clock may be off; 0: not checked, as frp (routers boot in 1970). */
    maxClockSkew: count(0),
  }),
  /** Addresses or CIDR blocks whose X-Forwarded-For is believed. */
  trustedProxies: strings(),
  /** Addresses or CIDR blocks whose connections begin with a PROXY header (v1 or v2), on every TCP port of the relay. */
  proxyProtocolFrom: strings(),
  /** Where users of all proxies may come from, addresses or CIDR blocks; none allowed: from everywhere. */
  allowIPs: strings(),
  denyIPs: strings(),
  /** A line of JSON for each visit of a user: `console`, or the path of a file; "": none. */
  accessLog: table({ to: text(), /** Days that rotated files are kept. */ maxDays: count(3) }),
  /** File that keeps clients and traffic over restarts; "": none. The edge has its own storage. */
  stateFile: text(),
  /** Hubs on the edge beside the default one. */
  hubs: list(table({ name: text(), hosts: strings(), config: text() })),
  /** Names with tokens of their own. */
  users: list(userField),
  /** Whether `*` and whole domains may be registered as custom domains, as frp allows. */
  allowWildcard: flag(true),
})

/** `edgefrp` of a client, without `fallbackServers`, which are read against the whole file. */
export const edgefrpOfFrpc = {
  /** How often a better server is tried while a fallback serves. */
  fallbackCheckSeconds: count(30, 1),
  /** File that keeps the run id over restarts; "": none. */
  stateFile: text(),
  tls: table({
    /** Refuse a server whose certificate cannot be verified, instead of going through with a warning. */
    verify: flag(),
  }),
  /** Remote services that this client brings to local ports. */
  visits: list(visitField),
  /** What stands in the table `edgefrp` of a proxy, for files whose proxies have none (INI). */
  proxies: list(namedAddressRules),
}
