import type { PluginOptions } from '../../config/plugins.ts'
import type { TcpParts } from '../proxies/tcp.ts'

/** The types of plugins that take connections here. */
export type PluginType = Exclude<PluginOptions['type'], 'virtual_net'>

/** The options of one type of plugin. */
export type OptionsOf<T extends PluginType> = Extract<PluginOptions, { type: T }>

/** What a plugin is made of: the proxy that it stands behind, and its own table of the configuration. */
export interface PluginParts<T extends PluginType = PluginType> extends TcpParts {
  options: OptionsOf<T>
}
