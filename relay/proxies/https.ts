import { FrpError } from '../../contract/errors.ts'
import { hostsOf } from '../host-names.ts'
import type { ProxyContext, RelayProxy } from './table.ts'
import { vhostProxy } from './vhost.ts'

/** Host names of the relay whose TLS is the client's service's: only the name in its hello is read here. */
export function httpsProxy(context: ProxyContext): RelayProxy {
  const { message, httpsRoutes, workConns } = context
  if (httpsRoutes === undefined) {
    throw new FrpError('NOT_SUPPORTED', 'type [https] not supported when vhost https port is not set')
  }
  return vhostProxy(context, {
    type: 'https',
    routes: httpsRoutes,
    target: { message, workConns },
    hosts: hostsOf(message, context.subDomainHost),
    locations: [''],
    user: '',
    wanted: [],
    key: (host) => host,
  })
}
