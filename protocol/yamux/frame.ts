/** Bytes of a yamux header: version, type, flags (2), stream id (4), length (4), big endian. */
export const HEADER_BYTES = 12
/** The one version there is. */
export const VERSION = 0

export const TYPE_DATA = 0
export const TYPE_WINDOW_UPDATE = 1
export const TYPE_PING = 2
export const TYPE_GO_AWAY = 3

export const FLAG_SYN = 1
export const FLAG_ACK = 2
export const FLAG_FIN = 4
export const FLAG_RST = 8

export const GO_AWAY_NORMAL = 0
export const GO_AWAY_PROTOCOL_ERROR = 1

/** Body bytes of a Data frame that we send: small enough that streams share a link fairly, and perf.md's largest read. */
export const MAX_DATA_BYTES = 256 * 1024

/** Writes a header at `target[at]`; `id` and `length` are uint32. */
export function encodeHeader(
  target: Uint8Array,
  at: number,
  type: number,
  flags: number,
  id: number,
  length: number,
): void {
  target[at] = VERSION
  target[at + 1] = type
  target[at + 2] = flags >>> 8
  target[at + 3] = flags
  writeUint32(target, at + 4, id)
  writeUint32(target, at + 8, length)
}

/** A header as bytes of its own: for tests and tools, the data path writes in place. */
export function header(type: number, flags: number, id: number, length: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES)
  encodeHeader(bytes, 0, type, flags, id, length)
  return bytes
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  )
}

function writeUint32(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 24
  target[at + 1] = value >>> 16
  target[at + 2] = value >>> 8
  target[at + 3] = value
}
