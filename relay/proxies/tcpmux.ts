import { FrpError } from '../../contract/errors.ts'
import { hostsOf } from '../host-names.ts'
import type { ProxyContext, RelayProxy } from './table.ts'
import { vhostProxy } from './vhost.ts'

/** Host names that users reach with HTTP CONNECT; what comes then is the client's service's. */
export function tcpmuxProxy(context: ProxyContext): RelayProxy {
  const { message, tcpmuxRoutes, workConns } = context
  const { multiplexer, route_by_http_user: user } = message
  if (multiplexer !== 'httpconnect') throw new FrpError('PROXY_REFUSED', `unknown multiplexer [${multiplexer}]`)
  if (tcpmuxRoutes === undefined) {
    const text = 'tcpmux with multiplexer httpconnect not supported because this feature is not enabled in server'
    throw new FrpError('NOT_SUPPORTED', text)
  }
  return vhostProxy(context, {
    type: 'tcpmux',
    routes: tcpmuxRoutes,
    target: { message, workConns },
    hosts: hostsOf(message, context.subDomainHost),
    locations: [''],
    user,
    wanted: [message.http_user, message.http_pwd],
    key: (host) => `${host} ${user}`,
  })
}
