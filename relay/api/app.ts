import { Hono } from 'hono'
import type { Crypto, Runtime } from '../../contract/runtime.ts'
import type { Relay } from '../relay.ts'
import { serverInfo } from './server-info.ts'

/** The prefix of all paths that are the relay's own, on every host. */
export const OWN_PREFIX = '/~!frp'

export interface RelayApp {
  /** Answers a request for a path below the prefix. */
  fetch(request: Request): Response | Promise<Response>
}

/**
 * The relay's own HTTP paths, the same on every runtime. `healthz` is there always; the API only where
 * `webServer.user` and `webServer.password` are both set, because this is a public address.
 */
export function relayApp(relay: Relay, runtime: Runtime): RelayApp {
  const app = new Hono().basePath(OWN_PREFIX)
  app.get('/healthz', (context) => context.body(null, 200))
  const { user, password } = relay.options.webServer
  if (user !== '' && password !== '') {
    const isAllowed = basicAuth(user, password, runtime.crypto)
    app.use('/api/*', async (context, next) => {
      if (isAllowed(context.req.header('authorization'))) return await next()
      return context.text('Unauthorized\n', 401, { 'WWW-Authenticate': 'Basic realm="Restricted"' })
    })
    app.get('/api/serverinfo', (context) => context.json(serverInfo(relay)))
  }
  app.notFound((context) => context.text('404 page not found\n', 404))
  app.onError((error, context) => {
    runtime.log.error(`http request [${context.req.path}]: ${error.message}`)
    return context.text('internal error\n', 500)
  })
  return app
}

/** RFC 7617; compared by hash, so that the time tells neither the length nor a common start. */
function basicAuth(user: string, password: string, crypto: Crypto): (header: string | undefined) => boolean {
  const encoder = new TextEncoder()
  const wanted = crypto.sha256(encoder.encode(`${user}:${password}`))
  return (header) => {
    const credentials = /^basic +([A-Za-z0-9+/=]+)$/i.exec(header ?? '')?.[1]
    const given = credentials === undefined ? undefined : decodeBase64(credentials)
    return given !== undefined && crypto.timingSafeEqual(crypto.sha256(given), wanted)
  }
}

function decodeBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
  } catch {
    return undefined // not base64: nobody's credentials
  }
}
