import { readFileSync } from 'node:fs'
import { type ClientRequest, request as httpRequest, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { FrpError, messageOf } from '../../contract/errors.ts'
import { dial } from '../../node/dial.ts'
import { clientTls } from '../../node/tls.ts'
import { openTunnel, parseProxyUrl, type TunnelProxy } from '../tunnel.ts'

/** How a request gets to its server; empty texts: not set. */
export interface PostOptions {
  /** Path of a PEM file: these and no other CAs are trusted. */
  trustedCaFile: string
  insecureSkipVerify: boolean
  /** http, https, socks5 or socks5h. The environment's proxy is not used, as in frp. */
  proxyURL: string
  signal: AbortSignal
}

export interface Answer {
  status: number
  contentType: string
  body: string
}

/** golang.org/x/oauth2 reads no more either. */
const MAX_BODY_BYTES = 1024 * 1024

/**
 * Posts a form. Redirects are not followed: a secret is for the server that the configuration names. Rejects with
 * CONNECT_FAILED, LIMIT, or what a proxy or TLS said.
 */
export async function post(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  options: PostOptions,
): Promise<Answer> {
  const target = new URL(url)
  const way = await wayTo(target, options)
  const request: RequestOptions = {
    method: 'POST',
    host: target.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: portOf(target),
    path: way.path,
    auth: null,
    headers: { ...headers, ...way.headers, Host: target.host, 'Content-Length': Buffer.byteLength(body) },
    signal: options.signal,
    // An agent would make a connection of its own.
    ...(way.socket === undefined ? { agent: false } : { createConnection: () => way.socket }),
  }
  const isTls = target.protocol === 'https:' && way.socket === undefined
  try {
    return await answerTo(isTls ? httpsRequest({ ...request, ...tlsOptions(options) }) : httpRequest(request), body)
  } finally {
    way.socket?.destroy()
  }
}

/** How the request is to be sent: on a socket of its own when there is a proxy on the way. */
interface Way {
  socket?: Duplex
  path: string
  headers?: Record<string, string>
}

async function wayTo(target: URL, options: PostOptions): Promise<Way> {
  const path = `${target.pathname}${target.search}`
  if (options.proxyURL === '') return { path }
  // A proxy resolves the names in either case, as Go's does.
  const proxy = parseProxyUrl(options.proxyURL.replace(/^socks5h:/i, 'socks5:'), 'auth.oidc.proxyURL')
  const raw = await dial({ host: proxy.host, port: proxy.port }, options.signal)
  const abort = (): void => {
    raw.destroy()
  }
  options.signal.addEventListener('abort', abort, { once: true })
  try {
    const way = proxy.scheme === 'https' ? await clientTls(raw, { serverName: proxy.host, isVerified: true }) : raw
    // An HTTP proxy takes a request for http in whole, and mostly gives a tunnel to port 443 alone.
    if (proxy.scheme !== 'socks5' && target.protocol === 'http:') {
      way.resume()
      return { socket: way, path: target.href, headers: proxyHeaders(proxy) }
    }
    const host = target.hostname.replace(/^\[(.*)\]$/, '$1')
    await openTunnel(way, proxy, host, portOf(target))
    if (target.protocol === 'http:') return { socket: way, path }
    // No name of TLS is an address (RFC 6066, 3); the certificate is held against `host` then.
    const name = isIP(host) === 0 ? { servername: host } : { host }
    return { socket: connectTls({ socket: way, ...name, ...tlsOptions(options) }), path }
  } catch (error) {
    raw.destroy()
    throw error
  }
}

function proxyHeaders({ user, password }: TunnelProxy): Record<string, string> {
  if (user === undefined) return {}
  return { 'Proxy-Authorization': `Basic ${Buffer.from(`${user}:${password ?? ''}`).toString('base64')}` }
}

function tlsOptions({ trustedCaFile, insecureSkipVerify }: PostOptions): { ca?: Buffer; rejectUnauthorized: boolean } {
  if (insecureSkipVerify || trustedCaFile === '') return { rejectUnauthorized: !insecureSkipVerify }
  try {
    return { ca: readFileSync(trustedCaFile), rejectUnauthorized: true }
  } catch (error) {
    const text = `failed to read OIDC CA certificate file ${JSON.stringify(trustedCaFile)}: ${messageOf(error)}`
    throw new FrpError('CONFIG_FILE', text, { cause: error })
  }
}

function answerTo(request: ClientRequest, body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request.on('error', (error) => {
      reject(error instanceof FrpError ? error : new FrpError('CONNECT_FAILED', messageOf(error), { cause: error }))
    })
    request.on('response', (response) => {
      const parts: Buffer[] = []
      let length = 0
      response.on('data', (part: Buffer) => {
        parts.push(part)
        length += part.length
        if (length <= MAX_BODY_BYTES) return
        request.destroy(new FrpError('LIMIT', `the token endpoint's answer has more than ${MAX_BODY_BYTES} bytes`))
      })
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          contentType: response.headers['content-type'] ?? '',
          body: Buffer.concat(parts).toString('utf8'),
        }),
      )
    })
    request.end(body)
  })
}

function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port)
  return url.protocol === 'https:' ? 443 : 80
}
