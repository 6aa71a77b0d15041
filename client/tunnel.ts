import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { FrpError } from '../contract/errors.ts'
import { formatAddress } from '../contract/ip.ts'
import { HandshakeReader } from './handshake-reader.ts'

/** SOCKS5 lengths are one byte. */
const MAX_SOCKS_TEXT = 255

/** A proxy on the way to the relay, as `transport.proxyURL` names it. */
export interface TunnelProxy {
  scheme: 'http' | 'https' | 'socks5'
  host: string
  port: number
  user?: string
  password?: string
}

/** Reads the URL of a proxy; throws CONFIG_FIELD, naming `key`, for what cannot be used. Errors never show the password. */
export function parseProxyUrl(text: string, key = 'transport.proxyURL'): TunnelProxy {
  let url: URL
  try {
    url = new URL(text)
  } catch (error) {
    throw new FrpError('CONFIG_FIELD', `${key} is not a URL`, { cause: error })
  }
  const scheme = url.protocol.slice(0, -1)
  if (scheme !== 'http' && scheme !== 'https' && scheme !== 'socks5') {
    throw new FrpError('CONFIG_FIELD', `${key}: ProxyType must be http, https or socks5, not [${scheme}]`)
  }
  const defaultPort = scheme === 'http' ? 80 : scheme === 'https' ? 443 : 1080
  const proxy: TunnelProxy = {
    scheme,
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? defaultPort : Number(url.port),
  }
  if (url.username !== '') {
    proxy.user = decodeURIComponent(url.username)
    proxy.password = decodeURIComponent(url.password)
  }
  return proxy
}

/**
 * Asks the proxy at the other end of `socket` for a way to `host:port`. Bytes that follow the proxy's answer
 * are given back to the socket. Rejects with PROXY_HANDSHAKE; the caller destroys the socket then.
 */
export function openTunnel(socket: Duplex, proxy: TunnelProxy, host: string, port: number): Promise<void> {
  const reader = new HandshakeReader(socket, (why) => new FrpError('PROXY_HANDSHAKE', `the proxy on the way: ${why}`))
  return proxy.scheme === 'socks5'
    ? openSocks5(socket, reader, proxy, host, port)
    : openConnect(socket, reader, proxy, host, port)
}

async function openConnect(
  socket: Duplex,
  reader: HandshakeReader,
  proxy: TunnelProxy,
  host: string,
  port: number,
): Promise<void> {
  const authority = formatAddress(host, port)
  let request = `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\nUser-Agent: Mozilla/5.0\r\n`
  if (proxy.user !== undefined) {
    const credentials = Buffer.from(`${proxy.user}:${proxy.password ?? ''}`).toString('base64')
    request += `Proxy-Authorization: Basic ${credentials}\r\n`
  }
  socket.write(`${request}\r\n`)
  const head = (await reader.until('\r\n\r\n')).toString('latin1')
  const status = /^HTTP\/1\.[01] (\d{3})(?: |\r\n)/.exec(head)?.[1]
  if (status === undefined) throw new FrpError('PROXY_HANDSHAKE', 'the HTTP proxy answered something else than HTTP')
  if (status !== '200') throw new FrpError('PROXY_HANDSHAKE', `DialTcpByHttpProxy error, StatusCode [${status}]`)
}

async function openSocks5(
  socket: Duplex,
  reader: HandshakeReader,
  proxy: TunnelProxy,
  host: string,
  port: number,
): Promise<void> {
  socket.write(proxy.user === undefined ? Buffer.from([5, 1, 0]) : Buffer.from([5, 2, 0, 2]))
  const method = await reader.take(2)
  if (method[0] !== 5) throw new FrpError('PROXY_HANDSHAKE', `the SOCKS proxy speaks version ${method[0]}, not 5`)
  if (method[1] === 2 && proxy.user !== undefined) {
    socket.write(Buffer.concat([Buffer.from([1]), socksText(proxy.user), socksText(proxy.password ?? '')]))
    const answer = await reader.take(2)
    if (answer[1] !== 0) throw new FrpError('PROXY_HANDSHAKE', 'the SOCKS proxy refused user and password')
  } else if (method[1] !== 0) {
    throw new FrpError('PROXY_HANDSHAKE', `the SOCKS proxy wants authentication method ${method[1]}`)
  }
  socket.write(Buffer.concat([Buffer.from([5, 1, 0]), socksAddress(host), Buffer.from([port >> 8, port & 0xff])]))
  const answer = await reader.take(4)
  if (answer[1] !== 0) throw new FrpError('PROXY_HANDSHAKE', `the SOCKS proxy answered error ${answer[1]}`)
  const addressLength = answer[3] === 1 ? 4 : answer[3] === 4 ? 16 : answer[3] === 3 ? await oneByte(reader) : undefined
  if (addressLength === undefined) {
    throw new FrpError('PROXY_HANDSHAKE', `the SOCKS proxy named address type ${answer[3]}, not 1, 3 or 4`)
  }
  await reader.take(addressLength + 2)
}

async function oneByte(reader: HandshakeReader): Promise<number> {
  return (await reader.take(1)).readUInt8(0)
}

function socksText(text: string): Buffer {
  const bytes = Buffer.from(text)
  if (bytes.length > MAX_SOCKS_TEXT) {
    throw new FrpError('PROXY_HANDSHAKE', `${bytes.length} bytes in a SOCKS field, at most ${MAX_SOCKS_TEXT}`)
  }
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}

/** Names are resolved by the proxy, as in frp: the client may have no DNS of its own. */
function socksAddress(host: string): Buffer {
  if (isIP(host) === 4) return Buffer.from([1, ...host.split('.').map(Number)])
  return Buffer.concat([Buffer.from([3]), socksText(host)])
}
