import { type Context, Hono, type MiddlewareHandler } from 'hono'
import type { Runtime } from '../../contract/runtime.ts'
import { isLoopbackAddress, WebAccess } from '../../contract/web-access.ts'
import { OWN_PATH } from '../../protocol/frp/own-path.ts'
import { METRICS_TYPE, metricsText } from '../metrics.ts'
import type { Relay } from '../relay.ts'
import { apiActions } from './actions.ts'
import { ApiError, jsonAnswer, notFound, route } from './answer.ts'
import { addStatusPage } from './status-page.ts'
import { apiV1 } from './v1.ts'
import { apiV2, envelope } from './v2.ts'

/** frp: a wrong password is answered this late. */
export const GUESS_DELAY_MS = 200

export interface RelayApp {
  /** Answers a request for one of the relay's own paths; `address` is the peer's IP address. */
  fetch(request: Request, address?: string): Response | Promise<Response>
}

/** What a handler knows beside its request. */
interface Env {
  Bindings: { address: string }
}

/**
 * The relay's own HTTP paths on its public addresses, below the prefix, the same on every runtime. `healthz` is
 * there always; the rest only where `webServer.user` and `webServer.password` are both set. A wrong password is
 * answered `guessDelayMs` late: a relay that sleeps answers at once, for a timer keeps it awake. `onAllowed` is called
 * for each request that may see what is behind the password.
 */
export function relayApp(relay: Relay, runtime: Runtime, guessDelayMs = 0, onAllowed?: () => void): RelayApp {
  const { webServer } = relay.options
  const app = newApp(runtime)
  const own = new Hono<Env>()
  own.get('/healthz', (context) => context.body(null, 200))
  if (webServer.user !== '' && webServer.password !== '') {
    own.use(guard(relay, runtime, guessDelayMs, onAllowed))
    addRoutes(own, relay, runtime)
    addStatusPage(own, '/dashboard', OWN_PATH)
  }
  app.route(OWN_PATH, own)
  return served(app)
}

/** What `webServer.port` serves: frp's paths, on a listener of its own. */
export function webServerApp(relay: Relay, runtime: Runtime): RelayApp {
  const app = newApp(runtime)
  app.get('/healthz', (context) => context.body(null, 200))
  app.use(guard(relay, runtime, GUESS_DELAY_MS))
  addRoutes(app, relay, runtime)
  if (relay.options.webServer.pprofEnable) {
    // Go's tools and frp's own tests ask for it. What they look for in it are goroutines, and there are none.
    app.get('/debug/pprof/goroutine', (context) => context.text('goroutine profile: total 0\n'))
  }
  app.get('/favicon.ico', (context) => context.body(null, 204))
  addStatusPage(app, '/static')
  app.get('/', (context) => context.redirect('/static/', 301))
  return served(app)
}

function newApp(runtime: Runtime): Hono<Env> {
  // `/api/` is not `/api`, as in frp; and a page below a prefix hangs on its last slash.
  const app = new Hono<Env>({ strict: true })
  app.use(async (context, next) => {
    await next()
    context.header('X-Content-Type-Options', 'nosniff')
    context.header('Content-Security-Policy', "default-src 'self'; frame-ancestors 'none'")
    context.header('Cache-Control', 'no-store')
  })
  app.notFound(notFound)
  app.onError((error, context) => failed(error, context, runtime))
  return app
}

function addRoutes(app: Hono<Env>, relay: Relay, runtime: Runtime): void {
  if (relay.options.enablePrometheus) {
    route(app, 'GET', '/metrics', (context) => context.body(metricsText(relay), 200, { 'Content-Type': METRICS_TYPE }))
  }
  app.route(
    '/api/v2',
    apiV2(relay, () => runtime.nowMs()),
  )
  // Before v1, which answers other methods on these paths with 405.
  app.route('/api', apiActions(relay))
  app.route('/api', apiV1(relay))
}

function guard(relay: Relay, runtime: Runtime, guessDelayMs: number, onAllowed?: () => void): MiddlewareHandler<Env> {
  const { user, password, addr } = relay.options.webServer
  const access = new WebAccess({ runtime, user, password, isLoopback: isLoopbackAddress(addr) })
  return async (context, next) => {
    const { method } = context.req
    const refusal = access.check({
      method,
      host: context.req.header('host') ?? new URL(context.req.url).host,
      origin: context.req.header('origin'),
      fetchSite: context.req.header('sec-fetch-site'),
      authorization: context.req.header('authorization'),
      isChange: method !== 'GET' && method !== 'HEAD',
      isSecret: false,
      address: context.env.address,
    })
    if (refusal === undefined) {
      onAllowed?.()
      return await next()
    }
    if (refusal.isGuess && guessDelayMs > 0) {
      await new Promise<void>((resolve) => void runtime.after(guessDelayMs, resolve))
    }
    return context.text(`${refusal.text}\n`, refusal.status, refusal.headers)
  }
}

function failed(error: Error, context: Context, runtime: Runtime): Response {
  const { path } = context.req
  const status = error instanceof ApiError ? error.status : 500
  if (status === 500) runtime.log.error(`http request [${path}]: ${error.message}`)
  const text = status === 500 ? 'internal error' : error.message
  const isV2 = (path.startsWith(OWN_PATH) ? path.slice(OWN_PATH.length) : path).startsWith('/api/v2/')
  return jsonAnswer(isV2 ? envelope(null, status, text) : { Code: status, Msg: text }, status)
}

function served(app: Hono<Env>): RelayApp {
  return { fetch: (request, address = '') => app.fetch(request, { address }) }
}
