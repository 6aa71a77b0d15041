import type { Flag } from './flags.ts'

/** The types of proxy that frpc runs from flags alone, in frp's order. */
export const QUICK_TYPES = ['tcp', 'udp', 'tcpmux', 'http', 'https', 'stcp', 'sudp', 'xtcp'] as const

export type QuickType = (typeof QUICK_TYPES)[number]

/** Those that have a visitor: `frpc <type> visitor`. */
export const QUICK_VISITOR_TYPES = ['stcp', 'sudp', 'xtcp'] as const

export type QuickVisitorType = (typeof QUICK_VISITOR_TYPES)[number]

/** A flag and the key of the configuration that it sets, with dots between tables. */
interface ConfigFlag extends Flag {
  key: string
}

const COMMON: readonly ConfigFlag[] = [
  { name: 'server_addr', short: 's', kind: 'string', key: 'serverAddr', about: "frp server's address" },
  { name: 'server_port', short: 'P', kind: 'int', key: 'serverPort', about: "frp server's port (default 7000)" },
  {
    name: 'protocol',
    short: 'p',
    kind: 'string',
    key: 'transport.protocol',
    about: 'optional values are [tcp kcp quic websocket wss]',
  },
  { name: 'log_level', kind: 'string', key: 'log.level', about: 'log level (default "info")' },
  { name: 'log_file', kind: 'string', key: 'log.to', about: 'console or file path (default "console")' },
  { name: 'log_max_days', kind: 'int', key: 'log.maxDays', about: 'log file reversed days (default 3)' },
  { name: 'disable_log_color', kind: 'bool', key: 'log.disablePrintColor', about: 'disable log color in console' },
  {
    name: 'tls_server_name',
    kind: 'string',
    key: 'transport.tls.serverName',
    about: 'specify the custom server name of tls certificate',
  },
  {
    name: 'dns_server',
    kind: 'string',
    key: 'dnsServer',
    about: 'specify dns server instead of using system default one',
  },
  { name: 'tls_enable', kind: 'bool', key: 'transport.tls.enable', about: 'enable frpc tls (default true)' },
  { name: 'user', short: 'u', kind: 'string', key: 'user', about: 'user' },
  { name: 'client-id', kind: 'string', key: 'clientID', about: 'unique identifier for this frpc instance' },
  { name: 'token', short: 't', kind: 'string', key: 'auth.token', about: 'auth token' },
]

const PROXY: readonly ConfigFlag[] = [
  { name: 'proxy_name', short: 'n', kind: 'string', key: 'name', about: 'proxy name' },
  {
    name: 'metadatas',
    kind: 'stringToString',
    key: 'metadatas',
    about: 'metadata key-value pairs (e.g., key1=value1,key2=value2)',
  },
  {
    name: 'annotations',
    kind: 'stringToString',
    key: 'annotations',
    about: 'annotation key-value pairs (e.g., key1=value1,key2=value2)',
  },
  { name: 'local_ip', short: 'i', kind: 'string', key: 'localIP', about: 'local ip (default "127.0.0.1")' },
  { name: 'local_port', short: 'l', kind: 'int', key: 'localPort', about: 'local port' },
  { name: 'ue', kind: 'bool', key: 'transport.useEncryption', about: 'use encryption' },
  { name: 'uc', kind: 'bool', key: 'transport.useCompression', about: 'use compression' },
  {
    name: 'bandwidth_limit_mode',
    kind: 'string',
    key: 'transport.bandwidthLimitMode',
    about: 'bandwidth limit mode (default "client")',
  },
  {
    name: 'bandwidth_limit',
    kind: 'string',
    key: 'transport.bandwidthLimit',
    about: 'bandwidth limit (e.g. 100KB or 1MB)',
  },
]

const REMOTE_PORT: readonly ConfigFlag[] = [
  { name: 'remote_port', short: 'r', kind: 'int', key: 'remotePort', about: 'remote port' },
]
const DOMAINS: readonly ConfigFlag[] = [
  { name: 'custom_domain', short: 'd', kind: 'strings', key: 'customDomains', about: 'custom domains' },
  { name: 'sd', kind: 'string', key: 'subdomain', about: 'sub domain' },
]
const HTTP_AUTH: readonly ConfigFlag[] = [
  { name: 'http_user', kind: 'string', key: 'httpUser', about: 'http auth user' },
  { name: 'http_pwd', kind: 'string', key: 'httpPassword', about: 'http auth password' },
]
const SECRET: readonly ConfigFlag[] = [
  { name: 'sk', kind: 'string', key: 'secretKey', about: 'secret key' },
  { name: 'allow_users', kind: 'strings', key: 'allowUsers', about: 'allow visitor users' },
]

