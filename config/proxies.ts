import { bandwidthBytes } from '../contract/bandwidth.ts'
import { addressRules, checkAddressRules } from './address-rules.ts'
import { checkAnnotations } from './annotations.ts'
import {
  choice,
  type Field,
  flag,
  int,
  isTable,
  list,
  member,
  port,
  stringMap,
  strings,
  type TableOf,
  table,
  text,
} from './field.ts'
import { checkPlugin, pluginField } from './plugins.ts'
import type { Path, Problems } from './problems.ts'

/** `[[proxies]]` (frp: `pkg/config/v1/proxy.go`). */
const PROXY_BASE = {
  name: text(),
  enabled: flag(true),
  annotations: stringMap(),
  metadatas: stringMap(),
  localIP: text('127.0.0.1'),
  localPort: port(),
  plugin: pluginField,
  transport: table({
    useEncryption: flag(),
    useCompression: flag(),
    /** "" or a number with KB or MB; `bandwidthBytes` of contract/ reads it. */
    bandwidthLimit: bandwidth(),
    bandwidthLimitMode: choice(['client', 'server'], 'client', () => 'bandwidth limit mode should be client or server'),
    proxyProtocolVersion: choice(['', 'v1', 'v2'], '', (version) => `not support proxy protocol version: ${version}`),
  }),
  loadBalancer: table({ group: text(), groupKey: text() }),
  healthCheck: table({
    type: choice(['', 'tcp', 'http'], '', (type) => `not support health check type: ${type}`),
    timeoutSeconds: int(3),
    maxFailed: int(1),
    intervalSeconds: int(10),
    path: text(),
    httpHeaders: list(table({ name: text(), value: text() })),
  }),
  /** Ours: what a relay of ours does for this proxy. */
  edgefrp: addressRules,
}

const headers = table({ set: stringMap() })
const domains = { customDomains: strings(), subdomain: text() }
const credentials = { httpUser: text(), httpPassword: text(), routeByHTTPUser: text() }
const secret = { secretKey: text(), allowUsers: strings() }

const natTraversal = table({ disableAssistedAddrs: flag() })

function proxy<const T extends string, F extends Record<string, Field<unknown>>>(type: T, fields: F) {
  const only: Field<T> = { read: () => type }
  return table({ type: only, ...PROXY_BASE, ...fields })
}

const PROXIES = {
  tcp: proxy('tcp', { remotePort: port() }),
  udp: proxy('udp', { remotePort: port() }),
  http: proxy('http', {
    ...domains,
    ...credentials,
    locations: strings(),
    hostHeaderRewrite: text(),
    requestHeaders: headers,
    responseHeaders: headers,
  }),
  https: proxy('https', domains),
  tcpmux: proxy('tcpmux', { ...domains, ...credentials, multiplexer: text() }),
  stcp: proxy('stcp', secret),
  sudp: proxy('sudp', secret),
  xtcp: proxy('xtcp', { ...secret, natTraversal }),
}

type ProxyTable = { [T in keyof typeof PROXIES]: ReturnType<(typeof PROXIES)[T]['read']> }
export type ProxyType = keyof ProxyTable
/** A proxy with all its defaults, told apart by `type`. */
export type ProxyOptions = ProxyTable[ProxyType]
/** What all proxies have. */
export type ProxyBaseOptions = TableOf<typeof PROXY_BASE> & { type: ProxyType }
/** A proxy of one type: `ProxyOf<'http'>`. */
export type ProxyOf<T extends ProxyType> = ProxyTable[T]

export const PROXY_TYPES = Object.keys(PROXIES) as readonly ProxyType[] // the keys of that very object

/** One proxy; undefined when its type is unknown. */
export const proxyField: Field<ProxyOptions | undefined> = {
  read(value, path, reading) {
    const type = member(value, 'type')
    if (isTable(value) && (type === undefined || typeof type === 'string') && !isProxyType(type)) {
      reading.problem([...path, 'type'], `unknown proxy type: ${type ?? ''}`)
      return undefined
    }
    if (isTable(value) && !isProxyType(type)) {
      text().read(type, [...path, 'type'], reading)
      return undefined
    }
    return PROXIES[isProxyType(type) ? type : 'tcp'].read(value, path, reading)
  },
}

function isProxyType(type: unknown): type is ProxyType {
  return typeof type === 'string' && Object.hasOwn(PROXIES, type)
}

function bandwidth(): Field<string> {
  const string = text()
  return {
    read(value, path, reading) {
      const limit = string.read(value, path, reading).trim()
      if (limit === '' || bandwidthBytes(limit) !== undefined) return limit
      const unit = limit.slice(-2)
      const number = limit.slice(0, -2)
      reading.problem(
        path,
        unit === 'MB' || unit === 'KB'
          ? `strconv.ParseFloat: parsing ${JSON.stringify(number)}: invalid syntax`
          : 'unit not support',
      )
      return ''
    },
  }
}

/** frp: `validation/proxy.go`, the client's half. Every rule is said, not the first alone. */
export function checkProxy(options: ProxyOptions, path: Path, problems: Problems): void {
  if (options.name === '') problems.add([...path, 'name'], 'name should not be empty')
  checkAnnotations(options.annotations, [...path, 'annotations'], problems)
  if (options.healthCheck.type === 'http' && options.healthCheck.path === '') {
    problems.add([...path, 'healthCheck', 'path'], 'health check path should not be empty')
  }
  checkAddressRules(options, [...path, 'edgefrp'], problems)
  if (options.plugin !== undefined) checkPlugin(options.plugin, [...path, 'plugin'], problems)
  if ('customDomains' in options && options.subdomain === '' && options.customDomains.length === 0) {
    problems.add(path, 'subdomain and custom domains should not be both empty')
  }
  if (options.type === 'tcpmux' && options.multiplexer !== 'httpconnect') {
    problems.add([...path, 'multiplexer'], `not support multiplexer: ${options.multiplexer}`)
  }
}
