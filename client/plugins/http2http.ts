import type { Backend } from '../proxies/proxy.ts'
import { Bridge } from './bridge.ts'
import { httpBackend } from './http-backend.ts'
import type { PluginParts } from './plugin.ts'

/** `http2http`: users' HTTP to a local HTTP server. */
export function http2http(parts: PluginParts<'http2http'>): Backend {
  const rules = { scheme: 'http', forwarded: 'strip', isTls: false } as const
  return httpBackend(parts, new Bridge(parts, parts.options, rules))
}
