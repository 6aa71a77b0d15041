import type { Backend } from '../proxies/proxy.ts'
import { Bridge } from './bridge.ts'
import { httpsBackend } from './https-backend.ts'
import type { PluginParts } from './plugin.ts'

/** `https2http`: users' HTTPS, which ends here, to a local HTTP server. Rejects for a certificate that cannot be used. */
export function https2http(parts: PluginParts<'https2http'>): Promise<Backend> {
  const rules = { scheme: 'http', forwarded: 'tell', isTls: true } as const
  return httpsBackend(parts, parts.options, new Bridge(parts, parts.options, rules))
}
