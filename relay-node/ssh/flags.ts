import { type FlagValue, type PFlag, readFlag } from '../../node/pflag.ts'

/** Proxy types of the gateway, in the order in which frp names them. */
export const GATEWAY_TYPES = ['tcp', 'http', 'https', 'tcpmux', 'stcp'] as const
export type GatewayType = (typeof GATEWAY_TYPES)[number]

/** A flag of the command that an ssh client sends. */
export interface GatewayFlag extends PFlag {
  help: string
  /** Absent: of all types. */
  types?: readonly GatewayType[]
}

const HTTP_LIKE = ['http', 'https', 'tcpmux'] as const
const KEY_VALUE = 'key-value pairs (e.g., key1=value1,key2=value2)'

/** frp pkg/config/flags.go with WithSSHMode, sorted as pflag shows them. All of them take a value. */
const GATEWAY_FLAGS: readonly GatewayFlag[] = [
  { name: 'allow-users', kind: 'strings', help: 'allow visitor users', types: ['stcp'] },
  { name: 'annotations', kind: 'stringToString', help: `annotation ${KEY_VALUE}` },
  { name: 'client-id', kind: 'string', help: 'unique identifier for this frpc instance' },
  { name: 'custom-domain', short: 'd', kind: 'strings', help: 'custom domains', types: HTTP_LIKE },
  { name: 'host-header-rewrite', kind: 'string', help: 'host header rewrite', types: ['http'] },
  { name: 'http-pwd', kind: 'string', help: 'http auth password', types: ['http', 'tcpmux'] },
  { name: 'http-user', kind: 'string', help: 'http auth user', types: ['http', 'tcpmux'] },
  { name: 'locations', kind: 'strings', help: 'locations', types: ['http'] },
  { name: 'metadatas', kind: 'stringToString', help: `metadata ${KEY_VALUE}` },
  { name: 'mux', kind: 'string', help: 'multiplexer', types: ['tcpmux'] },
  { name: 'proxy-name', short: 'n', kind: 'string', help: 'proxy name' },
  { name: 'remote-port', short: 'r', kind: 'int', help: 'remote port', types: ['tcp'] },
  { name: 'sd', kind: 'string', help: 'sub domain', types: HTTP_LIKE },
  { name: 'sk', kind: 'string', help: 'secret key', types: ['stcp'] },
  { name: 'token', short: 't', kind: 'string', help: 'auth token' },
  { name: 'user', short: 'u', kind: 'string', help: 'user' },
]

/** The values of the flags that were given. */
export class FlagValues {
  private readonly values = new Map<string, FlagValue>()

  /** Reads a value as pflag does; what is given again is added to lists and replaces the rest. Throws CONFIG_FIELD. */
  add(flag: GatewayFlag, text: string): void {
    this.values.set(flag.name, readFlag(flag, text, this.values.get(flag.name)))
  }

  text(name: string): string {
    const value = this.values.get(name)
    return typeof value === 'string' ? value : ''
  }

  number(name: string): number {
    const value = this.values.get(name)
    return typeof value === 'number' ? value : 0
  }

  list(name: string): string[] {
    const value = this.values.get(name)
    return Array.isArray(value) ? value : []
  }

  map(name: string): Record<string, string> {
    const value = this.values.get(name)
    return typeof value === 'object' && !Array.isArray(value) ? value : {}
  }
}

/** What frp answers to `--help`: cobra's usage text. */
export function usageOf(type: GatewayType): string {
  const left = flagsOf(type).map(({ name, short, kind }) => {
    return `${short === undefined ? '    ' : `-${short}, `}--${name} ${kind}`
  })
  const width = Math.max(...left.map(({ length }) => length))
  const lines = flagsOf(type).map(({ kind, help }, i) => {
    const none = kind === 'stringToString' ? ' (default [])' : ''
    return `  ${(left[i] ?? '').padEnd(width)}   ${help}${none}\n`
  })
  return `Usage:\n  ssh v0@{address} [command] [flags]\n\nFlags:\n${lines.join('')}`
}

/** The flags of a proxy type. */
export function flagsOf(type: GatewayType): readonly GatewayFlag[] {
  return GATEWAY_FLAGS.filter(({ types }) => types === undefined || types.includes(type))
}
