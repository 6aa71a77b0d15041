import { FrpError } from '../../contract/errors.ts'
import type { Runtime } from '../../contract/runtime.ts'
import { type Answer, type PostOptions, post } from './post.ts'
import type { OidcOptions } from './token.ts'

/** What the token endpoint gave. */
export interface Granted {
  token: string
  /** Unix ms; undefined: it did not say. */
  expiresMs: number | undefined
}

/** How the client shows its secret (RFC 6749, 2.3.1): in the header, or in the body for those who want it there. */
type SecretIn = 'header' | 'body'

/** Longer than this a login does not wait for the endpoint. */
const ANSWER_MS = 10_000
/** What a log line shows of an answer that is no token. */
const MAX_SHOWN = 200

/** Asks `auth.oidc.tokenEndpointURL` for tokens by client credentials (RFC 6749, 4.4; frp uses golang.org/x/oauth2). */
export class TokenEndpoint {
  private readonly options: OidcOptions
  private readonly runtime: Runtime
  /** What the endpoint took; undefined: not known yet, both are tried. */
  private secretIn: SecretIn | undefined

  constructor(options: OidcOptions, runtime: Runtime) {
    this.options = options
    this.runtime = runtime
  }

  /** Rejects with AUTH_FAILED when the endpoint refuses, or with why it cannot be reached. */
  async ask(): Promise<Granted> {
    if (this.secretIn !== undefined) return this.granted(await this.askWith(this.secretIn))
    const first = await this.askWith('header')
    const isTaken = isOk(first)
    const answer = isTaken ? first : await this.askWith('body')
    const granted = this.granted(isOk(answer) ? answer : first)
    this.secretIn = isTaken ? 'header' : 'body'
    return granted
  }

  private async askWith(secretIn: SecretIn): Promise<Answer> {
    const { clientID, clientSecret, scope, audience, additionalEndpointParams, tokenEndpointURL } = this.options
    const form = new URLSearchParams({ grant_type: 'client_credentials' })
    // A parameter without a value counts as left out (RFC 6749, 3.1); some endpoints refuse it.
    if (scope !== '') form.set('scope', scope)
    for (const [name, value] of Object.entries(additionalEndpointParams)) form.set(name, value)
    if (audience !== '') form.set('audience', audience)
    const headers: Record<string, string> = {
      'Content-Type': 'application/x-www-form-urlencoded',
      Accept: 'application/json',
    }
    if (secretIn === 'body') {
      form.set('client_id', clientID)
      if (clientSecret !== '') form.set('client_secret', clientSecret)
    } else {
      const pair = `${formEncoded(clientID)}:${formEncoded(clientSecret)}`
      headers['Authorization'] = `Basic ${Buffer.from(pair).toString('base64')}`
    }
    const stop = new AbortController()
    const deadline = this.runtime.after(ANSWER_MS, () =>
      stop.abort(new FrpError('TIMEOUT', `the token endpoint did not answer within ${ANSWER_MS / 1000} s`)),
    )
    try {
      return await post(tokenEndpointURL, headers, form.toString(), this.postOptions(stop.signal))
    } catch (error) {
      throw stop.signal.aborted ? stop.signal.reason : error
    } finally {
      deadline.cancel()
    }
  }

  private postOptions(signal: AbortSignal): PostOptions {
    const { trustedCaFile, insecureSkipVerify, proxyURL } = this.options
    return { trustedCaFile, insecureSkipVerify, proxyURL, signal }
  }

  private granted(answer: Answer): Granted {
    const fields = fieldsOf(answer)
    if (!isOk(answer) || fields['error'] !== undefined) {
      const { error, error_description: why } = fields
      const said = [error, why].filter((text) => typeof text === 'string').join(': ')
      const shown = said === '' ? answer.body.slice(0, MAX_SHOWN).trim() : said
      throw new FrpError(
        'AUTH_FAILED',
        `the token endpoint answered ${answer.status}${shown === '' ? '' : `, ${shown}`}`,
      )
    }
    const { access_token: token, expires_in: seconds } = fields
    if (typeof token !== 'string' || token === '') {
      throw new FrpError('AUTH_FAILED', "the token endpoint's answer has no access_token")
    }
    // PayPal and others send a number in quotes (oauth2, expirationTime).
    const life = Number(seconds ?? 0)
    return { token, expiresMs: life > 0 ? this.runtime.nowMs() + life * 1000 : undefined }
  }
}

function isOk({ status }: Answer): boolean {
  return status >= 200 && status < 300
}

/** The fields of an answer: JSON, or a form as endpoints older than the RFC send it. */
function fieldsOf({ contentType, body }: Answer): Record<string, unknown> {
  if (/^(application\/x-www-form-urlencoded|text\/plain)\b/i.test(contentType) && !body.trimStart().startsWith('{')) {
    return Object.fromEntries(new URLSearchParams(body))
  }
  try {
    const parsed: unknown = JSON.parse(body)
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {}
  } catch {
    // No JSON: the status and the text say what there is to say.
    return {}
  }
}

/** RFC 6749, 2.3.1: id and secret are encoded as in a form before Basic encodes them. */
function formEncoded(text: string): string {
  return new URLSearchParams({ '': text }).toString().slice(1)
}
