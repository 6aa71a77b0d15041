import { completeFrpc, type FrpcOptions, type Loaded } from '../../config/load.ts'
import { parseVisitServer } from '../../config/visits.ts'
import { FrpError } from '../../contract/errors.ts'
import type { LogLevel } from '../../contract/runtime.ts'
import { escapeControls } from '../../node/log.ts'
import { environment } from '../../node/source-file.ts'
import { messageWithRemedy } from '../remedy.ts'
import { visitorOptions } from '../visit/options.ts'
import { runVisit, type VisitPlan } from '../visit/run.ts'
import { type ReadOptions, readConfig } from './config-file.ts'
import type { Flag } from './flags.ts'

/** How long an ended connection may keep the process, whatever the relay does. */
const LINGER_MS = 3_000
const MAX_PORT = 65_535
const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error']

export const VISIT_ABOUT =
  'Bring the service behind a tcp or udp port of a relay to a local port, or to stdin and stdout'

/** The flags of `frpc visit <type> <port>`. */
export const VISIT_FLAGS: readonly Flag[] = [
  { name: 'server', kind: 'string', about: 'the relay: wss://host[:443], ws://host[:80], [tcp://]host[:7000]' },
  { name: 'bind', kind: 'string', about: 'local [address:]port (default 127.0.0.1 and the port of the visit)' },
  { name: 'stdio', kind: 'bool', about: "stdin and stdout instead of a local port, for ssh's ProxyCommand" },
  { name: 'token', short: 't', kind: 'string', about: 'auth token of the relay' },
  { name: 'visit_key', kind: 'string', about: 'the proxy\'s metadatas."edgefrp.visitKey", instead of a token' },
  { name: 'user', short: 'u', kind: 'string', about: 'user' },
  { name: 'ca', kind: 'string', about: "file with the CA of the relay's certificate" },
  { name: 'insecure', kind: 'bool', about: 'take any certificate of a wss server' },
  { name: 'log_level', kind: 'string', about: 'log level on stderr (default "info", with --stdio "error")' },
]

/** What was typed. */
export interface VisitCall {
  type: string
  port: string
  /** The value of one of {@link VISIT_FLAGS}, by its name; undefined: not given. */
  given(name: string): unknown
  /** `-c`. */
  config: string | undefined
  reading: ReadOptions
}

/** Runs `frpc visit` until it ends or `signal` says stop; resolves to the exit code. One line on stderr says why. */
export async function visitCommand(call: VisitCall, signal: AbortSignal): Promise<number> {
  try {
    await runVisit(
      visitPlan(call, (fileName) => readConfig(fileName, call.reading)),
      signal,
    )
    setTimeout(() => process.exit(), LINGER_MS).unref()
    return 0
  } catch (error) {
    const line = messageWithRemedy(error).split('\n').map(escapeControls).join('; ')
    process.stderr.write(`frpc visit ${call.type} ${call.port}: ${line}\n`)
    return 1
  }
}

/** What is to be done; throws FrpError CONFIG_FIELD. */
export function visitPlan(call: VisitCall, read: (fileName: string) => Loaded<FrpcOptions>): VisitPlan {
  const { type } = call
  if (type !== 'tcp' && type !== 'udp') throw wrong(`the type must be tcp or udp, not ${type}`)
  const visitKey = textOf(call.given('visit_key'))
  const token = call.given('token')
  const isStdio = call.given('stdio') === true
  if (visitKey !== '' && token !== undefined) throw wrong('give --token or --visit-key, not both')
  if (isStdio && call.given('bind') !== undefined) throw wrong('give --bind or --stdio, not both')
  if (isStdio && type === 'udp') throw wrong('--stdio is for tcp: datagrams need a local port')
  const port = portOf(call.port, 'the port of the visit')
  return {
    target: { type, port, visitKey },
    options: optionsOf(call, read),
    isLoggedIn: visitKey === '' && (token !== undefined || call.config !== undefined),
    bind: isStdio ? undefined : bindOf(textOf(call.given('bind')), port),
    logLevel: levelOf(textOf(call.given('log_level')), isStdio),
  }
}

function optionsOf(call: VisitCall, read: (fileName: string) => Loaded<FrpcOptions>): FrpcOptions {
  const server = textOf(call.given('server'))
  if (server === '' && call.config === undefined) throw wrong('no relay: give --server, or -c with a frpc.toml')
  const file = call.config === undefined ? completeFrpc({}, { envs: environment() }).options : read(call.config).options
  const token = call.given('token')
  const parsed = server === '' ? undefined : parseVisitServer(server)
  const options = visitorOptions(file, parsed, token === undefined ? undefined : textOf(token))
  options.loginFailExit = true
  const user = call.given('user')
  if (user !== undefined) options.user = textOf(user)
  const ca = textOf(call.given('ca'))
  if (ca !== '') options.transport.tls.trustedCaFile = ca
  // Who names a URL expects what a browser does; frp's own port has a certificate that the relay signed itself.
  const isInsecure = call.given('insecure') === true
  if (isInsecure || parsed?.protocol === 'wss') options.edgefrp.tls = { ...options.edgefrp.tls, verify: !isInsecure }
  return options
}

function bindOf(bind: string, port: number): { address: string; port: number } {
  if (bind === '') return { address: '127.0.0.1', port }
  const [, ipv6, address = ipv6 ?? '127.0.0.1', digits = ''] =
    /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:\s]+)):)?(\d+)$/.exec(bind) ?? []
  return { address, port: portOf(digits === '' ? bind : digits, '--bind', 0) }
}

function portOf(digits: string, what: string, lowest = 1): number {
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : Number.NaN
  if (port >= lowest && port <= MAX_PORT) return port
  throw wrong(`${what}: ${digits} is no port in the range ${lowest}..${MAX_PORT}`)
}

function levelOf(given: string, isStdio: boolean): LogLevel {
  if (given === '') return isStdio ? 'error' : 'info'
  const level = LOG_LEVELS.find((known) => known === given)
  if (level === undefined) throw wrong(`--log-level: ${given} is none of [${LOG_LEVELS.join(' ')}]`)
  return level
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function wrong(text: string): FrpError {
  return new FrpError('CONFIG_FIELD', text)
}
