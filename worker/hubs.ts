import type { FrpsOptions } from '../config/frps.ts'
import { hostnameOf, splitUrl } from './request-url.ts'

/** The hub that serves what no list names. */
const DEFAULT_HUB = 'default'

/**
 * The name of the hub that serves a request's hostname: `edgefrp.hubs` lists further hubs with their hosts and the variable
 * of their configuration. A stranger cannot name an object: without a list there is one, with lists an unlisted
 * host has none.
 */
export function hubFor(request: Request, { edgefrp }: FrpsOptions): string | undefined {
  const { hubs } = edgefrp
  if (hubs.length === 0) return DEFAULT_HUB
  const host = hostnameOf(splitUrl(request.url).authority).toLowerCase()
  const hub = hubs.find(({ hosts }) => hosts.some((pattern) => matches(host, pattern.toLowerCase())))
  return hub && (hub.config === '' ? hub.name : `${hub.name} ${hub.config}`)
}

function matches(host: string, pattern: string): boolean {
  return pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) : host === pattern
}
