import { FrpError } from '../../contract/errors.ts'
import { HEAD_ROOM, MAX_V2_PAYLOAD_BYTES } from '../limits.ts'
import type { MessageCodec } from './codec.ts'
import { decode, encodeBehind, idOf, type Message, messageTypeOfId, type Outgoing } from './messages.ts'

/** What a v2 client writes first on every frp stream (pkg/proto/wire, MagicV2): `FRP`, 0, 2, CR, LF. */
export const V2_MAGIC = Uint8Array.of(0x46, 0x52, 0x50, 0x00, 0x02, 0x0d, 0x0a)

/** Type, flags (u16 each) and payload length (u32), big endian. */
export const V2_HEAD_BYTES = 8
/** A message's id, before its JSON. */
const ID_BYTES = 2

/** Frame types of pkg/proto/wire. */
export const CLIENT_HELLO = 1
export const SERVER_HELLO = 2
const MESSAGE = 16

/** A frame of wire protocol v2. `HEAD_ROOM` bytes of its buffer lie before it. */
export function frameV2(type: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEAD_ROOM + V2_HEAD_BYTES + payload.length).subarray(HEAD_ROOM)
  writeHead(frame, type, payload.length)
  frame.set(payload, V2_HEAD_BYTES)
  return frame
}

/** A message as frp's wire protocol v2 has it. `HEAD_ROOM` bytes of its buffer lie before it. */
export function encodeV2(message: Outgoing): Uint8Array {
  const frame = encodeBehind(V2_HEAD_BYTES + ID_BYTES, message)
  const length = frame.length - V2_HEAD_BYTES
  if (length > MAX_V2_PAYLOAD_BYTES) {
    throw new FrpError('MESSAGE_LENGTH', `${message.type}: ${length} bytes to send, more than ${MAX_V2_PAYLOAD_BYTES}`)
  }
  writeHead(frame, MESSAGE, length)
  frame[V2_HEAD_BYTES + 1] = idOf(message.type)
  return frame
}

function writeHead(frame: Uint8Array, type: number, length: number): void {
  const head = new DataView(frame.buffer, frame.byteOffset)
  head.setUint32(0, type * 0x1_0000)
  head.setUint32(4, length)
}

/**
 * The length of the frame that starts with `bytes`, or undefined while they do not tell. Refuses type, flags,
 * length and message id in this order, each as soon as its bytes are there. `hello`: the frame type that may come
 * beside messages.
 */
export function frameLengthV2(bytes: Uint8Array, hello?: number): number | undefined {
  if (bytes.length < 2) return undefined
  const type = uint16(bytes, 0)
  if (type !== MESSAGE && type !== hello) {
    const due = hello === undefined ? `${MESSAGE}` : `${hello} or ${MESSAGE}`
    throw new FrpError('MESSAGE_TYPE', `v2 frame of type ${type}, expected ${due}`)
  }
  if (bytes.length < 4) return undefined
  const flags = uint16(bytes, 2)
  if (flags !== 0) throw new FrpError('MESSAGE_FIELD', `v2 frame of type ${type}: flags ${flags}, expected 0`)
  if (bytes.length < V2_HEAD_BYTES) return undefined
  const length = uint16(bytes, 4) * 0x1_0000 + uint16(bytes, 6)
  const least = type === MESSAGE ? ID_BYTES : 0
  if (length < least || length > MAX_V2_PAYLOAD_BYTES) {
    const bound = `expected ${least} to ${MAX_V2_PAYLOAD_BYTES}`
    throw new FrpError('MESSAGE_LENGTH', `v2 frame of type ${type}: length ${length}, ${bound}`)
  }
  if (type === MESSAGE && bytes.length >= V2_HEAD_BYTES + ID_BYTES) messageTypeIn(bytes)
  return V2_HEAD_BYTES + length
}

/** The type of a whole frame that `frameLengthV2` let pass. */
export function frameTypeV2(frame: Uint8Array): number {
  return uint16(frame, 0)
}

/** What a whole frame carries. */
export function payloadV2(frame: Uint8Array): Uint8Array {
  return frame.subarray(V2_HEAD_BYTES)
}

/** The message in one whole frame that `frameLengthV2` let pass; undefined for the body `null`. */
export function decodeV2(frame: Uint8Array): Message | undefined {
  return decode(messageTypeIn(frame), frame.subarray(V2_HEAD_BYTES + ID_BYTES))
}

/** frp's wire protocol v2 for a MessageChannel, once the hellos are over. */
export const v2: MessageCodec = {
  headBytes: V2_HEAD_BYTES,
  frameLength: frameLengthV2,
  decode: decodeV2,
  encode: encodeV2,
}

function messageTypeIn(frame: Uint8Array): Message['type'] {
  const id = uint16(frame, V2_HEAD_BYTES)
  const type = messageTypeOfId(id)
  if (type === undefined) throw new FrpError('MESSAGE_TYPE', `message id ${id} in a v2 frame is no message of frp`)
  return type
}

function uint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
}
