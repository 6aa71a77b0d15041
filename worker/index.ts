import { configOf, type Env } from './env.ts'
import { hubFor } from './hubs.ts'

export { Hub } from './hub.ts'

/** Ids of hubs by their names; computing one is a hash. There are as many as the configuration lists. */
const ids = new Map<string, DurableObjectId>()

/** Which hub a request is for is decided from configuration alone; the hub does the rest. */
export default {
  fetch(request: Request, env: Env): Response | Promise<Response> {
    const hub = hubFor(request, configOf(env))
    if (hub === undefined) return new Response('no relay under this name\n', { status: 404 })
    let id = ids.get(hub)
    if (id === undefined) {
      id = env.HUB.idFromName(hub)
      ids.set(hub, id)
    }
    return env.HUB.get(id).fetch(request)
  },
} satisfies ExportedHandler<Env>
