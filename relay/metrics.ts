import type { ProxyRecord } from './registry.ts'
import type { Relay } from './relay.ts'

/** The media type of {@link metricsText}. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** One figure of the process that the relay runs in. */
export interface ProcessFigure {
  name: string
  type: 'gauge' | 'counter'
  help: string
  value: number
}

type Labels = Readonly<Record<string, string>>

/**
 * A relay's figures in Prometheus' text format: frp's by frp's names (traffic as it passes, not only when a
 * connection closes), and ours with the prefix `edgefrp_`.
 */
export function metricsText(relay: Relay): string {
  const proxies = relay.registry.list()
  const lines: string[] = []
  const family = (name: string, type: 'gauge' | 'counter', help: string, samples: [Labels, number][]): void => {
    if (samples.length === 0) return
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
    for (const [labels, value] of samples) lines.push(`${name}${labelText(labels)} ${value}`)
  }
  const perProxy = (figure: (record: ProxyRecord) => number): [Labels, number][] =>
    proxies.map((record) => [{ name: record.name, type: record.type }, figure(record)])
  const perType = new Map<string, number>()
  for (const record of proxies) {
    perType.set(record.type, (perType.get(record.type) ?? 0) + (record.message === undefined ? 0 : 1))
  }
  family('frp_server_client_counts', 'gauge', 'The current client counts of frps', [[{}, relay.clientCount]])
  family('frp_server_connection_counts', 'gauge', 'The current connection counts', perProxy(connectionsOf))
  family(
    'frp_server_proxy_counts',
    'gauge',
    'The current proxy counts',
    [...perType].sort(([a], [b]) => (a < b ? -1 : 1)).map(([type, count]) => [{ type }, count]),
  )
  family(
    'frp_server_proxy_counts_detailed',
    'gauge',
    'The current number of proxies grouped by type and name',
    perProxy((record) => (record.message === undefined ? 0 : 1)),
  )
  family(
    'frp_server_traffic_in',
    'counter',
    'The total in traffic',
    perProxy(({ total }) => total.bytesIn),
  )
  family(
    'frp_server_traffic_out',
    'counter',
    'The total out traffic',
    perProxy(({ total }) => total.bytesOut),
  )
  // frp's two names lack the unit and the suffix that promtool wants of a counter; dashboards know them.
  family(
    'edgefrp_traffic_bytes_total',
    'counter',
    'Bytes that proxies have carried, in from users and out to them',
    proxies.flatMap(({ name, type, total }): [Labels, number][] => [
      [{ name, type, direction: 'in' }, total.bytesIn],
      [{ name, type, direction: 'out' }, total.bytesOut],
    ]),
  )
  family('edgefrp_held_bytes', 'gauge', 'Bytes that streams of clients hold or may send', [[{}, relay.heldBytes]])
  family('edgefrp_joins', 'gauge', 'Users that are joined to a work connection', [[{}, relay.joins.size]])
  for (const { name, type, help, value } of relay.processFigures()) family(name, type, help, [[{}, value]])
  return `${lines.join('\n')}\n`
}

function connectionsOf({ stats }: ProxyRecord): number {
  return stats?.connections ?? 0
}

/** The exposition format has three escapes in a value. */
function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escapeValue(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escapeValue(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
