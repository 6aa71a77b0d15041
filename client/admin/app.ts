import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type { ProxyOptions, VisitorOptions } from '../../config/load.ts'
import type { Runtime } from '../../contract/runtime.ts'
import { WebAccess } from '../../contract/web-access.ts'
import type { ProxyStatus } from '../proxies/manager.ts'
import { AdminError, jsonAnswer } from './answer.ts'
import type { ClientConfig } from './client-config.ts'
import { definitionOf, PROXY_KIND, readDefinition, VISITOR_KIND } from './definition.ts'
import { proxyStatuses } from './status.ts'
import type { StoreTable } from './store.ts'

/** A configuration with ten thousand proxies has two. */
const MAX_BODY_BYTES = 16 * 1024 * 1024
/** frp: a wrong password is answered this late. */
const GUESS_DELAY_MS = 200
/** frp: the answer to a stop gets out before the client goes. */
const STOP_MS = 100

export interface AdminParts {
  runtime: Runtime
  webServer: { user: string; password: string; pprofEnable: boolean }
  isLoopback: boolean
  config: ClientConfig
  /** Undefined: no session is up. */
  statuses: () => readonly ProxyStatus[] | undefined
  /** The server that the session is with. */
  serverAddr: () => string
  stop: () => void
}

interface Env {
  Bindings: { address: string }
}
type Handler = (context: Context<Env>) => Response | Promise<Response>

/** frpc's admin API with frp's routes and texts (client/api_router.go, client/http/controller.go). */
export function adminApp(parts: AdminParts): Hono<Env> {
  const { runtime, config } = parts
  // Without a password anything on this machine may ask: what opens other things is not told then.
  const hasSecrets = parts.webServer.user !== '' || parts.webServer.password !== ''
  const app = new Hono<Env>({ strict: true })
  app.use(async (context, next) => {
    await next()
    context.header('X-Content-Type-Options', 'nosniff')
    context.header('Content-Security-Policy', "default-src 'self'; frame-ancestors 'none'")
    context.header('Cache-Control', 'no-store')
  })
  app.get('/healthz', (context) => context.body(null, 200))
  app.use(guard(parts))
  app.use(bodyLimit({ maxSize: MAX_BODY_BYTES }))
  methods(app, '/api/reload', {
    GET: (context) => {
      config.reload(isTrue(context.req.query('strictConfig')))
      return empty()
    },
  })
  methods(app, '/api/stop', {
    POST: () => {
      runtime.after(STOP_MS, parts.stop)
      return empty()
    },
  })
  methods(app, '/api/status', {
    GET: () => jsonAnswer(proxyStatuses(parts.statuses() ?? [], parts.serverAddr(), config.store)),
  })
  methods(app, '/api/config', {
    GET: (context) => context.text(config.readText()),
    PUT: async (context) => {
      const text = await context.req.text()
      if (text === '') throw new AdminError(400, "body can't be empty")
      config.writeText(text)
      return empty()
    },
  })
  methods(app, '/api/proxy/:name/config', {
    GET: (context) => {
      const name = nameOf(context)
      const found = config.running.proxies.find((proxy) => proxy.name === name) ?? config.store?.proxies.get(name)
      if (found === undefined) throw new AdminError(404, `proxy ${JSON.stringify(name)} not found`)
      return jsonAnswer(definitionOf(PROXY_KIND, found, hasSecrets))
    },
  })
  methods(app, '/api/visitor/:name/config', {
    GET: (context) => {
      const name = nameOf(context)
      const found = config.running.visitors.find((visitor) => visitor.name === name) ?? config.store?.visitors.get(name)
      if (found === undefined) throw new AdminError(404, `visitor ${JSON.stringify(name)} not found`)
      return jsonAnswer(definitionOf(VISITOR_KIND, found, hasSecrets))
    },
  })
  if (config.store !== undefined) {
    const { proxies, visitors } = config.store
    addStore(app, parts, '/api/store/proxies', 'proxies', proxies, PROXY_KIND, hasSecrets)
    addStore(app, parts, '/api/store/visitors', 'visitors', visitors, VISITOR_KIND, hasSecrets)
  }
  if (parts.webServer.pprofEnable) {
    // Go's tools ask for it. What they look for in it are goroutines, and there are none.
    app.get('/debug/pprof/goroutine', (context) => context.text('goroutine profile: total 0\n'))
  }
  app.get('/favicon.ico', (context) => context.body(null, 204))
  app.get('/static/', (context) => context.text('frpc: the admin API is below /api, /api/status shows the proxies\n'))
  app.get('/', (context) => context.redirect('/static/', 301))
  app.notFound((context) => context.text('404 page not found\n', 404))
  app.onError((error, context) => {
    runtime.log.warn(`http response [${context.req.path}]: error: ${error.message}`)
    const status = error instanceof AdminError ? error.status : 500
    return jsonAnswer({ Code: status, Msg: error.message }, status)
  })
  return app
}

