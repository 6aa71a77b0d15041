import type { Backend } from '../proxies/proxy.ts'
import { Bridge } from './bridge.ts'
import { httpBackend } from './http-backend.ts'
import type { PluginParts } from './plugin.ts'

/** `http2https`: users' HTTP to a local HTTPS server. */
export function http2https(parts: PluginParts<'http2https'>): Backend {
  const rules = { scheme: 'https', forwarded: 'pass', isTls: false } as const
  return httpBackend(parts, new Bridge(parts, parts.options, rules))
}
