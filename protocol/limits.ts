/** Every bound of the wire, each with its source. Bounds of the relay's own are in `relay/limits.ts`. */

/** frp v1: golib msg/json defaultMaxMsgLength; a longer message closes the connection there too. */
export const MAX_V1_MESSAGE_BYTES = 10_240
/** frp v2: pkg/proto/wire DefaultMaxFramePayloadSize; a longer frame closes the connection there too. */
export const MAX_V2_PAYLOAD_BYTES = 64 * 1024
/** golib crypto aead_stream: text of one record of the control connection of v2. */
export const MAX_AEAD_TEXT_BYTES = 64 * 1024
/** golib crypto aead_stream: records of one direction under one AES-GCM key. */
export const MAX_AES_GCM_RECORDS = 2 ** 32

/** yamux spec, fatedier/yamux: both directions of a new stream start with this window. */
export const YAMUX_INITIAL_WINDOW = 256 * 1024
/** frp since 0.50 (client/connector.go, server/service.go): MaxStreamWindowSize of both ends. */
export const YAMUX_MAX_WINDOW = 6 * 1024 * 1024
/** yamux AcceptBacklog, as in frp: streams that the peer opened and we have not answered. */
export const YAMUX_ACCEPT_BACKLOG = 256
/** Streams of one session: a bound on its tables; frp has none. */
export const YAMUX_MAX_STREAMS = 16_384
/** yamux: a window is a uint32. */
export const YAMUX_WINDOW_LIMIT = 0xffff_ffff
/** Frames that carry nothing (pings, empty updates, frames for unknown streams): sustained, a second. */
export const YAMUX_IDLE_FRAMES_PER_SECOND = 2_000
/** The same: how many may come at once. */
export const YAMUX_IDLE_FRAMES_BURST = 10_000
/** yamux StreamCloseTimeout: how long a stream that we ended waits for the peer's FIN. */
export const YAMUX_HALF_CLOSED_MS = 5 * 60_000

/** The room that a WebSocket header (14) and a yamux header (12) need before a chunk, rounded up. */
export const HEAD_ROOM = 32
/** Writes up to this size are copied into a batch instead of being lent: cheaper than a system call each. */
export const SMALL_WRITE = 4_096

/** WebSocket message or frame after login; stock frpc's frames are at most a yamux frame (6 MiB window). */
export const MAX_WEBSOCKET_MESSAGE_BYTES = 8 * 1024 * 1024
/** WebSocket message before login: a Login message is at most 10 KiB. */
export const MAX_WEBSOCKET_MESSAGE_BYTES_BEFORE_LOGIN = 64 * 1024
/** Fragments of one WebSocket message; ws 8.21 bounds them too, after an advisory. */
export const MAX_WEBSOCKET_FRAGMENTS = 1_024

/** Head of an HTTP message in bytes (start line and fields). */
export const MAX_HTTP_HEAD_BYTES = 64 * 1024
/** Fields of an HTTP head. */
export const MAX_HTTP_FIELDS = 200
/** Digits of a chunk size: 2^52 fits, and a number stays exact. */
export const MAX_HTTP_CHUNK_DIGITS = 13
/** Bytes of a chunk-size line with its extensions, and of all trailers. */
export const MAX_HTTP_CHUNK_LINE_BYTES = 4_096
export const MAX_HTTP_TRAILER_BYTES = 16 * 1024
/** 1xx responses before the final one: 103 comes once or twice, progress (102) a few times; a storm is none. */
export const MAX_HTTP_INFORMATIONAL = 32
