import { FrpError } from '../contract/errors.ts'
import { formatIp, parseIp } from '../contract/ip.ts'
import type { Addresses } from '../relay/ingress.ts'

/** A PROXY header that was read whole. */
export interface ProxyHeader {
  byteLength: number
  /** Undefined: the proxy speaks for itself (v1 UNKNOWN, v2 LOCAL), as for its health checks. */
  addresses: Addresses | undefined
}

/** HAProxy's proxy-protocol.txt 2.1: a v1 header has at most 107 bytes with its line end. */
const MAX_V1_BYTES = 107
/** 2.2: the 12 bytes that begin v2, then version and command, family, and a length of two bytes. */
const V2_SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a)
const V2_HEAD_BYTES = 16
/** Addresses take 36 bytes, or 216 for UNIX sockets; the rest is for TLVs. More is nobody's header. */
const MAX_V2_PAYLOAD = 4_096
const V1_START = new TextEncoder().encode('PROXY ')

/** Reads the header that `bytes` begin with; undefined: not all of it is there. Throws MESSAGE_FIELD for anything else. */
export function readProxyHeader(bytes: Uint8Array): ProxyHeader | undefined {
  if (startsLike(bytes, V2_SIGNATURE)) return bytes.length < V2_HEAD_BYTES ? undefined : readV2(bytes)
  if (startsLike(bytes, V1_START)) return readV1(bytes)
  throw wrong('the connection begins with something else')
}

/** Whether `bytes` and `start` are the same as far as both go. */
function startsLike(bytes: Uint8Array, start: Uint8Array): boolean {
  return start.every((byte, i) => i >= bytes.length || bytes[i] === byte)
}

function readV1(bytes: Uint8Array): ProxyHeader | undefined {
  const end = bytes.subarray(0, MAX_V1_BYTES).indexOf(0x0a)
  if (end < 0 && bytes.length < MAX_V1_BYTES) return undefined
  const line = new TextDecoder('latin1').decode(bytes.subarray(0, Math.max(0, end + 1)))
  const byteLength = end + 1
  if (/^PROXY UNKNOWN( [^\r\n]*)?\r\n$/.test(line)) return { byteLength, addresses: undefined }
  const [, family, source = '', destination = '', sourcePort = '', destinationPort = ''] =
    /^PROXY TCP([46]) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) (\d{1,5}) (\d{1,5})\r\n$/.exec(line) ?? []
  const [from, to] = [parseIp(source), parseIp(destination)]
  const length = family === '4' ? 4 : 16
  const ports = [Number(sourcePort), Number(destinationPort)] as const
  if (from?.length !== length || to?.length !== length || ports.some((port) => port > 65_535)) {
    throw wrong(`v1 line ${JSON.stringify(line.slice(0, MAX_V1_BYTES))}`)
  }
  return { byteLength, addresses: addressesOf(from, ports[0], to, ports[1]) }
}

function readV2(bytes: Uint8Array): ProxyHeader | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const versionAndCommand = view.getUint8(12)
  const family = view.getUint8(13)
  const length = view.getUint16(14)
  if (versionAndCommand !== 0x20 && versionAndCommand !== 0x21) {
    throw wrong(`v2 version and command 0x${versionAndCommand.toString(16)}`)
  }
  if (length > MAX_V2_PAYLOAD) throw wrong(`v2 with ${length} bytes of addresses, more than ${MAX_V2_PAYLOAD}`)
  const byteLength = V2_HEAD_BYTES + length
  if (bytes.length < byteLength) return undefined
  // LOCAL, and families that are not TCP over IP: the connection's own addresses hold (2.2).
  const size = family === 0x11 ? 4 : family === 0x21 ? 16 : 0
  if (versionAndCommand === 0x20 || size === 0) return { byteLength, addresses: undefined }
  if (length < 2 * size + 4) throw wrong(`v2 with ${length} bytes for addresses of ${size}`)
  const at = V2_HEAD_BYTES
  const from = bytes.subarray(at, at + size)
  const to = bytes.subarray(at + size, at + 2 * size)
  const ports = at + 2 * size
  return { byteLength, addresses: addressesOf(from, view.getUint16(ports), to, view.getUint16(ports + 2)) }
}

function addressesOf(from: Uint8Array, sourcePort: number, to: Uint8Array, destinationPort: number): Addresses {
  return { sourceIp: formatIp(from), sourcePort, destinationIp: formatIp(to), destinationPort }
}

function wrong(what: string): FrpError {
  return new FrpError('MESSAGE_FIELD', `no PROXY header, which edgefrp.proxyProtocolFrom demands: ${what}`)
}
