import { FrpError } from '../../contract/errors.ts'

/** STUN (RFC 8489), as much as a binding request takes: no attributes go out, two addresses come in. */

const STUN_HEAD_BYTES = 20
const BINDING_REQUEST = 0x0001
const BINDING_SUCCESS = 0x0101
const MAGIC_COOKIE = 0x2112_a442
const ID_BYTES = 12
const FAMILY_IPV4 = 1

const MAPPED_ADDRESS = 0x0001
/** RFC 3489; servers of that time say it where RFC 5780 has OTHER-ADDRESS. */
const CHANGED_ADDRESS = 0x0005
const XOR_MAPPED_ADDRESS = 0x0020
/** RFC 5780. */
const OTHER_ADDRESS = 0x802c

/** What a server told, each as `ip:port`; undefined: it did not. */
export interface StunAnswer {
  /** Where the request came from, as the server saw it. */
  mapped: string | undefined
  /** Another address of the server. */
  other: string | undefined
}

/** A binding request with this transaction id of 12 bytes. */
export function bindingRequest(id: Uint8Array): Uint8Array {
  const request = new Uint8Array(STUN_HEAD_BYTES)
  const view = new DataView(request.buffer)
  view.setUint16(0, BINDING_REQUEST)
  view.setUint32(4, MAGIC_COOKIE)
  request.set(id.subarray(0, ID_BYTES), 8)
  return request
}

/**
 * The answer to the request with this id; undefined for a datagram that is something else. Throws MESSAGE_FIELD for an
 * answer that breaks off.
 */
export function bindingAnswer(datagram: Uint8Array, id: Uint8Array): StunAnswer | undefined {
  if (datagram.length < STUN_HEAD_BYTES) return undefined
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length)
  if (view.getUint16(0) !== BINDING_SUCCESS || view.getUint32(4) !== MAGIC_COOKIE) return undefined
  if (id.some((byte, index) => datagram[8 + index] !== byte)) return undefined
  const length = view.getUint16(2)
  if (STUN_HEAD_BYTES + length > datagram.length) {
    throw wrong(`attributes of ${length} bytes in a datagram of ${datagram.length}`)
  }
  const found = new Map<number, string>()
  for (let at = STUN_HEAD_BYTES; at + 4 <= STUN_HEAD_BYTES + length; ) {
    const type = view.getUint16(at)
    const size = view.getUint16(at + 2)
    at += 4
    if (at + size > STUN_HEAD_BYTES + length) throw wrong(`attribute 0x${type.toString(16)} of ${size} bytes`)
    const address = addressIn(datagram.subarray(at, at + size), type === XOR_MAPPED_ADDRESS)
    // RFC 8489 14: of an attribute that comes twice the first one counts.
    if (address !== undefined && !found.has(type)) found.set(type, address)
    at += (size + 3) & ~3
  }
  return {
    mapped: found.get(XOR_MAPPED_ADDRESS) ?? found.get(MAPPED_ADDRESS),
    other: found.get(OTHER_ADDRESS) ?? found.get(CHANGED_ADDRESS),
  }
}

/** The IPv4 address in an attribute; undefined: there is none. */
function addressIn(value: Uint8Array, isXored: boolean): string | undefined {
  if (value.length !== 8 || value[1] !== FAMILY_IPV4) return undefined
  const view = new DataView(value.buffer, value.byteOffset, value.length)
  const port = view.getUint16(2) ^ (isXored ? MAGIC_COOKIE >>> 16 : 0)
  const ip = (view.getUint32(4) ^ (isXored ? MAGIC_COOKIE : 0)) >>> 0
  return `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}:${port}`
}

function wrong(what: string): FrpError {
  return new FrpError('MESSAGE_FIELD', `answer of the STUN server: ${what}`)
}
