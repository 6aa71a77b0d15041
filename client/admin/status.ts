import { formatAddress } from '../../contract/ip.ts'
import type { ProxyStatus } from '../proxies/manager.ts'
import type { Store } from './store.ts'

/** One proxy in the answer to `/api/status`, with frp's keys. */
interface StatusEntry {
  name: string
  type: string
  status: string
  err: string
  local_addr: string
  plugin: string
  remote_addr: string
  source?: 'store'
}

/** The answer to `/api/status`: the proxies by type, each list by name (frp: client/http/controller.go). */
export function proxyStatuses(
  statuses: readonly ProxyStatus[],
  serverAddr: string,
  store: Store | undefined,
): Record<string, StatusEntry[]> {
  const byType = new Map<string, StatusEntry[]>()
  for (const status of [...statuses].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const list = byType.get(status.type) ?? []
    list.push(entryOf(status, serverAddr, store))
    byType.set(status.type, list)
  }
  return Object.fromEntries([...byType].sort(([a], [b]) => (a < b ? -1 : 1)))
}

function entryOf(status: ProxyStatus, serverAddr: string, store: Store | undefined): StatusEntry {
  const { name, type, phase, error, config } = status
  const hasPort = type === 'tcp' || type === 'udp'
  return {
    name,
    type,
    status: phase,
    err: error,
    local_addr: config.localPort === 0 ? '' : formatAddress(config.localIP, config.localPort),
    plugin: config.plugin?.type ?? '',
    remote_addr: error === '' ? `${hasPort ? serverAddr : ''}${status.remoteAddr}` : '',
    ...(store?.proxies.get(name)?.enabled === true ? { source: 'store' as const } : {}),
  }
}
