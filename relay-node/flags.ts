import { parseRanges } from '../config/number-range.ts'
import { normalize, type PFlag, readFlag, wrongFlag } from '../node/pflag.ts'

/** What a flag of frps sets, as a key of frps.toml. */
export interface ConfigFlag extends PFlag {
  /** Dotted key; `''`: accepted and without effect, as in frp. */
  key: string
  /** frp's own default, for the help text. */
  shown: string
  help: string
}

/**
 * frp cmd/frps and pkg/config/flags.go. Where frp's flags have another default than its file (dashboard_addr,
 * dashboard_user, dashboard_pwd) the file's holds: nobody but the user sets a password that opens an API.
 */
export const CONFIG_FLAGS: readonly ConfigFlag[] = [
  { name: 'bind-addr', kind: 'string', key: 'bindAddr', shown: '0.0.0.0', help: 'bind address' },
  { name: 'bind-port', short: 'p', kind: 'int', key: 'bindPort', shown: '7000', help: 'bind port' },
  { name: 'kcp-bind-port', kind: 'int', key: 'kcpBindPort', shown: '', help: 'kcp bind udp port' },
  { name: 'quic-bind-port', kind: 'int', key: 'quicBindPort', shown: '', help: 'quic bind udp port' },
  { name: 'proxy-bind-addr', kind: 'string', key: 'proxyBindAddr', shown: '0.0.0.0', help: 'proxy bind address' },
  { name: 'vhost-http-port', kind: 'int', key: 'vhostHTTPPort', shown: '', help: 'vhost http port' },
  { name: 'vhost-https-port', kind: 'int', key: 'vhostHTTPSPort', shown: '', help: 'vhost https port' },
  {
    name: 'vhost-http-timeout',
    kind: 'int',
    key: 'vhostHTTPTimeout',
    shown: '60',
    help: 'vhost http response header timeout',
  },
  { name: 'dashboard-addr', kind: 'string', key: 'webServer.addr', shown: '127.0.0.1', help: 'dashboard address' },
  { name: 'dashboard-port', kind: 'int', key: 'webServer.port', shown: '', help: 'dashboard port' },
  { name: 'dashboard-user', kind: 'string', key: 'webServer.user', shown: '', help: 'dashboard user' },
  { name: 'dashboard-pwd', kind: 'string', key: 'webServer.password', shown: '', help: 'dashboard password' },
  {
    name: 'dashboard-tls-cert-file',
    kind: 'string',
    key: 'webServer.tls.certFile',
    shown: '',
    help: 'dashboard tls cert file',
  },
  {
    name: 'dashboard-tls-key-file',
    kind: 'string',
    key: 'webServer.tls.keyFile',
    shown: '',
    help: 'dashboard tls key file',
  },
  { name: 'dashboard-tls-mode', kind: 'bool', key: '', shown: '', help: 'without effect, as in frp' },
  {
    name: 'enable-prometheus',
    kind: 'bool',
    key: 'enablePrometheus',
    shown: '',
    help: 'enable prometheus dashboard',
  },
  { name: 'log-file', kind: 'string', key: 'log.to', shown: 'console', help: 'log file' },
  { name: 'log-level', kind: 'string', key: 'log.level', shown: 'info', help: 'log level' },
  { name: 'log-max-days', kind: 'int', key: 'log.maxDays', shown: '3', help: 'log max days' },
  {
    name: 'disable-log-color',
    kind: 'bool',
    key: 'log.disablePrintColor',
    shown: '',
    help: 'disable log color in console',
  },
  { name: 'token', short: 't', kind: 'string', key: 'auth.token', shown: '', help: 'auth token' },
  { name: 'subdomain-host', kind: 'string', key: 'subDomainHost', shown: '', help: 'subdomain host' },
  { name: 'allow-ports', kind: 'string', key: 'allowPorts', shown: '', help: 'allow ports' },
  { name: 'max-ports-per-client', kind: 'int', key: 'maxPortsPerClient', shown: '', help: 'max ports per client' },
  { name: 'tls-only', kind: 'bool', key: 'transport.tls.force', shown: '', help: 'frps tls only' },
]

/** Flags that are no keys of the file. */
const OTHER_FLAGS: readonly PFlag[] = [
  { name: 'config', short: 'c', kind: 'string' },
  { name: 'edgefrp', kind: 'string' },
  { name: 'allow-unsafe', kind: 'string' },
  { name: 'strict-config', kind: 'bool' },
]

/** Arguments as commander takes them. */
export function normalizedArguments(args: readonly string[]): string[] {
  return normalize(args, [...CONFIG_FLAGS, ...OTHER_FLAGS])
}

/** An object shaped like frps.toml from the flags that were given, by name. Throws CONFIG_FIELD with pflag's text. */
export function optionsOfFlags(given: ReadonlyMap<string, string>): Record<string, unknown> {
  const raw: Record<string, unknown> = {}
  for (const flag of CONFIG_FLAGS) {
    const text = given.get(flag.name)
    if (text !== undefined && flag.key !== '')
      put(raw, flag.key.split('.'), flag.key === 'allowPorts' ? portRanges(flag, text) : readFlag(flag, text))
  }
  return raw
}

/** frp pkg/config/types PortsRangeSlice: `1000-2000,3000`. */
function portRanges(flag: ConfigFlag, text: string): { start: number; end: number }[] {
  if (text.trim() === '') return []
  const found = parseRanges(text)
  if ('wrong' in found) throw wrongFlag(flag, text, found.wrong)
  return found.ranges
}

function put(table: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [key = '', ...rest] = path
  if (rest.length === 0) {
    table[key] = value
    return
  }
  const inner = (table[key] ?? {}) as Record<string, unknown> // tables of this function's own making
  table[key] = inner
  put(inner, rest, value)
}
