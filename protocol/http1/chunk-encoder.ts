import { HEAD_ROOM } from '../limits.ts'
import type { Fields } from './fields.ts'
import { serializeTrailers } from './serialize.ts'
import { CR, LF } from './text.ts'

/** CR LF that ends the chunk before, at most 8 digits, CR LF. */
const MAX_LINE_BYTES = 12

/**
 * Puts payload into chunks. A chunk's size line is written into the room before the payload, after the CR LF
 * that the chunk before it still owes: so each chunk stays one piece of memory, and one write.
 */
export class ChunkEncoder {
  /** What is left of the head room before the last chunk that `frame` answered. */
  headRoom = 0
  private owesLineEnd = false

  /**
   * `payload` with its size line in front, in the same memory if `headRoom` suffices, else as a copy with
   * HEAD_ROOM before it. Nothing at all for an empty payload, which would end the body.
   */
  frame(payload: Uint8Array, headRoom = 0): Uint8Array {
    if (payload.length === 0) return payload
    const digits = hexDigits(payload.length)
    const lineBytes = digits + (this.owesLineEnd ? 4 : 2)
    if (headRoom < lineBytes) return this.frame(this.copy(payload), HEAD_ROOM + MAX_LINE_BYTES)
    const out = new Uint8Array(payload.buffer, payload.byteOffset - lineBytes, payload.length + lineBytes)
    let at = 0
    if (this.owesLineEnd) {
      out[at++] = CR
      out[at++] = LF
    }
    for (let shift = (digits - 1) * 4; shift >= 0; shift -= 4) {
      const digit = (payload.length >>> shift) & 15
      out[at++] = digit < 10 ? 0x30 + digit : 0x57 + digit
    }
    out[at++] = CR
    out[at] = LF
    this.owesLineEnd = true
    this.headRoom = headRoom - lineBytes
    return out
  }

  /** The end of the body, with trailers; HEAD_ROOM bytes lie before it. */
  last(trailers?: Fields): Uint8Array {
    const out = serializeTrailers(this.owesLineEnd, trailers)
    this.owesLineEnd = false
    this.headRoom = HEAD_ROOM
    return out
  }

  private copy(payload: Uint8Array): Uint8Array {
    const room = HEAD_ROOM + MAX_LINE_BYTES
    const memory = new Uint8Array(room + payload.length)
    memory.set(payload, room)
    return memory.subarray(room)
  }
}

function hexDigits(length: number): number {
  return Math.max(1, Math.ceil((32 - Math.clz32(length)) / 4))
}
