import { Command, CommanderError } from 'commander'
import { hexOf } from '../../contract/bytes.ts'
import { FrpError } from '../../contract/errors.ts'
import type { Crypto } from '../../contract/runtime.ts'
import { dashedArgument } from '../../node/pflag.ts'
import type { OutgoingOf } from '../../protocol/frp/messages.ts'
import { FlagValues, flagsOf, GATEWAY_TYPES, type GatewayType, usageOf } from './flags.ts'

/** Far above what flags need; what is longer is no command of a person. */
const MAX_COMMAND_LENGTH = 8_192
/** frp: the name of a proxy that was given none ends in so many random bytes, as hex. */
const RANDOM_NAME_BYTES = 4

/** What an ssh client asks for. */
export interface TunnelCommand {
  type: GatewayType
  /** Without the user. */
  proxyName: string
  user: string
  clientId: string
  token: string
  /** The request for the proxy, but for its name. */
  proxy: Omit<OutgoingOf<'NewProxy'>, 'type' | 'proxy_name'>
}

/**
 * Reads the command of `ssh -R … v0@relay COMMAND`: split at single blanks, without quoting, as frp does (pkg/ssh/
 * server.go). `help`: that text was asked for. Throws CONFIG_FIELD with the texts of pflag.
 */
export function readCommand(text: string, crypto: Crypto): TunnelCommand | { help: string } {
  if (text.length > MAX_COMMAND_LENGTH) {
    throw new FrpError('LIMIT', `a command of ${text.length} characters, the limit is ${MAX_COMMAND_LENGTH}`)
  }
  const [first = '', ...args] = text.split(' ')
  const type = GATEWAY_TYPES.find((known) => known === first.trim())
  if (type === undefined) {
    const known = GATEWAY_TYPES.join(' ')
    throw new FrpError('CONFIG_FIELD', `invalid proxy type: ${first.trim()}, support types: [${known}]`)
  }
  const values = new FlagValues()
  if (parse(type, args, values) === 'help') return { help: usageOf(type) }
  const proxyName = values.text('proxy-name')
  return {
    type,
    proxyName: proxyName === '' ? `sshtunnel-${type}-${hexOf(crypto.randomBytes(RANDOM_NAME_BYTES))}` : proxyName,
    user: values.text('user'),
    clientId: values.text('client-id'),
    token: values.text('token'),
    proxy: {
      proxy_type: type,
      metas: values.map('metadatas'),
      annotations: values.map('annotations'),
      remote_port: values.number('remote-port'),
      custom_domains: values.list('custom-domain'),
      subdomain: values.text('sd'),
      locations: values.list('locations'),
      http_user: values.text('http-user'),
      http_pwd: values.text('http-pwd'),
      host_header_rewrite: values.text('host-header-rewrite'),
      multiplexer: values.text('mux'),
      sk: values.text('sk'),
      allow_users: values.list('allow-users'),
    },
  }
}

function parse(type: GatewayType, args: readonly string[], values: FlagValues): 'done' | 'help' {
  const command = new Command(type).exitOverride().allowExcessArguments(true)
  command.configureOutput({ writeOut: ignore, writeErr: ignore, outputError: ignore })
  for (const flag of flagsOf(type)) {
    const short = flag.short === undefined ? '' : `-${flag.short}, `
    command.option(`${short}--${flag.name} <${flag.kind}>`, flag.help, (text) => values.add(flag, text))
  }
  try {
    command.parse(args.map(dashedArgument), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.code === 'commander.helpDisplayed') return 'help'
    throw new FrpError('CONFIG_FIELD', pflagText(error, args), { cause: error })
  }
  return 'done'
}

/** pflag's words for what commander found. */
function pflagText(error: CommanderError, args: readonly string[]): string {
  if (error.code === 'commander.optionMissingArgument') {
    const last = args.at(-1) ?? ''
    return `flag needs an argument: ${last.startsWith('--') ? last : `'${last.slice(-1)}' in ${last}`}`
  }
  const unknown = /unknown option '(-.*?)'/s.exec(error.message)?.[1]
  if (unknown === undefined) return error.message.replace(/^error: /, '')
  const given = args.find((arg) => dashedArgument(arg) === unknown) ?? unknown
  if (given.startsWith('--')) return `unknown flag: ${given.split('=')[0]}`
  return `unknown shorthand flag: '${given.charAt(1)}' in ${given}`
}

function ignore(): void {
  // The texts go to the ssh client.
}
