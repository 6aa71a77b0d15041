import { type Context, Hono } from 'hono'
import type { Relay } from '../relay.ts'
import { ApiError, jsonAnswer, route } from './answer.ts'
import { clientOf, proxyOfV1 } from './records.ts'
import { serverInfo } from './server-info.ts'

/** frp's API for dashboards, first version: the routes below `/api`, with frp's fields and texts. */
export function apiV1(relay: Relay): Hono {
  const { registry } = relay
  const app = new Hono()
  const get = (path: string, answer: (context: Context) => unknown): void =>
    route(app, 'GET', path, (context) => jsonAnswer(answer(context)))
  get('/serverinfo', () => serverInfo(relay))
  get('/proxy/:type', (context) => {
    const type = param(context, 'type')
    return { proxies: registry.list().flatMap((record) => (record.type === type ? [proxyOfV1(record)] : [])) }
  })
  get('/proxy/:type/:name', (context) => proxyNamed(relay, param(context, 'name'), param(context, 'type')))
  get('/proxies/:name', (context) => proxyNamed(relay, param(context, 'name')))
  get('/traffic/:name', (context) => {
    const name = param(context, 'name')
    const days = registry.find(name)?.days
    if (days === undefined) throw new ApiError(404, 'no proxy info found')
    return { name, trafficIn: days.map((day) => day.bytesIn), trafficOut: days.map((day) => day.bytesOut) }
  })
  get('/clients', (context) => clients(relay, context))
  get('/clients/:key', (context) => {
    const key = param(context, 'key')
    const record = registry.findClient(key)
    if (record === undefined) throw new ApiError(404, `client ${key} not found`)
    return clientOf(record)
  })
  route(app, 'DELETE', '/proxies', (context) => {
    if (context.req.query('status') !== 'offline') throw new ApiError(400, 'status only support offline')
    registry.prune()
    return jsonAnswer({ Code: 200, Msg: 'success' })
  })
  return app
}

function clients(relay: Relay, context: Context): unknown[] {
  const wanted = (name: string): string => context.req.query(name) ?? ''
  const [user, clientId, runId, status] = ['user', 'clientId', 'runId', 'status'].map(wanted)
  return relay.registry
    .listClients()
    .filter((record) => user === '' || record.user === user)
    .filter((record) => clientId === '' || record.clientId === clientId)
    .filter((record) => runId === '' || record.publicId === runId)
    .filter((record) => isOf(record.isOnline, status?.toLowerCase()))
    .map(clientOf)
}

/** Anything but `online` and `offline` means all, as in frp. */
function isOf(isOnline: boolean, status: string | undefined): boolean {
  return status === 'online' ? isOnline : status === 'offline' ? !isOnline : true
}

function proxyNamed(relay: Relay, name: string, type?: string): unknown {
  const record = relay.registry.find(name)
  if (record === undefined || (type !== undefined && record.type !== type)) {
    throw new ApiError(404, 'no proxy info found')
  }
  return proxyOfV1(record)
}

function param(context: Context, name: string): string {
  return context.req.param(name) ?? ''
}
