import { FrpError } from '../contract/errors.ts'
import { choice, port, type TableOf, table, text } from './field.ts'
import type { Path, Problems } from './problems.ts'

/** `[[edgefrp.visits]]`: services behind a relay's ports that a client brings to local ports. */

const VISIT_TYPES = ['tcp', 'udp'] as const
/** What a relay behind HTTPS listens on, and frp's own port. */
const DEFAULT_PORTS = { wss: 443, ws: 80, tcp: 7000 } as const
const MAX_PORT = 65_535

const VISIT_FIELDS = {
  /** What logs call it. */
  name: text(),
  type: choice(VISIT_TYPES, 'tcp', (type) => `unknown visit type: ${type}, optional values are [tcp udp]`),
  /** The port at the relay: the proxy's remotePort. */
  port: port(),
  bindAddr: text('127.0.0.1'),
  bindPort: port(),
  /** The proxy's `metadatas."edgefrp.visitKey"`, instead of a login. */
  visitKey: text(),
  /** As {@link parseVisitServer} reads it; "": the file's own server and token. */
  server: text(),
  /** The token of `server`; "": no login there. */
  token: text(),
}

/** A visit with all its defaults. */
export type VisitOptions = TableOf<typeof VISIT_FIELDS>

export const visitField = table(VISIT_FIELDS)

/** A relay, as a visit names it. */
export interface VisitServer {
  serverAddr: string
  serverPort: number
  protocol: 'tcp' | 'websocket' | 'wss'
  /** Whether a layer of TLS is asked for; `wss` has one of its own. */
  tls: boolean
}

/** Says what is wrong with the visits of a file. */
export function checkVisits(visits: readonly VisitOptions[], problems: Problems): void {
  const seen = new Set<string>()
  visits.forEach((visit, index) => {
    const path: Path = ['edgefrp', 'visits', index]
    if (problems.under(path)) return
    if (visit.name === '') problems.add([...path, 'name'], 'name is required')
    else if (seen.has(visit.name)) problems.add([...path, 'name'], `visit name [${visit.name}] is duplicated`)
    seen.add(visit.name)
    if (visit.port === 0) problems.add([...path, 'port'], 'port is required')
    if (visit.bindPort === 0) problems.add([...path, 'bindPort'], 'bind port is required')
    if (visit.token !== '' && visit.server === '') {
      problems.add([...path, 'token'], 'token goes with server; without server it is auth.token')
    }
    if (visit.token !== '' && visit.visitKey !== '') {
      problems.add([...path, 'visitKey'], 'cannot specify both token and visitKey')
    }
    try {
      if (visit.server !== '') parseVisitServer(visit.server)
    } catch (error) {
      problems.add([...path, 'server'], error instanceof Error ? error.message : String(error))
    }
  })
}

/**
 * Reads `wss://host[:443]`, `ws://host[:80]`, `tcp://host[:7000]` or `host[:7000]`; the last two speak TLS on the
 * frp port, as frpc does. Throws CONFIG_FIELD.
 */
export function parseVisitServer(server: string): VisitServer {
  const [, scheme, rest = ''] = /^(?:([a-zA-Z][a-zA-Z0-9+.-]*):\/\/)?(.*)$/s.exec(server) ?? []
  const kind = kindOf(scheme?.toLowerCase() ?? 'tcp')
  if (kind === undefined) throw wrong(server, `the scheme must be wss, ws or tcp, not ${scheme}`)
  // A path would be ignored: frp's WebSocket has its own.
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/?#@[\]]+))(?::(\d{1,5}))?\/?$/.exec(rest)
  if (match === null) throw wrong(server, 'expected [scheme://]host[:port]')
  const [, ipv6, host = ipv6 ?? '', digits] = match
  const serverPort = digits === undefined ? DEFAULT_PORTS[kind] : Number(digits)
  if (serverPort < 1 || serverPort > MAX_PORT)
    throw wrong(server, `port ${serverPort} must be in the range 1..${MAX_PORT}`)
  return { serverAddr: host, serverPort, protocol: kind === 'ws' ? 'websocket' : kind, tls: kind !== 'ws' }
}

function kindOf(scheme: string): keyof typeof DEFAULT_PORTS | undefined {
  switch (scheme) {
    case 'wss':
    case 'https':
      return 'wss'
    case 'ws':
    case 'http':
      return 'ws'
    case 'tcp':
      return 'tcp'
    default:
      return undefined
  }
}

function wrong(server: string, why: string): FrpError {
  return new FrpError('CONFIG_FIELD', `server ${JSON.stringify(server)}: ${why}`)
}
