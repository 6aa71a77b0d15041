import { FRP_VERSION } from '../../contract/version.ts'
import type { Relay } from '../relay.ts'

/** The answer to `GET api/serverinfo`, field for field as frp's dashboard API gives it. Traffic is today's. */
export function serverInfo(relay: Relay): Record<string, unknown> {
  const { options, registry } = relay
  const totals = registry.totals()
  const proxyTypeCount: Record<string, number> = {}
  for (const { type, message } of registry.list().toSorted((a, b) => (a.type < b.type ? -1 : 1))) {
    // A type that was there and is not any more has a zero, as in frp.
    proxyTypeCount[type] = (proxyTypeCount[type] ?? 0) + (message === undefined ? 0 : 1)
  }
  const allowPorts = options.allowPorts
    .map(({ single, start, end }) => (single > 0 ? `${single}` : `${start}-${end}`))
    .join(',')
  return {
    version: FRP_VERSION,
    bindPort: options.bindPort,
    vhostHTTPPort: options.vhostHTTPPort,
    vhostHTTPSPort: options.vhostHTTPSPort,
    tcpmuxHTTPConnectPort: options.tcpmuxHTTPConnectPort,
    kcpBindPort: options.kcpBindPort,
    quicBindPort: options.quicBindPort,
    subdomainHost: options.subDomainHost,
    maxPoolCount: options.transport.maxPoolCount,
    maxPortsPerClient: options.maxPortsPerClient,
    heartbeatTimeout: options.transport.heartbeatTimeout,
    ...(allowPorts === '' ? {} : { allowPortsStr: allowPorts }),
    ...(options.transport.tls.force ? { tlsForce: true } : {}),
    totalTrafficIn: totals.bytesIn,
    totalTrafficOut: totals.bytesOut,
    curConns: totals.connections,
    clientCounts: relay.clientCount,
    proxyTypeCount,
  }
}