/** frp, pkg/config/flags.go registerVisitorBaseConfigFlags: the same for all types. */
const VISITOR: readonly ConfigFlag[] = [
  { name: 'visitor_name', short: 'n', kind: 'string', key: 'name', about: 'visitor name' },
  { name: 'ue', kind: 'bool', key: 'transport.useEncryption', about: 'use encryption' },
  { name: 'uc', kind: 'bool', key: 'transport.useCompression', about: 'use compression' },
  { name: 'sk', kind: 'string', key: 'secretKey', about: 'secret key' },
  { name: 'server_name', kind: 'string', key: 'serverName', about: 'server name' },
  { name: 'server-user', kind: 'string', key: 'serverUser', about: 'server user' },
  { name: 'bind_addr', kind: 'string', key: 'bindAddr', about: 'bind addr (default "127.0.0.1")' },
  { name: 'bind_port', kind: 'int', key: 'bindPort', about: 'bind port' },
]

const OF_TYPE: Record<QuickType, readonly ConfigFlag[]> = {
  tcp: REMOTE_PORT,
  udp: REMOTE_PORT,
  http: [
    ...DOMAINS,
    ...HTTP_AUTH,
    { name: 'locations', kind: 'strings', key: 'locations', about: 'locations' },
    { name: 'host_header_rewrite', kind: 'string', key: 'hostHeaderRewrite', about: 'host header rewrite' },
  ],
  https: DOMAINS,
  tcpmux: [...DOMAINS, ...HTTP_AUTH, { name: 'mux', kind: 'string', key: 'multiplexer', about: 'multiplexer' }],
  stcp: SECRET,
  sudp: SECRET,
  xtcp: SECRET,
}

/** The flags of `frpc <type>` beside those of every command. */
export function quickFlags(type: QuickType): readonly Flag[] {
  return [...COMMON, ...PROXY, ...OF_TYPE[type]]
}

/** The flags of `frpc <type> visitor` beside those of every command. */
export const QUICK_VISITOR_FLAGS: readonly Flag[] = [...COMMON, ...VISITOR]

/** All flags of all types, to tell flags with a value from those without. */
export const ALL_QUICK_FLAGS: readonly Flag[] = [...COMMON, ...PROXY, ...Object.values(OF_TYPE).flat()]

/** The flags of `frpc <first> <second>` if that is a visitor's command. */
export function quickVisitorFlags(first: string, second: string): readonly Flag[] | undefined {
  return second === 'visitor' && QUICK_VISITOR_TYPES.some((type) => type === first) ? QUICK_VISITOR_FLAGS : undefined
}

interface Table {
  [key: string]: unknown
}

/**
 * The object that a configuration file with the same meaning would give: what is wrong with it is decided where
 * files are checked. `given` answers undefined for a flag that was not given.
 */
export function quickConfig(type: QuickType, given: (flag: Flag) => unknown): object {
  return configOf('proxies', type, [...PROXY, ...OF_TYPE[type]], given)
}

/** The same for `frpc <type> visitor`. */
export function quickVisitorConfig(type: QuickVisitorType, given: (flag: Flag) => unknown): object {
  return configOf('visitors', type, VISITOR, given)
}

function configOf(
  key: 'proxies' | 'visitors',
  type: string,
  flags: readonly ConfigFlag[],
  given: (flag: Flag) => unknown,
): object {
  const entry: Table = { type }
  // The flag's default differs from the file's 0.0.0.0 (frp, pkg/config/flags.go).
  const config: Table = { serverAddr: '127.0.0.1', [key]: [entry] }
  for (const flag of COMMON) set(config, flag.key, given(flag))
  for (const flag of flags) set(entry, flag.key, given(flag))
  return config
}

function set(table: Table, path: string, value: unknown): void {
  if (value === undefined) return
  const keys = path.split('.')
  const last = keys.pop() ?? path
  let at = table
  for (const key of keys) {
    const next: Table = (at[key] as Table | undefined) ?? {} // only this function makes inner tables
    at[key] = next
    at = next
  }
  at[last] = value
}