/** The routes of one table of the store; every change is applied at once. */
function addStore<T extends ProxyOptions | VisitorOptions>(
  app: Hono<Env>,
  { config, runtime }: AdminParts,
  path: string,
  key: string,
  table: StoreTable<T>,
  kind: Parameters<typeof definitionOf<T>>[0],
  hasSecrets: boolean,
): void {
  const shown = (options: T) => definitionOf(kind, options, hasSecrets)
  const changed = (what: string, name: string): void => {
    config.applyChange()
    runtime.log.info(`store: ${what} ${kind.word} ${JSON.stringify(name)}`)
  }
  methods(app, path, {
    GET: () => jsonAnswer({ [key]: table.list().map(shown) }),
    POST: async (context) => {
      const options = readDefinition(kind, await context.req.text())
      table.add(options)
      changed('created', options.name)
      return jsonAnswer(shown(options))
    },
  })
  methods(app, `${path}/:name`, {
    GET: (context) => {
      const name = nameOf(context)
      const found = table.get(name)
      if (found === undefined) throw new AdminError(404, `not found: ${kind.word} ${JSON.stringify(name)}`)
      return jsonAnswer(shown(found))
    },
    PUT: async (context) => {
      const options = readDefinition(kind, await context.req.text(), nameOf(context))
      table.update(options)
      changed('updated', options.name)
      return jsonAnswer(shown(options))
    },
    DELETE: (context) => {
      const name = nameOf(context)
      table.remove(name)
      changed('deleted', name)
      return empty()
    },
  })
}

/** Registers the methods of one path; any other is answered with 405, as frp's router does. */
function methods(app: Hono<Env>, path: string, handlers: Record<string, Handler>): void {
  for (const [method, handler] of Object.entries(handlers)) app.on(method, path, handler)
  app.all(path, () => new Response(null, { status: 405 }))
}

function guard({ runtime, webServer, isLoopback }: AdminParts): MiddlewareHandler<Env> {
  const access = new WebAccess({ runtime, user: webServer.user, password: webServer.password, isLoopback })
  return async (context, next) => {
    const { method, path } = context.req
    const refusal = access.check({
      method,
      host: context.req.header('host') ?? '',
      origin: context.req.header('origin'),
      fetchSite: context.req.header('sec-fetch-site'),
      authorization: context.req.header('authorization'),
      isChange: (method !== 'GET' && method !== 'HEAD') || path === '/api/reload',
      // The file, and what is made of it: tokens, passwords, keys.
      isSecret: /^\/api\/(config$|proxy\/|visitor\/|store\/)/.test(path),
      address: context.env.address,
    })
    if (refusal === undefined) return await next()
    if (refusal.isGuess) await new Promise<void>((resolve) => void runtime.after(GUESS_DELAY_MS, resolve))
    return context.text(`${refusal.text}\n`, refusal.status, refusal.headers)
  }
}

function nameOf(context: Context): string {
  return context.req.param('name') ?? ''
}

/** Go's strconv.ParseBool; what it cannot read is false. */
function isTrue(text: string | undefined): boolean {
  return /^(1|t|T|true|TRUE|True)$/.test(text ?? '')
}

function empty(): Response {
  return new Response(null, { status: 200 })
}
