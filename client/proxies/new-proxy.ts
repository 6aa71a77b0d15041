import { addressMetadatas } from '../../config/address-rules.ts'
import type { ProxyOptions } from '../../config/proxies.ts'
import type { Outgoing } from '../../protocol/frp/messages.ts'

/** The message that asks for a proxy (frp, pkg/config/v1/proxy.go MarshalToMsg); fields of its type alone. */
export function newProxyMessage(config: ProxyOptions, wireName: string): Outgoing {
  const { transport } = config
  return {
    type: 'NewProxy',
    proxy_name: wireName,
    proxy_type: config.type,
    use_encryption: transport.useEncryption,
    use_compression: transport.useCompression,
    bandwidth_limit: transport.bandwidthLimit,
    // Absent means `client` to a relay.
    bandwidth_limit_mode: transport.bandwidthLimitMode === 'client' ? '' : transport.bandwidthLimitMode,
    group: config.loadBalancer.group,
    group_key: config.loadBalancer.groupKey,
    metas: { ...config.metadatas, ...addressMetadatas(config.edgefrp) },
    annotations: config.annotations,
    ...fieldsOf(config),
  }
}

function fieldsOf(config: ProxyOptions): Partial<Extract<Outgoing, { type: 'NewProxy' }>> {
  switch (config.type) {
    case 'tcp':
    case 'udp':
      return { remote_port: config.remotePort }
    case 'http':
      return {
        custom_domains: config.customDomains,
        subdomain: config.subdomain,
        locations: config.locations,
        http_user: config.httpUser,
        http_pwd: config.httpPassword,
        host_header_rewrite: config.hostHeaderRewrite,
        headers: config.requestHeaders.set,
        response_headers: config.responseHeaders.set,
        route_by_http_user: config.routeByHTTPUser,
      }
    case 'https':
      return { custom_domains: config.customDomains, subdomain: config.subdomain }
    case 'tcpmux':
      return {
        custom_domains: config.customDomains,
        subdomain: config.subdomain,
        multiplexer: config.multiplexer,
        http_user: config.httpUser,
        http_pwd: config.httpPassword,
        route_by_http_user: config.routeByHTTPUser,
      }
    case 'stcp':
    case 'sudp':
    case 'xtcp':
      return { sk: config.secretKey, allow_users: config.allowUsers }
  }
}
