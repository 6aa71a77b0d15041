import type { ProxyOptions, VisitorOptions } from '../../config/load.ts'

/** JSON keys with their values, in frp's order. */
export type GoJson = Record<string, unknown>

/** A proxy as frp writes one (pkg/config/v1/proxy.go): Go's empty values are left out where frp has `omitempty`. */
export function proxyJson(options: ProxyOptions): GoJson {
  const { transport, loadBalancer, healthCheck } = options
  return {
    name: options.name,
    type: options.type,
    ...(options.enabled ? {} : { enabled: false }),
    ...some({ annotations: options.annotations }),
    transport: {
      ...some({ useEncryption: transport.useEncryption, useCompression: transport.useCompression }),
      bandwidthLimit: transport.bandwidthLimit,
      ...some({
        bandwidthLimitMode: transport.bandwidthLimitMode,
        proxyProtocolVersion: transport.proxyProtocolVersion,
      }),
    },
    ...some({ metadatas: options.metadatas }),
    loadBalancer: { group: loadBalancer.group, ...some({ groupKey: loadBalancer.groupKey }) },
    // Our defaults are filled in; frp fills them in when it checks.
    healthCheck: healthCheck.type === '' ? { type: '', intervalSeconds: 0 } : { ...healthCheck },
    ...some({ localIP: options.localIP, localPort: options.localPort }),
    plugin: options.plugin ?? null,
    ...some({ edgefrp: some(options.edgefrp) }),
    ...proxyFields(options),
  }
}

/** A visitor as frp writes one (pkg/config/v1/visitor.go). */
export function visitorJson(options: VisitorOptions): GoJson {
  const { transport } = options
  return {
    name: options.name,
    type: options.type,
    ...(options.enabled ? {} : { enabled: false }),
    transport: some({ useEncryption: transport.useEncryption, useCompression: transport.useCompression }),
    ...some({
      secretKey: options.secretKey,
      serverUser: options.serverUser,
      serverName: options.serverName,
      bindAddr: options.bindAddr,
      bindPort: options.bindPort,
    }),
    plugin: options.plugin ?? null,
    ...(options.type === 'xtcp' ? xtcpFields(options) : {}),
  }
}

/** The same without what opens something: passwords and secret keys, also those of a plugin. */
export function withoutSecrets(json: GoJson): GoJson {
  const entries = Object.entries(json).filter(([key]) => !/password$|^secretKey$/i.test(key))
  return Object.fromEntries(
    entries.map(([key, value]) => [key, key === 'plugin' && isObject(value) ? withoutSecrets(value) : value]),
  )
}

function proxyFields(options: ProxyOptions): GoJson {
  switch (options.type) {
    case 'tcp':
    case 'udp':
      return some({ remotePort: options.remotePort })
    case 'http': {
      const { customDomains, subdomain, locations, httpUser, httpPassword, hostHeaderRewrite, routeByHTTPUser } =
        options
      return {
        ...some({ customDomains, subdomain, locations, httpUser, httpPassword, hostHeaderRewrite }),
        requestHeaders: some({ set: options.requestHeaders.set }),
        responseHeaders: some({ set: options.responseHeaders.set }),
        ...some({ routeByHTTPUser }),
      }
    }
    case 'https':
      return some({ customDomains: options.customDomains, subdomain: options.subdomain })
    case 'tcpmux': {
      const { customDomains, subdomain, httpUser, httpPassword, routeByHTTPUser, multiplexer } = options
      return some({ customDomains, subdomain, httpUser, httpPassword, routeByHTTPUser, multiplexer })
    }
    case 'stcp':
    case 'sudp':
      return some({ secretKey: options.secretKey, allowUsers: options.allowUsers })
    case 'xtcp':
      return {
        ...some({ secretKey: options.secretKey, allowUsers: options.allowUsers }),
        ...traversalOf(options.natTraversal),
      }
  }
}

function xtcpFields(options: Extract<VisitorOptions, { type: 'xtcp' }>): GoJson {
  const { protocol, keepTunnelOpen, maxRetriesAnHour, minRetryInterval, fallbackTo, fallbackTimeoutMs } = options
  return {
    ...some({ protocol, keepTunnelOpen, maxRetriesAnHour, minRetryInterval, fallbackTo, fallbackTimeoutMs }),
    ...traversalOf(options.natTraversal),
  }
}

function traversalOf(options: { disableAssistedAddrs: boolean }): GoJson {
  return options.disableAssistedAddrs ? { natTraversal: { disableAssistedAddrs: true } } : {}
}

/** Go's `omitempty`. */
function some(values: GoJson): GoJson {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => !isEmpty(value)))
}

function isEmpty(value: unknown): boolean {
  if (isObject(value)) return Object.keys(value).length === 0
  return value === '' || value === 0 || value === false || value === undefined
}

function isObject(value: unknown): value is GoJson {
  return typeof value === 'object' && value !== null
}
