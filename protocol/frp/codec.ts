import type { Message, Outgoing } from './messages.ts'

/** frp's name of how messages are framed, as `transport.wireProtocol` and the API have it. */
export type WireProtocol = 'v1' | 'v2'

/**
 * How messages are framed. Those of whole connections have no state, a MessageChannel keeps the partial frame;
 * the ones that begin a stream (`opening.ts`) know how far they are.
 */
export interface MessageCodec {
  /** So many bytes always suffice for `frameLength` to tell. */
  readonly headBytes: number
  /** The length of the frame that starts with `bytes`, undefined while they do not tell; throws when it cannot be. */
  frameLength(bytes: Uint8Array): number | undefined
  /** The message in one whole frame; undefined for a frame that carries none. */
  decode(frame: Uint8Array): Message | undefined
  /** A frame with `HEAD_ROOM` bytes of its own buffer before it. */
  encode(message: Outgoing): Uint8Array
}
