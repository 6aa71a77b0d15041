import { FrpError } from '../../contract/errors.ts'
import { checkDomains, subdomainHost } from '../host-names.ts'
import { HttpTarget } from '../http-target.ts'
import { MAX_ROUTES } from '../limits.ts'
import type { ProxyContext, RelayProxy } from './table.ts'

/** Host names of the relay that lead to the client's web server. */
export function httpProxy(context: ProxyContext): RelayProxy {
  const { message, httpRoutes, subDomainHost, workConns, runtime, log } = context
  if (httpRoutes === undefined) {
    throw new FrpError('NOT_SUPPORTED', 'type [http] not supported when vhost http port is not set')
  }
  const hosts = checkDomains(message.custom_domains, subDomainHost)
  if (message.subdomain !== '') hosts.push(subdomainHost(message.subdomain, subDomainHost))
  const locations = message.locations.length > 0 ? message.locations : ['/']
  const user = message.route_by_http_user
  if (hosts.length * locations.length > MAX_ROUTES) {
    const count = `${hosts.length} domains with ${locations.length} locations`
    throw new FrpError('LIMIT', `${count} are more than ${MAX_ROUTES} routes of one proxy`)
  }
  const target = new HttpTarget({ message, workConns, runtime, log, idleMs: context.idleUpstreamMs })
  const routes = [...new Set(hosts)].flatMap((host) =>
    [...new Set(locations)].map((location) => ({ host, location, user, target })),
  )
  return {
    claims: routes.map((route) => `http:${route.host} ${route.location} ${route.user}`),
    usesPort: false,
    open() {
      for (const route of routes) {
        httpRoutes.table.add(route)
        log.info(
          `http proxy listen for host [${route.host}] location [${route.location}] group [], ` +
            `routeByHTTPUser [${route.user}]`,
        )
      }
      return Promise.resolve([...new Set(hosts)].map((host) => httpRoutes.publicAddress(host)).join(','))
    },
    reopen() {
      for (const route of routes) httpRoutes.table.add(route)
    },
    close() {
      for (const route of routes) httpRoutes.table.remove(route)
      target.close()
    },
  }
}
