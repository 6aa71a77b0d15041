/**
 * Why xtcp has no tunnel between two clients here; the same words for proxies and visitors. What was looked at is in
 * docs/out-of-scope.md.
 */
export const NO_TUNNEL = 'xtcp has no tunnel: frp carries it over QUIC or KCP, and neither is spoken here'
