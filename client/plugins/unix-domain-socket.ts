import type { Backend } from '../proxies/proxy.ts'
import { TcpBackend } from '../proxies/tcp.ts'
import type { PluginParts } from './plugin.ts'

/** `unix_domain_socket`: joins users with the service at `unixPath`, which may come and go. */
export function unixDomainSocket(parts: PluginParts<'unix_domain_socket'>): Backend {
  return new TcpBackend(parts, { path: parts.options.unixPath })
}
