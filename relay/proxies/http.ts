import { FrpError } from '../../contract/errors.ts'
import { hostsOf } from '../host-names.ts'
import { HttpTarget } from '../http-target.ts'
import type { ProxyContext, RelayProxy } from './table.ts'
import { vhostProxy } from './vhost.ts'

/** Host names of the relay that lead to the client's web server. */
export function httpProxy(context: ProxyContext): RelayProxy {
  const { message, httpRoutes, workConns, runtime, log } = context
  if (httpRoutes === undefined) {
    throw new FrpError('NOT_SUPPORTED', 'type [http] not supported when vhost http port is not set')
  }
  const hosts = hostsOf(message, context.subDomainHost)
  const user = message.route_by_http_user
  const target = new HttpTarget({ message, workConns, runtime, log, idleMs: context.idleUpstreamMs })
  return vhostProxy(context, {
    type: 'http',
    routes: httpRoutes,
    target,
    hosts,
    locations: message.locations.length > 0 ? message.locations : ['/'],
    user,
    wanted: [],
    key: (host, location) => `${host} ${location} ${user}`,
    onClose: () => target.close(),
  })
}
