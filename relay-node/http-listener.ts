import type { Link } from '../protocol/stream/byte-stream.ts'
import { HttpUser, type HttpUserOptions } from '../relay/http-user.ts'
import type { Addresses } from '../relay/ingress.ts'
import type { Relay } from '../relay/relay.ts'

/** Between two requests of one connection: as long as browsers and nginx keep theirs. */
const IDLE_TIMEOUT_MS = 60_000

export interface HttpDoor {
  relay: Relay
  scheme: 'http' | 'https'
  clientIp: HttpUserOptions['clientIp']
  /** The relay's own paths. */
  api: (request: Request, address: string) => Response | Promise<Response>
}

/** Serves a user's HTTP connection from its first byte; `head` are bytes of it that were read before. */
export function acceptHttp(door: HttpDoor, user: Link, addresses: Addresses, head?: Uint8Array): void {
  const { relay, scheme, clientIp, api } = door
  const { limits } = relay.options.edgefrp
  const http = new HttpUser(user, {
    ingress: relay.http,
    addresses,
    clientIp,
    scheme,
    headLimits: { bytes: limits.httpHeadBytes, fields: limits.httpFields },
    headTimeoutMs: limits.headerTimeoutSeconds * 1000,
    idleTimeoutMs: IDLE_TIMEOUT_MS,
    api: (request) => api(request, addresses.sourceIp),
  })
  http.start(head)
}
