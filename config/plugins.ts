import { choice, type Field, flag, isTable, member, stringMap, table, text } from './field.ts'
import type { Path, Problems } from './problems.ts'

/** Client plugins (frp: `pkg/config/v1/proxy_plugin.go`). */

const headers = table({ set: stringMap() })
const backend = { localAddr: text(), hostHeaderRewrite: text(), requestHeaders: headers }
const certificate = { crtPath: text(), keyPath: text() }

function plugin<const T extends string, F extends Record<string, Field<unknown>>>(type: T, fields: F) {
  return table({ type: choice([type], type, () => `unknown plugin type: ${type}`), ...fields })
}

const PLUGINS = {
  http_proxy: plugin('http_proxy', { httpUser: text(), httpPassword: text() }),
  socks5: plugin('socks5', { username: text(), password: text() }),
  static_file: plugin('static_file', {
    localPath: text(),
    stripPrefix: text(),
    httpUser: text(),
    httpPassword: text(),
  }),
  unix_domain_socket: plugin('unix_domain_socket', { unixPath: text() }),
  http2https: plugin('http2https', backend),
  http2http: plugin('http2http', backend),
  https2http: plugin('https2http', { ...backend, ...certificate, enableHTTP2: flag(true) }),
  https2https: plugin('https2https', { ...backend, ...certificate, enableHTTP2: flag(true) }),
  tls2raw: plugin('tls2raw', { localAddr: text(), ...certificate }),
  virtual_net: plugin('virtual_net', {}),
}

type PluginTable = { [T in keyof typeof PLUGINS]: ReturnType<(typeof PLUGINS)[T]['read']> }
/** The options of a client plugin, told apart by `type`. */
export type PluginOptions = PluginTable[keyof PluginTable]

/** `plugin` of a proxy; an absent one is undefined. */
export const pluginField: Field<PluginOptions | undefined> = {
  read(value, path, reading) {
    if (value === undefined || value === null) return undefined
    const type = member(value, 'type')
    if (isTable(value) && (type === undefined || type === '')) {
      // INI and flags write an empty plugin for none; in a table it is what frp refuses.
      reading.problem(path, 'plugin type is empty')
      return undefined
    }
    if (typeof type === 'string' && !Object.hasOwn(PLUGINS, type)) {
      reading.problem([...path, 'type'], `unknown plugin type: ${type}`)
      return undefined
    }
    const name = typeof type === 'string' ? (type as keyof PluginTable) : 'virtual_net'
    return PLUGINS[name].read(value, path, reading)
  },
}

/** The key that each plugin cannot do without; frp does not check http2http's. */
const REQUIRED: Partial<Record<keyof PluginTable, string>> = {
  http2https: 'localAddr',
  https2http: 'localAddr',
  https2https: 'localAddr',
  tls2raw: 'localAddr',
  static_file: 'localPath',
  unix_domain_socket: 'unixPath',
}

/** frp: `validation/plugin.go`. */
export function checkPlugin(options: PluginOptions, path: Path, problems: Problems): void {
  const key = REQUIRED[options.type]
  if (key !== undefined && member(options, key) === '') {
    problems.add([...path, key], `plugin ${options.type}: ${key} is required`)
  }
}
