import type { Fields } from './fields.ts'
import { isSameText } from './text.ts'

/** What may pass although it belongs to one hop. */
export interface HopOptions {
  /** The head's `upgrade`; it passes if `upgrades` names it. */
  upgrade?: string | undefined
  /** Lower-case protocols whose upgrade passes; never `h2c`, which would hide requests from us. */
  upgrades?: readonly string[]
}

/** What of a head decides its framing fields; `status` in responses. */
export interface Framed {
  isChunked: boolean
  contentLength: number
  status?: number
}

/** RFC 9110 7.6.1, and the two that old clients send. Framing is put back by {@link normalizeFraming}. */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'te', 'transfer-encoding', 'upgrade', 'http2-settings'])

/** What `Connection` may not remove: a stranger would strip what proxies say about him, or the framing. */
const PROTECTED = new Set([
  'host',
  'content-length',
  'content-type',
  'forwarded',
  'via',
  'x-real-ip',
  'x-client-ip',
  'true-client-ip',
  'authorization',
  'cookie',
])
const PROTECTED_PREFIXES = ['x-forwarded-', 'cf-', 'edgefrp-']

const WEBSOCKET: readonly string[] = ['websocket']

/**
 * Removes what belongs to one hop (RFC 9110 7.6.1): the fixed list, `Proxy-*`, and what `Connection` names.
 * `TE: trailers` passes, and `Connection: Upgrade` with `Upgrade` for a protocol that may be upgraded to.
 */
export function removeHopByHop(fields: Fields, options: HopOptions = {}): void {
  const named = namedByConnection(fields)
  const wantsTrailers = fields.getAll('te').some(acceptsTrailers)
  fields.removeWhere((name) => {
    const lower = name.toLowerCase()
    return HOP_BY_HOP.has(lower) || lower.startsWith('proxy-') || (named.has(lower) && !isProtected(lower))
  })
  if (wantsTrailers) fields.append('TE', 'trailers')
  const upgrade = options.upgrade
  if (upgrade !== undefined && (options.upgrades ?? WEBSOCKET).includes(upgrade.toLowerCase())) {
    fields.append('Connection', 'Upgrade')
    fields.append('Upgrade', upgrade)
  } else if (wantsTrailers) {
    // RFC 9110 10.1.4: whoever sends TE names it in Connection.
    fields.append('Connection', 'TE')
  }
}

/**
 * Leaves at most one framing field, computed from what was understood: the other hop sees no other spelling.
 * A 1xx or 204 has none (RFC 9110 8.6, RFC 9112 6.1).
 */
export function normalizeFraming(fields: Fields, head: Framed): void {
  if (head.status !== undefined && (head.status < 200 || head.status === 204)) {
    fields.delete('transfer-encoding')
    fields.delete('content-length')
    return
  }
  if (head.isChunked) {
    fields.delete('content-length')
    fields.set('Transfer-Encoding', 'chunked')
    return
  }
  fields.delete('transfer-encoding')
  if (head.contentLength >= 0) fields.set('Content-Length', String(head.contentLength))
  else fields.delete('content-length')
}

function namedByConnection(fields: Fields): Set<string> {
  const named = new Set<string>()
  for (const value of fields.getAll('connection')) {
    for (const token of value.split(',')) named.add(token.trim().toLowerCase())
  }
  return named
}

function acceptsTrailers(value: string): boolean {
  return value.split(',').some((part) => isSameText(part.trim(), 'trailers'))
}

function isProtected(lower: string): boolean {
  return PROTECTED.has(lower) || PROTECTED_PREFIXES.some((prefix) => lower.startsWith(prefix))
}
