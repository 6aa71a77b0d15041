import type { Crypto } from '../../contract/runtime.ts'
import { BLOCK_BYTES, Cfb } from '../../protocol/frp/cfb.ts'
import type { NatHoleSid, OutgoingOf } from '../../protocol/frp/messages.ts'
import { decodeV1, encodeV1, frameLengthV1 } from '../../protocol/frp/v1.ts'

/** A datagram that knocks at a hole: a start vector, and behind it NatHoleSid in CFB with the key of the secret. */
export function encodeSid(message: OutgoingOf<'NatHoleSid'>, key: Uint8Array, crypto: Crypto): Uint8Array {
  const frame = encodeV1(message)
  const iv = crypto.randomBytes(BLOCK_BYTES)
  const datagram = new Uint8Array(BLOCK_BYTES + frame.length)
  datagram.set(iv)
  datagram.set(frame, BLOCK_BYTES)
  const cipher = new Cfb(crypto, key, true)
  cipher.start(iv)
  cipher.apply(datagram.subarray(BLOCK_BYTES))
  return datagram
}

/** The message in such a datagram; undefined for whatever else may come to a port. */
export function decodeSid(datagram: Uint8Array, key: Uint8Array, crypto: Crypto): NatHoleSid | undefined {
  if (datagram.length <= BLOCK_BYTES) return undefined
  const frame = datagram.slice(BLOCK_BYTES)
  const cipher = new Cfb(crypto, key, false)
  cipher.start(datagram.subarray(0, BLOCK_BYTES))
  cipher.apply(frame)
  try {
    if (frameLengthV1(frame) !== frame.length) return undefined
    const message = decodeV1(frame)
    return message?.type === 'NatHoleSid' ? message : undefined
  } catch {
    // Not with our key: anybody can send anything to an open port.
    return undefined
  }
}
