import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import { FrpError, messageOf } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'

/** A GET over HTTP or HTTPS, lent by the runtime; redirects are followed. Rejects when no answer comes. */
export type HttpGet = (url: string, init: { headers: Headers; signal: AbortSignal }) => Promise<Response>

/** Two of them, one after the other, end before a client gives its login up after 10 s. */
const GET_MS = 4_000
/** A discovery document has some 5 KiB, a key set 1 KiB a key. */
const MAX_DOCUMENT_BYTES = 1024 * 1024
/** After a failure nobody asks again for so long: strangers must not make us knock at the issuer's door at their rate. */
const RETRY_MS = 1_000
/** Why a token of an unknown key does not make us ask at once: strangers can make such tokens up (jose's own number). */
const UNKNOWN_KEY_MS = 30_000
/** How long a key that the issuer took back is still good for (jose's own number). */
const MAX_AGE_MS = 600_000
/** go-oidc's list (frp's library): signatures with keys that are public, never `HS256` or `none`. */
const ALGORITHMS: readonly string[] = 'RS256 RS384 RS512 ES256 ES384 ES512 PS256 PS384 PS512 EdDSA'.split(' ')
/** OpenID Connect Discovery 1.0, 3: what every issuer signs with. */
const DEFAULT_ALGORITHM = 'RS256'

/** What the discovery document says. */
interface Discovered {
  keysUrl: string
  /** What the issuer signs with, of what we take. */
  algorithms: string[]
}

/**
 * The issuer of `auth.oidc.issuer`: its discovery document, read once, and its keys, read again when they are old
 * or one is missing. Not jose's own remote set, whose timers would keep a hub awake and know no lent clock.
 */
export class Issuer {
  private readonly url: string
  private readonly runtime: Runtime
  private readonly get: HttpGet
  private readonly found: Kept<Discovered>
  private readonly keys: Kept<JWTVerifyGetKey>

  constructor(url: string, runtime: Runtime, get: HttpGet) {
    this.url = url
    this.runtime = runtime
    this.get = get
    this.found = new Kept(runtime, () => this.discover())
    this.keys = new Kept(runtime, () => this.readKeys())
  }

  /** Rejects with AUTH_FAILED while the issuer cannot be reached or says something else than it must. */
  async algorithms(): Promise<string[]> {
    return (await this.found.get(Number.POSITIVE_INFINITY)).algorithms
  }

  /** The key that a token names, for `jwtVerify`. */
  readonly key: JWTVerifyGetKey = async (header, token) => {
    const known = await this.keys.get(MAX_AGE_MS)
    try {
      return await known(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      return await (await this.keys.get(UNKNOWN_KEY_MS))(header, token)
    }
  }

  private async discover(): Promise<Discovered> {
    const document = await this.document(`${this.url.replace(/\/$/, '')}/.well-known/openid-configuration`)
    const { issuer, jwks_uri: keysUrl, id_token_signing_alg_values_supported: signs } = document
    // frp compares it too: the document of another issuer would let that one's tokens in.
    if (issuer !== this.url) throw this.unusable(`its discovery document is of the issuer ${JSON.stringify(issuer)}`)
    if (typeof keysUrl !== 'string' || !URL.canParse(keysUrl)) {
      throw this.unusable('its discovery document has no jwks_uri')
    }
    const algorithms = Array.isArray(signs) ? ALGORITHMS.filter((one) => signs.includes(one)) : []
    return { keysUrl, algorithms: algorithms.length === 0 ? [DEFAULT_ALGORITHM] : algorithms }
  }

  private async readKeys(): Promise<JWTVerifyGetKey> {
    const { keysUrl } = await this.found.get(Number.POSITIVE_INFINITY)
    // jose checks the shape itself
    return createLocalJWKSet((await this.document(keysUrl)) as unknown as JSONWebKeySet)
  }

  private async document(url: string): Promise<Record<string, unknown>> {
    const stop = new AbortController()
    const deadline = this.runtime.after(GET_MS, () =>
      stop.abort(new FrpError('TIMEOUT', `no answer within ${GET_MS / 1000} s`)),
    )
    try {
      const headers = new Headers({ accept: 'application/json' })
      const response = await this.get(url, { headers, signal: stop.signal })
      const text = await textOf(response)
      if (response.status !== 200) throw new FrpError('AUTH_FAILED', `${url} was answered with ${response.status}`)
      const document: unknown = JSON.parse(text)
      if (typeof document !== 'object' || document === null) throw new FrpError('AUTH_FAILED', `${url} is no object`)
      return { ...document }
    } catch (error) {
      throw this.unusable(messageOf(error), error)
    } finally {
      deadline.cancel()
    }
  }

  private unusable(why: string, cause?: unknown): FrpError {
    return new FrpError('AUTH_FAILED', `the issuer ${this.url} cannot be used: ${why}`, { cause })
  }
}

/** Something that is read when it is wanted, once for all who want it at a time. */
class Kept<T> {
  private readonly runtime: Runtime
  private readonly read: () => Promise<T>
  private value: { is: T; readMs: number } | undefined
  private failure: { error: unknown; atMs: number } | undefined
  private reading: Promise<T> | undefined

  constructor(runtime: Runtime, read: () => Promise<T>) {
    this.runtime = runtime
    this.read = read
  }

  /** What was read within `maxAgeMs`, else what is read now; what is older has to do when that fails. */
  async get(maxAgeMs: number): Promise<T> {
    const now = this.runtime.monotonicMs()
    if (this.value !== undefined && now - this.value.readMs < maxAgeMs) return this.value.is
    if (this.failure !== undefined && now - this.failure.atMs < RETRY_MS) {
      if (this.value !== undefined) return this.value.is
      throw this.failure.error
    }
    this.reading ??= this.readNow()
    return await this.reading
  }

  private async readNow(): Promise<T> {
    try {
      const is = await this.read()
      this.value = { is, readMs: this.runtime.monotonicMs() }
      this.failure = undefined
      return is
    } catch (error) {
      this.failure = { error, atMs: this.runtime.monotonicMs() }
      if (this.value !== undefined) return this.value.is
      throw error
    } finally {
      this.reading = undefined
    }
  }
}

/** The text of an answer; rejects with LIMIT beyond {@link MAX_DOCUMENT_BYTES}. */
async function textOf(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let length = 0
  const reader = response.body?.getReader()
  for (let read = await reader?.read(); read?.value !== undefined; read = await reader?.read()) {
    length += read.value.length
    if (length > MAX_DOCUMENT_BYTES) {
      await reader?.cancel()
      throw new FrpError('LIMIT', `the answer has more than ${MAX_DOCUMENT_BYTES} bytes`)
    }
    text += decoder.decode(read.value, { stream: true })
  }
  return text + decoder.decode()
}
