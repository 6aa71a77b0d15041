import { configOf, type Env } from './env.ts'
import { hubFor } from './hubs.ts'

export { Hub } from './hub.ts'

/** Which hub a request is for is decided from configuration alone; the hub does the rest. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const hub = hubFor(new URL(request.url).hostname, () => configOf(env))
    if (hub === undefined) return new Response('no relay under this name\n', { status: 404 })
    return await env.HUB.get(env.HUB.idFromName(hub)).fetch(request)
  },
} satisfies ExportedHandler<Env>
