/**
 * Why xtcp has no tunnel between two clients; the same words for proxies and visitors. What was looked at is in
 * docs/out-of-scope.md.
 */
export const NO_TUNNEL = 'xtcp has no tunnel: it goes over QUIC, and the package @matrixai/quic is not installed here'

/** frp's other protocol for tunnels. */
export const NO_KCP = 'xtcp has no tunnel over KCP, which is not spoken here: use protocol = "quic"'
