import type { Backend, WorkConn } from '../proxies/proxy.ts'
import type { TcpParts } from '../proxies/tcp.ts'
import type { OptionsOf, PluginParts, PluginType } from './plugin.ts'

type Opener<T extends PluginType> = (parts: PluginParts<T>) => Promise<Backend>

/** Each plugin is loaded when a proxy wants it: a client without plugins starts without them. */
const PLUGINS: { [T in PluginType]: Opener<T> } = {
  http_proxy: async (parts) => (await import('./http-proxy.ts')).httpProxy(parts),
  socks5: async (parts) => (await import('./socks5.ts')).socks5(parts),
  static_file: async (parts) => (await import('./static-file.ts')).staticFile(parts),
  unix_domain_socket: async (parts) => (await import('./unix-domain-socket.ts')).unixDomainSocket(parts),
  http2http: async (parts) => (await import('./http2http.ts')).http2http(parts),
  http2https: async (parts) => (await import('./http2https.ts')).http2https(parts),
  https2http: async (parts) => (await import('./https2http.ts')).https2http(parts),
  https2https: async (parts) => (await import('./https2https.ts')).https2https(parts),
  tls2raw: async (parts) => (await import('./tls2raw.ts')).tls2raw(parts),
}

/** Serves each work connection of a proxy by its plugin, in place of a local service. */
export class PluginBackend implements Backend {
  private readonly parts: TcpParts
  private readonly options: OptionsOf<PluginType>
  private backend: Backend | undefined
  private isClosed = false

  constructor(parts: TcpParts, options: OptionsOf<PluginType>) {
    this.parts = parts
    this.options = options
  }

  /** Rejects with a text that names the field of the plugin which cannot be used. */
  async open(): Promise<void> {
    // Each entry of the table takes the options of the type that it stands under.
    const opener = PLUGINS[this.options.type] as Opener<PluginType>
    const backend = await opener({ ...this.parts, options: this.options })
    if (this.isClosed) backend.close()
    else this.backend = backend
  }

  take(work: WorkConn): void {
    if (this.backend === undefined) throw new TypeError('the relay is asked for users after open() alone')
    this.backend.take(work)
  }

  close(): void {
    this.isClosed = true
    this.backend?.close()
  }
}
