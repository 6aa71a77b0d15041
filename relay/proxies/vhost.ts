import { FrpError } from '../../contract/errors.ts'
import { type GroupedType, groupName, type Membership } from '../groups.ts'
import type { HttpRoutes } from '../http-routes.ts'
import { MAX_ROUTES } from '../limits.ts'
import type { ProxyContext, RelayProxy } from './table.ts'

/** What the types that share a port by host name differ in. */
export interface VhostParts<Target> {
  type: Exclude<GroupedType, 'tcp'>
  routes: HttpRoutes<Target>
  target: Target
  hosts: readonly string[]
  /** Prefixes of the path; `['']` for a type without paths. */
  locations: readonly string[]
  /** routeByHTTPUser; empty for everybody. */
  user: string
  /** What the members of a group must have in common beside host, location and user. */
  wanted: readonly string[]
  /** What stands for a route in the directory, without the type. */
  key: (host: string, location: string) => string
  onClose?: () => void
}

/** A proxy that is found by host name on a port that it shares: http, https, tcpmux. */
export function vhostProxy<Target>(context: ProxyContext, parts: VhostParts<Target>): RelayProxy {
  const { message, groups, log } = context
  const { type, routes, target, hosts, user } = parts
  const locations = [...new Set(parts.locations)]
  if (hosts.length * locations.length > MAX_ROUTES) {
    const count = `${hosts.length} domains with ${locations.length} locations`
    throw new FrpError('LIMIT', `${count} are more than ${MAX_ROUTES} routes of one proxy`)
  }
  const own = hosts.flatMap((host) => locations.map((location) => ({ host, location, user, target })))
  const isGrouped = message.group !== ''
  // frp: a group has one route.
  if (isGrouped && own.length !== 1) throw new FrpError('PROXY_REFUSED', 'group params invalid')
  let membership: Membership | undefined
  const group = groupName(type, message.group)
  const keys = own.map((route) => `${type}:${parts.key(route.host, route.location)}`)
  const serve = (): void => {
    const [route] = own
    if (isGrouped && route !== undefined) {
      membership = groups.join(type, message, [route.host, route.location, user, ...parts.wanted])
    }
    for (const one of own) routes.table.add(one)
  }
  return {
    claims: isGrouped ? [`group:${group}`, ...keys] : keys,
    group: isGrouped ? group : undefined,
    usesPort: false,
    async open() {
      serve()
      for (const { host, location } of own) {
        const where = type === 'http' ? `host [${host}] location [${location}]` : `host [${host}]`
        log.info(
          `${type} proxy listen for ${where} group [${message.group}]` +
            (type === 'https' ? '' : `, routeByHTTPUser [${user}]`),
        )
      }
      return hosts.map((host) => routes.publicAddress(host)).join(',')
    },
    reopen: serve,
    close() {
      membership?.leave()
      for (const route of own) routes.table.remove(route)
      parts.onClose?.()
    },
  }
}
