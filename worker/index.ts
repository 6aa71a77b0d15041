import { configOf, type Env } from './env.ts'
import { hubFor } from './hubs.ts'
import { splitUrl } from './request-url.ts'

export { Hub } from './hub.ts'

/** Ids of hubs by their names; computing one is a hash. There are as many as the configuration lists. */
const ids = new Map<string, DurableObjectId>()

/** Which hub a request is for is decided from configuration alone; the hub does the rest. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const hub = hubFor(splitUrl(request.url).hostname, configOf(env))
    if (hub === undefined) return new Response('no relay under this name\n', { status: 404 })
    const id = ids.get(hub) ?? env.HUB.idFromName(hub)
    ids.set(hub, id)
    return await env.HUB.get(id).fetch(request)
  },
} satisfies ExportedHandler<Env>
