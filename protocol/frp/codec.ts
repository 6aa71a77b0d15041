import type { Message, Outgoing } from './messages.ts'

/** How messages are framed: v1, or v2. It has no state; a MessageChannel keeps the partial frame. */
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
