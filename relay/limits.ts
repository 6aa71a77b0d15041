/** Bounds of the relay that no configuration changes; the configurable ones are `edgefrp.limits`. */

/** Streams of a connection that has not logged in: the Login stream itself. */
export const STREAMS_BEFORE_LOGIN = 1
/** How long a peer has to close a connection that we ended. */
export const CLOSE_MS = 5_000
/** How often streams that the peer should have ended long ago are looked for; yamux gives them 5 minutes. */
export const HALF_CLOSED_LOOK_MS = 30_000
/** How long the owner of a name that somebody else claims may take to answer a ping. */
export const PROBE_MS = 2_000
/** Two sessions with one run id replace each other at most this often. */
export const TAKE_OVER_INTERVAL_MS = 1_000
/** frp server/control.go: the pool holds poolCount + 10 work connections. */
export const EXTRA_WORK_CONNS = 10
/** Wrong secrets for one stcp, sudp or xtcp proxy from one address: at once, and then a second. More are not looked at. */
export const WRONG_SECRETS = { burst: 5, perSecond: 0.1 } as const
/** Users that wait for a work connection of one client; the next one is refused. */
export const MAX_WAITING_USERS = 1_024
/** How long a raised pool target outlives the last time that the pool was empty. */
export const POOL_COOL_DOWN_MS = 10_000

/** Messages about proxies of one client that wait for their turn; then its control stream is not read on. */
export const MAX_WAITING_MESSAGES = 64

/** frp waits for a plugin for ever; a client gives up after 10 s, and what waits here holds up its other proxies. */
export const CALL_PLUGIN_MS = 60_000
/** frp reads whatever comes; the largest message of frp has 10 KiB. */
export const MAX_PLUGIN_REPLY_BYTES = 1024 * 1024

/** frp pkg/proto/udp: queue of datagrams that wait for the work connection. */
export const MAX_UDP_QUEUE = 1_024
/** frp server/proxy/udp.go: a work connection without any message for this long is closed. */
export const UDP_WORK_CONN_SILENCE_MS = 60_000
/** frp server/proxy/udp.go: pause before the next work connection is taken. */
export const UDP_RETRY_MS = 1_000

/** frp server/ports: how long a released port stays reserved for the name that had it. */
export const PORT_RESERVATION_MS = 24 * 3_600_000
/** frp server/ports: free ports that are tried for remote_port 0. */
export const RANDOM_PORT_TRIES = 5
/** Names with a remembered port; the oldest is forgotten. */
export const MAX_REMEMBERED_PORTS = 10_000

/** Domains times locations of one http proxy: a message of 10 KiB could name a million. */
export const MAX_ROUTES = 1_024

/** frp pkg/util/vhost/http.go: IdleConnTimeout of a connection to a client's web server. */
export const IDLE_UPSTREAM_MS = 60_000
