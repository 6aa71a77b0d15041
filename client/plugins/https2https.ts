import type { Backend } from '../proxies/proxy.ts'
import { Bridge } from './bridge.ts'
import { httpsBackend } from './https-backend.ts'
import type { PluginParts } from './plugin.ts'

/** `https2https`: users' HTTPS, which ends here, to a local HTTPS server. Rejects for a certificate that cannot be used. */
export function https2https(parts: PluginParts<'https2https'>): Promise<Backend> {
  const rules = { scheme: 'https', forwarded: 'tell', isTls: true } as const
  return httpsBackend(parts, parts.options, new Bridge(parts, parts.options, rules))
}
