import { type Context, Hono } from 'hono'
import type { ClientRecord } from '../client-records.ts'
import type { ProxyRecord } from '../registry.ts'
import type { Relay } from '../relay.ts'
import { ApiError, jsonAnswer, route } from './answer.ts'
import { clientOf, phaseOf, proxyOfV2 } from './records.ts'
import { serverInfo } from './server-info.ts'

/** frp: server/http/controller_v2.go. */
const DEFAULT_PAGE_SIZE = 50
const MAX_PAGE_SIZE = 200
const PROXY_TYPES: readonly string[] = ['tcp', 'udp', 'http', 'https', 'tcpmux', 'stcp', 'xtcp', 'sudp']
const STATUSES: readonly string[] = ['', 'all', 'online', 'offline']
const DAY_MS = 86_400_000

/** frp's API for dashboards, second version: the routes below `/api/v2`. */
export function apiV2(relay: Relay, nowMs: () => number): Hono {
  const { registry } = relay
  const app = new Hono()
  const get = (path: string, answer: (context: Context) => unknown): void =>
    route(app, 'GET', path, (context) => jsonAnswer(envelope(answer(context))))
  get('/users', (context) => users(relay, context))
  get('/system/info', () => systemInfo(relay))
  get('/clients', (context) => clients(relay, context))
  get('/clients/:key', (context) => clientDetail(relay, context.req.param('key') ?? ''))
  get('/proxies', (context) => proxies(relay, context))
  get('/proxies/:name', (context) => proxyOfV2(proxyNamed(relay, context)))
  get('/proxies/:name/traffic', (context) => traffic(proxyNamed(relay, context), nowMs()))
  route(app, 'POST', '/system/prune', (context) => {
    const type = (context.req.query('type') ?? '').toLowerCase()
    if (type === '') throw new ApiError(400, 'type is required')
    if (type !== 'offline_proxies') throw new ApiError(400, 'type must be one of offline_proxies')
    return jsonAnswer(envelope({ type, ...registry.prune() }))
  })
  return app
}

/** What v2 puts around every answer. */
export function envelope(data: unknown, code = 200, msg = 'success'): Record<string, unknown> {
  return { code, msg, data }
}

function users(relay: Relay, context: Context): unknown {
  const counts = new Map<string, { user: string; clientCount: number; proxyCount: number }>()
  const countsOf = (user: string) => {
    const known = counts.get(user) ?? { user, clientCount: 0, proxyCount: 0 }
    counts.set(user, known)
    return known
  }
  for (const { user } of relay.registry.listClients()) countsOf(user).clientCount += 1
  for (const { user } of relay.registry.list()) countsOf(user).proxyCount += 1
  const query = queryOf(context)
  const found = [...counts.values()].filter(({ user }) => contains(query, [user]))
  return pageOf(
    found.sort((a, b) => compare(a.user, b.user)),
    context,
  )
}

function systemInfo(relay: Relay): unknown {
  const { version, totalTrafficIn, totalTrafficOut, curConns, clientCounts, proxyTypeCount, ...config } =
    serverInfo(relay)
  return {
    version,
    config: { ...config, allowPortsStr: config['allowPortsStr'] ?? '', tlsForce: config['tlsForce'] ?? false },
    status: { totalTrafficIn, totalTrafficOut, curConns, clientCounts, proxyTypeCount },
  }
}

function clients(relay: Relay, context: Context): unknown {
  const isWanted = filterOf(context)
  const runId = context.req.query('runID') ?? ''
  const query = queryOf(context)
  const found = relay.registry
    .listClients()
    .filter((record) => isWanted(record, record.isOnline))
    .filter((record) => runId === '' || record.publicId === runId)
    .filter((record) => contains(query, textsOfClient(record)))
  return pageOf(found.map(clientOf), context)
}

function textsOfClient(record: ClientRecord): string[] {
  const { key, user, clientId, publicId, version, wireProtocol, hostname, ip } = record
  return [key, user, clientId, publicId, version, wireProtocol, hostname, ip]
}

