import { isIP, isIPv4 } from 'node:net'
import { parseIp } from '../contract/ip.ts'

/** An endpoint as a relay names it. */
export interface Endpoint {
  ip: string
  port: number
}

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const PROXY_COMMAND = 0x21
const STREAM_V4 = 0x11
const STREAM_V6 = 0x21
const DATAGRAM_V4 = 0x12
const DATAGRAM_V6 = 0x22

/**
 * The PROXY protocol header for a connection from `source`, or undefined if there is nothing to tell.
 * The addresses come from the relay: only literal IP addresses are used, nothing is resolved and no text of
 * the relay's reaches the service.
 */
export function proxyHeader(
  version: string,
  source: Endpoint,
  destination: Endpoint,
  transport: 'stream' | 'datagram' = 'stream',
): Buffer | undefined {
  if (isIP(source.ip) === 0 || source.port < 1 || source.port > 65_535) return undefined
  const to: Endpoint = isIP(destination.ip) === 0 ? { ip: '127.0.0.1', port: destination.port } : destination
  if (version === 'v1') return versionOne(source, to, transport)
  return version === 'v2' ? versionTwo(source, to, transport) : undefined
}

function versionOne(source: Endpoint, destination: Endpoint, transport: 'stream' | 'datagram'): Buffer {
  if (transport === 'datagram') return Buffer.from('PROXY UNKNOWN\r\n')
  const isV4 = isIPv4(source.ip) && isIPv4(destination.ip)
  const [from, to] = isV4 ? [source.ip, destination.ip] : [asV6(source.ip), asV6(destination.ip)]
  return Buffer.from(`PROXY ${isV4 ? 'TCP4' : 'TCP6'} ${from} ${to} ${source.port} ${destination.port}\r\n`)
}

function versionTwo(source: Endpoint, destination: Endpoint, transport: 'stream' | 'datagram'): Buffer {
  const isV4 = isIPv4(source.ip) && isIPv4(destination.ip)
  const bytesOf = isV4 ? bytesOfV4 : bytesOfV6
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(source.port, 0)
  ports.writeUInt16BE(destination.port, 2)
  const body = Buffer.concat([bytesOf(source.ip), bytesOf(destination.ip), ports])
  const family = transport === 'stream' ? (isV4 ? STREAM_V4 : STREAM_V6) : isV4 ? DATAGRAM_V4 : DATAGRAM_V6
  const head = Buffer.from([PROXY_COMMAND, family, 0, body.length])
  return Buffer.concat([SIGNATURE, head, body])
}

/** One header names one family; the specification knows IPv4 as mapped addresses. */
function asV6(ip: string): string {
  return isIPv4(ip) ? `::ffff:${ip}` : withoutZone(ip)
}

function withoutZone(ip: string): string {
  const percent = ip.indexOf('%')
  return percent < 0 ? ip : ip.slice(0, percent)
}

function bytesOfV4(ip: string): Buffer {
  return Buffer.from(ip.split('.').map(Number))
}

/** Mapped if it is IPv4; both were looked at before. */
function bytesOfV6(ip: string): Buffer {
  return Buffer.from(parseIp(asV6(ip)) ?? new Uint8Array(16))
}
