import { choice, type Field, flag, int, isTable, member, optional, port, table, text } from './field.ts'
import type { Path, Problems } from './problems.ts'

/** `[[visitors]]` (frp: `pkg/config/v1/visitor.go`). */

/** frp: a negative bindPort has no listener; only other visitors reach it. */
const LOWEST_BIND_PORT = Number.MIN_SAFE_INTEGER

const pluginTable = optional(
  table({
    type: choice(['virtual_net'], 'virtual_net', (type) => `unknown visitor plugin type: ${type}`),
    destinationIP: text(),
  }),
)

const VISITOR_BASE = {
  name: text(),
  enabled: flag(true),
  transport: table({ useEncryption: flag(), useCompression: flag() }),
  secretKey: text(),
  /** "": the client's own user. */
  serverUser: text(),
  serverName: text(),
  bindAddr: text('127.0.0.1'),
  bindPort: port(0, LOWEST_BIND_PORT),
  plugin: pluginTable,
}

function visitor<const T extends string, F extends Record<string, Field<unknown>>>(type: T, fields: F) {
  const only: Field<T> = { read: () => type }
  return table({ type: only, ...VISITOR_BASE, ...fields })
}

const VISITORS = {
  stcp: visitor('stcp', {}),
  sudp: visitor('sudp', {}),
  xtcp: visitor('xtcp', {
    protocol: choice(['quic', 'kcp'], 'quic', () => 'protocol should be kcp or quic'),
    keepTunnelOpen: flag(),
    maxRetriesAnHour: int(8),
    /** Seconds. */
    minRetryInterval: int(90),
    fallbackTo: text(),
    fallbackTimeoutMs: int(1000),
    natTraversal: table({ disableAssistedAddrs: flag() }),
  }),
}

type VisitorTable = { [T in keyof typeof VISITORS]: ReturnType<(typeof VISITORS)[T]['read']> }
export type VisitorType = keyof VisitorTable
/** A visitor with all its defaults, told apart by `type`. */
export type VisitorOptions = VisitorTable[VisitorType]

/** One visitor; undefined when its type is unknown. */
export const visitorField: Field<VisitorOptions | undefined> = {
  read(value, path, reading) {
    const type = member(value, 'type')
    if (isTable(value) && !isVisitorType(type)) {
      const given = text().read(type, [...path, 'type'], reading)
      if (type === undefined || typeof type === 'string') {
        reading.problem([...path, 'type'], `unknown visitor type: ${given}`)
      }
      return undefined
    }
    return VISITORS[isVisitorType(type) ? type : 'stcp'].read(value, path, reading)
  },
}

function isVisitorType(type: unknown): type is VisitorType {
  return typeof type === 'string' && Object.hasOwn(VISITORS, type)
}

/** frp: `validation/visitor.go`. */
export function checkVisitor(options: VisitorOptions, path: Path, problems: Problems): void {
  if (options.name === '') problems.add([...path, 'name'], 'name is required')
  if (options.serverName === '') problems.add([...path, 'serverName'], 'server name is required')
  if (options.bindPort === 0) problems.add([...path, 'bindPort'], 'bind port is required')
}
