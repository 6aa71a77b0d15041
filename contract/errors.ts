/**
 * Every code that an {@link FrpError} may carry, with what it tells a person. `docs/errors.md` has a row for
 * each (a test compares). Codes are stable: scripts and logs may match on them; texts may change.
 */
export const ERROR_CODES = {
  // streams
  STREAM_RESET: 'the other side reset the stream',
  STREAM_CUT: 'the carrier of the stream ended before the stream did',
  STREAM_ABORTED: 'our side gave the stream up',
  SESSION_ENDED: 'the session that carried the stream is over',
  LINK_CLOSED: 'the connection below closed',
  TIMEOUT: 'something that had to happen in time did not',
  // yamux
  YAMUX_BAD_VERSION: 'a yamux frame has another version than 0',
  YAMUX_BAD_TYPE: 'a yamux frame has an unknown type',
  YAMUX_WINDOW_EXCEEDED: 'a peer sent more than the window it was granted',
  YAMUX_WINDOW_OVERFLOW: 'a peer granted a window above 2^32-1',
  YAMUX_DUPLICATE_STREAM: 'a peer opened a stream id that is open',
  YAMUX_DOUBLE_FIN: 'a peer ended a stream twice',
  YAMUX_GO_AWAY: 'the peer refused the session',
  YAMUX_FLOOD: 'a peer sent too many frames that carry nothing',
  YAMUX_KEEPALIVE: 'a yamux ping was not answered in time',
  YAMUX_TOO_MANY_STREAMS: 'more streams than the limit',
  YAMUX_BAD_SNAPSHOT: 'a snapshot of a session cannot be read',
  // frp messages
  MESSAGE_TYPE: 'a message has an unknown type',
  MESSAGE_LENGTH: 'a message is longer than the limit or has a negative length',
  MESSAGE_JSON: 'a message body is no valid JSON',
  MESSAGE_FIELD: 'a field of a message has the wrong type or range',
  MESSAGE_UNEXPECTED: 'a message came where another one was due',
  MESSAGE_TRUNCATED: 'the stream ended inside a message',
  WIRE_VERSION: 'the peer speaks a wire protocol that is not accepted here',
  WIRE_HELLO: 'a hello of wire protocol v2 cannot be agreed on',
  // wrapping
  SNAPPY_CORRUPT: 'compressed bytes are not valid snappy framing',
  CIPHER_TRUNCATED: 'an encrypted stream ended inside its start vector or a record',
  CIPHER_RECORD: 'an encrypted record has a wrong length or was changed, repeated or left out',
  // WebSocket
  WEBSOCKET_PROTOCOL: 'a WebSocket peer broke RFC 6455',
  WEBSOCKET_TOO_LARGE: 'a WebSocket message or frame is above the limit',
  WEBSOCKET_UPGRADE: 'the answer to a WebSocket upgrade was not acceptable',
  WEBSOCKET_TEXT: 'a WebSocket text frame came where binary frames are needed',
  // HTTP
  HTTP_BAD_REQUEST: 'a request that cannot be understood in one way only',
  HTTP_HEAD_TOO_LARGE: 'the head of a message is above the limit',
  HTTP_BAD_RESPONSE: 'a response that cannot be understood in one way only',
  HTTP_TRUNCATED: 'the stream ended inside a message',
  // login, proxies
  AUTH_FAILED: 'the credentials do not match',
  LOGIN_THROTTLED: 'too many failed logins from this address',
  LOGIN_REFUSED: 'the relay refused the login',
  PROXY_REFUSED: 'the relay refused the proxy',
  USER_REFUSED: 'a user may not use this proxy from its address',
  VISIT_REFUSED: 'the relay refused a visit',
  NO_WORK_CONN: 'no work connection came in time',
  PORT_NOT_ALLOWED: 'the port is not allowed here',
  PORT_TAKEN: 'the port is in use',
  NOT_SUPPORTED: 'this is not available here',
  LIMIT: 'a limit was reached',
  PLUGIN_REFUSED: 'a server plugin refused, or did not answer as it should',
  // configuration
  CONFIG_SYNTAX: 'a configuration file cannot be parsed',
  CONFIG_FIELD: 'a configuration field is unknown, missing or has a wrong value',
  CONFIG_FILE: 'a configuration file cannot be read',
  // connecting
  CONNECT_FAILED: 'a connection could not be made',
  PROXY_HANDSHAKE: 'an HTTP or SOCKS proxy on the way refused',
  TLS_FAILED: 'TLS could not be established',
} as const

export type ErrorCode = keyof typeof ERROR_CODES

/** An error with a stable code. The message names the field or frame, the value and the bound. */
export class FrpError extends Error {
  override readonly name = 'FrpError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** The code of an error, or undefined for an error that is not ours. */
export function codeOf(error: unknown): ErrorCode | undefined {
  return error instanceof FrpError ? error.code : undefined
}

/** Whatever was thrown, as an Error. */
export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
