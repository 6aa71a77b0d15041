import { type Rate, RateLimit } from './rate-limit.ts'
import type { Crypto, Runtime } from './runtime.ts'

/** What decides whether a request may go on; all that comes from a stranger. */
export interface WebRequest {
  method: string
  /** The Host header. */
  host: string
  origin: string | undefined
  /** The Sec-Fetch-Site header, which browsers alone send. */
  fetchSite: string | undefined
  authorization: string | undefined
  /** It changes something, whatever its method. */
  isChange: boolean
  /** Its answer may hold secrets. */
  isSecret: boolean
  /** The peer's IP address, or what stands for it. */
  address: string
}

export interface WebRefusal {
  status: 401 | 403 | 429
  text: string
  headers: Record<string, string>
  /** Wrong credentials were shown: frp answers such a request 200 ms late. */
  isGuess: boolean
}

export interface WebAccessOptions {
  runtime: Pick<Runtime, 'monotonicMs' | 'crypto'>
  user: string
  password: string
  /** Only this machine can connect. */
  isLoopback: boolean
}

/** Wrong passwords of one address. A person types slower. */
const GUESSES: Rate = { burst: 20, perSecond: 1 }
/** Addresses with wrong passwords that are remembered; the oldest makes room. */
const MAX_ADDRESSES = 10_000

/**
 * Who may use a web server of ours. With user or password: whoever has both. Without: on loopback anyone, else
 * anyone for what neither changes nor tells a secret; and then the Host must be a loopback name or an address, so
 * that no name that a page controls leads here. A page of another site may change nothing in any case.
 */
export class WebAccess {
  readonly hasPassword: boolean
  private readonly options: WebAccessOptions
  private readonly wanted: Uint8Array
  private readonly guesses = new Map<string, RateLimit>()

  constructor(options: WebAccessOptions) {
    this.options = options
    this.hasPassword = options.user !== '' || options.password !== ''
    this.wanted = digest(options.runtime.crypto, new TextEncoder().encode(`${options.user}:${options.password}`))
  }

  /** Why a request may not go on; undefined: it may. */
  check(request: WebRequest): WebRefusal | undefined {
    const refusal = this.hasPassword ? this.checkPassword(request) : this.checkOpen(request)
    if (refusal !== undefined) return refusal
    if (request.isChange && isCrossSite(request)) return forbidden('a page of another site may not do this')
    return undefined
  }

  private checkOpen(request: WebRequest): WebRefusal | undefined {
    if (!isLocalHost(request.host)) return forbidden('set webServer.password to use this server by a name')
    if (this.options.isLoopback || !(request.isChange || request.isSecret)) return undefined
    return forbidden('set webServer.password to use this from an address other than loopback')
  }

  private checkPassword({ authorization, address }: WebRequest): WebRefusal | undefined {
    const shown = authorization === undefined ? undefined : credentialsOf(authorization)
    if (shown === undefined) return unauthorized(false)
    const { runtime } = this.options
    const { crypto } = runtime
    const nowMs = runtime.monotonicMs()
    const guesses = this.guesses.get(address) ?? new RateLimit(GUESSES, nowMs)
    if (guesses.left(nowMs) < 1) {
      return { status: 429, text: 'Too many wrong passwords', headers: { 'Retry-After': '1' }, isGuess: false }
    }
    // By hash, so that the time tells neither the length nor a common start.
    if (crypto.timingSafeEqual(digest(crypto, shown), this.wanted)) return undefined
    guesses.take(nowMs)
    if (!this.guesses.has(address) && this.guesses.size >= MAX_ADDRESSES) {
      for (const oldest of this.guesses.keys()) {
        this.guesses.delete(oldest)
        break
      }
    }
    this.guesses.set(address, guesses)
    return unauthorized(true)
  }
}

/** Whether a listener on this address can be reached from this machine alone. */
export function isLoopbackAddress(address: string): boolean {
  return /^127(\.\d{1,3}){3}$/.test(address) || address === '::1' || /^(.+\.)?localhost$/i.test(address)
}

/** A Host that no name server outside can make lead here: an IP address or a loopback name, with a port or without. */
function isLocalHost(host: string): boolean {
  return /^(\[[0-9a-f:.]+\]|\d{1,3}(\.\d{1,3}){3}|([a-z0-9-]+\.)*localhost\.?)(:\d+)?$/i.test(host)
}

/** A browser says so, or an older one names an origin that is not the host it asks. */
function isCrossSite({ fetchSite, origin, host }: WebRequest): boolean {
  if (fetchSite !== undefined) return fetchSite !== 'same-origin' && fetchSite !== 'none'
  return origin !== undefined && origin.toLowerCase().replace(/^https?:\/\//, '') !== host.toLowerCase()
}

function unauthorized(isGuess: boolean): WebRefusal {
  const headers = { 'WWW-Authenticate': 'Basic realm="Restricted"' }
  return { status: 401, text: 'Unauthorized', headers, isGuess }
}

function forbidden(text: string): WebRefusal {
  return { status: 403, text, headers: {}, isGuess: false }
}

/** RFC 7617: the bytes of `user:password`. */
function credentialsOf(header: string): Uint8Array | undefined {
  const text = /^basic +([A-Za-z0-9+/=]+)$/i.exec(header)?.[1]
  if (text === undefined) return undefined
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
  } catch {
    return undefined // not base64: nobody's credentials
  }
}

function digest(crypto: Crypto, bytes: Uint8Array): Uint8Array {
  return crypto.sha256(bytes)
}
