import { parseRanges } from '../config/number-range.ts'
import { FrpError } from '../contract/errors.ts'

/** What a flag of frps sets, as a key of frps.toml. */
export interface ConfigFlag {
  /** With `-`; frp's spelling with `_` is the same flag. */
  name: string
  short?: string
  kind: 'text' | 'number' | 'switch'
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
  { name: 'bind-addr', kind: 'text', key: 'bindAddr', shown: '0.0.0.0', help: 'bind address' },
  { name: 'bind-port', short: 'p', kind: 'number', key: 'bindPort', shown: '7000', help: 'bind port' },
  { name: 'kcp-bind-port', kind: 'number', key: 'kcpBindPort', shown: '', help: 'kcp bind udp port' },
  { name: 'quic-bind-port', kind: 'number', key: 'quicBindPort', shown: '', help: 'quic bind udp port' },
  { name: 'proxy-bind-addr', kind: 'text', key: 'proxyBindAddr', shown: '0.0.0.0', help: 'proxy bind address' },
  { name: 'vhost-http-port', kind: 'number', key: 'vhostHTTPPort', shown: '', help: 'vhost http port' },
  { name: 'vhost-https-port', kind: 'number', key: 'vhostHTTPSPort', shown: '', help: 'vhost https port' },
  {
    name: 'vhost-http-timeout',
    kind: 'number',
    key: 'vhostHTTPTimeout',
    shown: '60',
    help: 'vhost http response header timeout',
  },
  { name: 'dashboard-addr', kind: 'text', key: 'webServer.addr', shown: '127.0.0.1', help: 'dashboard address' },
  { name: 'dashboard-port', kind: 'number', key: 'webServer.port', shown: '', help: 'dashboard port' },
  { name: 'dashboard-user', kind: 'text', key: 'webServer.user', shown: '', help: 'dashboard user' },
  { name: 'dashboard-pwd', kind: 'text', key: 'webServer.password', shown: '', help: 'dashboard password' },
  {
    name: 'dashboard-tls-cert-file',
    kind: 'text',
    key: 'webServer.tls.certFile',
    shown: '',
    help: 'dashboard tls cert file',
  },
  {
    name: 'dashboard-tls-key-file',
    kind: 'text',
    key: 'webServer.tls.keyFile',
    shown: '',
    help: 'dashboard tls key file',
  },
  { name: 'dashboard-tls-mode', kind: 'switch', key: '', shown: '', help: 'without effect, as in frp' },
  {
    name: 'enable-prometheus',
    kind: 'switch',
    key: 'enablePrometheus',
    shown: '',
    help: 'enable prometheus dashboard',
  },
  { name: 'log-file', kind: 'text', key: 'log.to', shown: 'console', help: 'log file' },
  { name: 'log-level', kind: 'text', key: 'log.level', shown: 'info', help: 'log level' },
  { name: 'log-max-days', kind: 'number', key: 'log.maxDays', shown: '3', help: 'log max days' },
  {
    name: 'disable-log-color',
    kind: 'switch',
    key: 'log.disablePrintColor',
    shown: '',
    help: 'disable log color in console',
  },
  { name: 'token', short: 't', kind: 'text', key: 'auth.token', shown: '', help: 'auth token' },
  { name: 'subdomain-host', kind: 'text', key: 'subDomainHost', shown: '', help: 'subdomain host' },
  { name: 'allow-ports', kind: 'text', key: 'allowPorts', shown: '', help: 'allow ports' },
  { name: 'max-ports-per-client', kind: 'number', key: 'maxPortsPerClient', shown: '', help: 'max ports per client' },
  { name: 'tls-only', kind: 'switch', key: 'transport.tls.force', shown: '', help: 'frps tls only' },
]

/** Flags that are no keys of the file. */
const OTHER_FLAGS: readonly Pick<ConfigFlag, 'name' | 'short' | 'kind'>[] = [
  { name: 'config', short: 'c', kind: 'text' },
  { name: 'edgefrp', kind: 'text' },
  { name: 'allow-unsafe', kind: 'text' },
  { name: 'strict-config', kind: 'switch' },
]

/**
 * pflag's ways in commander's: `_` in a flag's name is `-`; a switch without a value is `=true` and never takes the
 * next argument; every other flag takes the next argument, however it looks.
 */
export function normalizedArguments(args: readonly string[]): string[] {
  const out: string[] = []
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? ''
    if (arg === '--') return [...out, ...args.slice(i)]
    const equals = arg.indexOf('=')
    const spelled = equals < 0 ? arg : arg.slice(0, equals)
    const name = spelled.startsWith('--') ? spelled.replaceAll('_', '-') : spelled
    const flag = [...CONFIG_FLAGS, ...OTHER_FLAGS].find((one) => name === `--${one.name}` || name === `-${one.short}`)
    if (flag === undefined) {
      out.push(name + arg.slice(spelled.length))
    } else if (equals >= 0) {
      out.push(`--${flag.name}=${arg.slice(equals + 1)}`)
    } else if (flag.kind === 'switch') {
      out.push(`--${flag.name}=true`)
    } else {
      out.push(`--${flag.name}`)
      const value = args[++i]
      if (value !== undefined) out.push(value)
    }
  }
  return out
}

/** An object shaped like frps.toml from the flags that were given, by name. Throws CONFIG_FIELD with pflag's text. */
export function optionsOfFlags(given: ReadonlyMap<string, string>): Record<string, unknown> {
  const raw: Record<string, unknown> = {}
  for (const flag of CONFIG_FLAGS) {
    const text = given.get(flag.name)
    if (text !== undefined && flag.key !== '') put(raw, flag.key.split('.'), readValue(flag, text))
  }
  return raw
}

/** Go's strconv.ParseBool; throws CONFIG_FIELD. */
export function goBool(name: string, text: string): boolean {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false
  throw invalid(name, text, `strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`)
}

function readValue(flag: ConfigFlag, text: string): unknown {
  if (flag.key === 'allowPorts') return portRanges(flag.name, text)
  if (flag.kind === 'text') return text
  if (flag.kind === 'switch') return goBool(flag.name, text)
  if (/^[+-]?\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text)
  throw invalid(flag.name, text, `strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`)
}

/** frp pkg/config/types PortsRangeSlice: `1000-2000,3000`. */
function portRanges(name: string, text: string): { start: number; end: number }[] {
  if (text.trim() === '') return []
  const found = parseRanges(text)
  if ('wrong' in found) throw invalid(name, text, found.wrong)
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

function invalid(name: string, text: string, why: string): FrpError {
  return new FrpError('CONFIG_FIELD', `invalid argument ${JSON.stringify(text)} for "--${name}" flag: ${why}`)
}
