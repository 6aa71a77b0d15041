import { FrpError } from '../../contract/errors.ts'
import { MAX_V1_MESSAGE_BYTES } from '../limits.ts'
import type { MessageCodec } from './codec.ts'
import { decode, encodeBehind, type Message, messageTypeOfByte, type Outgoing, typeByteOf } from './messages.ts'

/** Type byte and int64 length, big endian. */
const V1_HEAD_BYTES = 9

/** A message as frp's wire protocol v1 has it (golib msg/json). `HEAD_ROOM` bytes of its buffer lie before it. */
export function encodeV1(message: Outgoing): Uint8Array {
  const frame = encodeBehind(V1_HEAD_BYTES, message)
  const length = frame.length - V1_HEAD_BYTES
  if (length > MAX_V1_MESSAGE_BYTES) {
    throw new FrpError('MESSAGE_LENGTH', `${message.type}: ${length} bytes to send, more than ${MAX_V1_MESSAGE_BYTES}`)
  }
  frame[0] = typeByteOf(message.type)
  frame[7] = length >> 8
  frame[8] = length
  return frame
}

/**
 * The length of the frame that starts with `bytes`, or undefined while they do not tell. Refuses an unknown
 * type before it looks at the length, and a length that cannot be before there is a body.
 */
export function frameLengthV1(bytes: Uint8Array): number | undefined {
  const typeByte = bytes[0]
  if (typeByte === undefined) return undefined
  if (messageTypeOfByte(typeByte) === undefined) {
    throw new FrpError('MESSAGE_TYPE', `type byte 0x${typeByte.toString(16).padStart(2, '0')} is no message of frp`)
  }
  if (bytes.length < V1_HEAD_BYTES) return undefined
  const head = new DataView(bytes.buffer, bytes.byteOffset)
  const length = head.getUint32(5)
  if (head.getUint32(1) !== 0 || length > MAX_V1_MESSAGE_BYTES) {
    const type = messageTypeOfByte(typeByte)
    throw new FrpError(
      'MESSAGE_LENGTH',
      `${type}: length ${head.getBigInt64(1)}, expected 0 to ${MAX_V1_MESSAGE_BYTES}`,
    )
  }
  return V1_HEAD_BYTES + length
}

/** The message in one whole frame; undefined for the body `null`. */
export function decodeV1(frame: Uint8Array): Message | undefined {
  const type = messageTypeOfByte(frame[0] ?? 0)
  if (type === undefined) throw new FrpError('MESSAGE_TYPE', `type byte 0x${frame[0]?.toString(16)}`)
  return decode(type, frame.subarray(V1_HEAD_BYTES))
}

/** frp's wire protocol v1 for a MessageChannel. */
export const v1: MessageCodec = {
  headBytes: V1_HEAD_BYTES,
  frameLength: frameLengthV1,
  decode: decodeV1,
  encode: encodeV1,
}