function clientDetail(relay: Relay, key: string): unknown {
  const record = relay.registry.findClient(key)
  if (record === undefined) throw new ApiError(404, `client ${key} not found`)
  const own = relay.registry.list().filter(({ user, clientId }) => user === record.user && clientId === record.clientId)
  return {
    ...clientOf(record),
    status: {
      phase: record.isOnline ? 'online' : 'offline',
      curConns: own.reduce((sum, { stats }) => sum + (stats?.connections ?? 0), 0),
      proxyCount: own.length,
    },
  }
}

function proxies(relay: Relay, context: Context): unknown {
  const isWanted = filterOf(context)
  const type = (context.req.query('type') ?? '').toLowerCase()
  if (type !== '' && !PROXY_TYPES.includes(type)) {
    throw new ApiError(400, `type must be one of ${PROXY_TYPES.join(', ')}`)
  }
  const query = queryOf(context)
  const found = relay.registry
    .list()
    .filter((record) => type === '' || record.type === type)
    .filter((record) => isWanted(record, record.message !== undefined))
    .filter((record) => contains(query, textsOfProxy(record)))
    // The list is sorted by name already, and sorting is stable.
    .sort((a, b) => compare(a.type, b.type))
  return pageOf(found.map(proxyOfV2), context)
}

function textsOfProxy(record: ProxyRecord): string[] {
  const { name, type, user, clientId, message } = record
  const port = message === undefined || message.remote_port === 0 ? '' : String(message.remote_port)
  const domains = message === undefined ? [] : [...message.custom_domains, message.subdomain]
  return [name, type, user, clientId, phaseOf(record), port, ...domains]
}

function proxyNamed(relay: Relay, context: Context): ProxyRecord {
  const record = relay.registry.find(context.req.param('name') ?? '')
  if (record === undefined) throw new ApiError(404, 'no proxy info found')
  return record
}

function traffic(record: ProxyRecord, nowMs: number): unknown {
  const history = record.days.map(({ bytesIn, bytesOut }, age) => ({
    date: new Date(nowMs - age * DAY_MS).toISOString().slice(0, 10),
    trafficIn: bytesIn,
    trafficOut: bytesOut,
  }))
  return { name: record.name, unit: 'bytes', granularity: 'day', history: history.reverse() }
}

/** `user`, `clientID` and `status` of a query; an explicit empty `user` asks for the empty user. */
function filterOf(context: Context): (record: { user: string; clientId: string }, isOnline: boolean) => boolean {
  const user = context.req.query('user')
  const clientId = context.req.query('clientID') ?? ''
  const status = (context.req.query('status') ?? '').toLowerCase()
  if (!STATUSES.includes(status)) throw new ApiError(400, 'status must be one of all, online, offline')
  return (record, isOnline) =>
    (user === undefined || record.user === user) &&
    (clientId === '' || record.clientId === clientId) &&
    (status === 'online' ? isOnline : status === 'offline' ? !isOnline : true)
}

function queryOf(context: Context): string {
  return (context.req.query('q') ?? '').toLowerCase()
}

function contains(query: string, texts: readonly string[]): boolean {
  return texts.some((text) => text.toLowerCase().includes(query))
}

function pageOf(items: readonly unknown[], context: Context): unknown {
  const page = positive(context.req.query('page') ?? '', 1, 'page')
  const pageSize = positive(context.req.query('pageSize') ?? '', DEFAULT_PAGE_SIZE, 'pageSize')
  if (pageSize > MAX_PAGE_SIZE) throw new ApiError(400, `pageSize must be between 1 and ${MAX_PAGE_SIZE}`)
  const start = (page - 1) * pageSize
  return { total: items.length, page, pageSize, items: items.slice(start, start + pageSize) }
}

function positive(text: string, fallback: number, name: string): number {
  if (text === '') return fallback
  const value = /^\+?\d{1,15}$/.test(text) ? Number(text) : 0
  if (value < 1) throw new ApiError(400, `${name} must be a positive integer`)
  return value
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
