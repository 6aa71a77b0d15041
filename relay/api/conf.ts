import type { NewProxy } from '../../protocol/frp/messages.ts'

/**
 * A registered proxy as frp's v1 API shows its configuration: what a relay knows of it, with the defaults that
 * frps fills in and Go's empty values left out. Passwords and secret keys are never part of it.
 */
export function confOf(message: NewProxy): Record<string, unknown> {
  return {
    name: message.proxy_name,
    type: message.proxy_type,
    ...some('annotations', message.annotations),
    transport: {
      ...(message.use_encryption ? { useEncryption: true } : {}),
      ...(message.use_compression ? { useCompression: true } : {}),
      bandwidthLimit: message.bandwidth_limit,
      bandwidthLimitMode: modeOf(message),
    },
    ...some('metadatas', message.metas),
    loadBalancer: {
      group: message.group,
    },
    healthCheck: { type: '', intervalSeconds: 0 },
    localIP: '127.0.0.1',
    plugin: null,
    ...confOfType(message),
  }
}

/** The same for the v2 API: one block, named by the type; `message` undefined: off line, and the block is empty. */
export function specOf(type: string, message: NewProxy | undefined): Record<string, unknown> {
  return { type, [type]: message === undefined ? {} : blockOf(message) }
}

function modeOf(message: NewProxy): string {
  return message.bandwidth_limit_mode === '' ? 'client' : message.bandwidth_limit_mode
}

function confOfType(message: NewProxy): Record<string, unknown> {
  switch (message.proxy_type) {
    case 'tcp':
    case 'udp':
      return { remotePort: message.remote_port }
    case 'http':
      return {
        ...domainsOf(message),
        // Go writes a list that was never set as null.
        locations: message.locations.length === 0 ? null : message.locations,
        hostHeaderRewrite: message.host_header_rewrite,
      }
    case 'https':
      return domainsOf(message)
    case 'tcpmux':
      return {
        ...domainsOf(message),
        multiplexer: message.multiplexer,
        routeByHTTPUser: message.route_by_http_user,
      }
    default:
      return {}
  }
}

function blockOf(message: NewProxy): Record<string, unknown> {
  return {
    ...some('annotations', message.annotations),
    ...some('metadatas', message.metas),
    transport: {
      useEncryption: message.use_encryption,
      useCompression: message.use_compression,
      bandwidthLimit: message.bandwidth_limit,
      bandwidthLimitMode: modeOf(message),
    },
    loadBalancer: { group: message.group },
    ...blockOfType(message),
  }
}

function blockOfType(message: NewProxy): Record<string, unknown> {
  switch (message.proxy_type) {
    case 'tcp':
    case 'udp':
      return { remotePort: message.remote_port }
    case 'http':
      return {
        ...domainsOf(message),
        ...some('locations', message.locations),
        ...some('hostHeaderRewrite', message.host_header_rewrite),
      }
    case 'https':
      return domainsOf(message)
    case 'tcpmux':
      return {
        ...domainsOf(message),
        ...some('multiplexer', message.multiplexer),
        ...some('routeByHTTPUser', message.route_by_http_user),
      }
    default:
      return {}
  }
}

function domainsOf(message: NewProxy): Record<string, unknown> {
  return { ...some('customDomains', message.custom_domains), ...some('subdomain', message.subdomain) }
}

/** Go's `omitempty`. */
function some(key: string, value: string | readonly string[] | Readonly<Record<string, string>>) {
  const isEmpty = typeof value === 'string' ? value === '' : Object.keys(value).length === 0
  return isEmpty ? {} : { [key]: value }
}
