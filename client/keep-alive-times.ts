import type { ServerOptions } from '../config/frpc.ts'
import type { KeepAliveOptions } from '../protocol/yamux/keep-alive.ts'

/** yamux pings where no key says otherwise: a dead link is noticed in 15 s (frp: 30 + 10). */
const KEEP_ALIVE_MS = 10_000
const KEEP_ALIVE_ANSWER_MS = 5_000
/** yamux ConnectionWriteTimeout, as frp keeps it beside a configured interval. */
const FRP_KEEP_ALIVE_ANSWER_MS = 10_000

/**
 * How a relay is pinged by yamux, undefined: not at all. Keys in the file are obeyed (`given`, below `path`);
 * without them a relay that sleeps is left asleep.
 */
export function keepAliveTimes(
  given: ReadonlySet<string>,
  server: ServerOptions,
  path: string,
  features: ReadonlySet<string>,
): KeepAliveOptions | undefined {
  if (given.has(`${path}transport.tcpMuxKeepaliveInterval`)) {
    const intervalMs = server.transport.tcpMuxKeepaliveInterval * 1000
    return intervalMs > 0 ? { intervalMs, timeoutMs: FRP_KEEP_ALIVE_ANSWER_MS } : undefined
  }
  if (features.has('sleeps')) return undefined
  return { intervalMs: KEEP_ALIVE_MS, timeoutMs: KEEP_ALIVE_ANSWER_MS }
}
