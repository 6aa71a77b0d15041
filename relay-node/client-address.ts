import { isIP } from 'node:net'
import { IpRules } from '../contract/ip-rules.ts'
import type { Fields } from '../protocol/http1/head.ts'
import { plainIp } from './addresses.ts'

/**
 * Tells the address a WebSocket client really has when `edgefrp.trustedProxies` stand in front: the last one in
 * X-Forwarded-For that is not of a trusted proxy. What a stranger writes there is not believed.
 */
export function clientAddress(trusted: readonly string[]): (fields: Fields, ip: string) => string {
  if (trusted.length === 0) return (_fields, ip) => ip
  const proxies = new IpRules(trusted, [])
  return (fields, ip) => {
    let found = ip
    const hops = fields
      .getAll('x-forwarded-for')
      .flatMap((value) => value.split(','))
      .map((hop) => plainIp(hop.trim().replace(/^\[(.*)\](?::\d+)?$/, '$1')))
    while (proxies.allows(found)) {
      const before = hops.pop()
      if (before === undefined || isIP(before) === 0) break
      found = before
    }
    return found
  }
}
