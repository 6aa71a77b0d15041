import { BlockList, isIP } from 'node:net'
import type { Fields } from '../protocol/http1/head.ts'
import { plainIp } from './addresses.ts'

/**
 * Tells the address a WebSocket client really has when `edgefrp.trustedProxies` stand in front: the last one in
 * X-Forwarded-For that is not of a trusted proxy. What a stranger writes there is not believed.
 */
export function clientAddress(trusted: readonly string[]): (fields: Fields, ip: string) => string {
  if (trusted.length === 0) return (_fields, ip) => ip
  const proxies = blockListOf(trusted)
  const isTrusted = (ip: string): boolean => proxies.check(ip, isIP(ip) === 6 ? 'ipv6' : 'ipv4')
  return (fields, ip) => {
    let found = ip
    const hops = fields
      .getAll('x-forwarded-for')
      .flatMap((value) => value.split(','))
      .map((hop) => plainIp(hop.trim().replace(/^\[(.*)\](?::\d+)?$/, '$1')))
    while (isIP(found) !== 0 && isTrusted(found)) {
      const before = hops.pop()
      if (before === undefined || isIP(before) === 0) break
      found = before
    }
    return found
  }
}

function blockListOf(blocks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const block of blocks) {
    const [address = '', bits] = block.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return list
}
