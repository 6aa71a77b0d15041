import { errors, type JWTPayload, type JWTVerifyGetKey, type JWTVerifyOptions, jwtVerify } from 'jose'
import type { FrpsOptions } from '../config/frps.ts'
import { FrpError, messageOf } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import type { Login, NewWorkConn, Ping } from '../protocol/frp/messages.ts'
import type { Principal, Verifier } from './auth.ts'
import { type HttpGet, Issuer } from './issuer.ts'

/** go-oidc, verify.go: the clock of an issuer may be ahead of ours by so much (`nbf`). */
const AHEAD_SECONDS = 300

/**
 * frp pkg/auth/oidc.go: `privilege_key` is a token that the issuer signed. In Ping and NewWorkConn, in the
 * configured scopes, it must be of the subject that logged in: frp takes any subject that ever did, we the
 * session's own, which also outlives the relay's sleep.
 */
export class OidcVerifier implements Verifier {
  private readonly runtime: Runtime
  private readonly oidc: FrpsOptions['auth']['oidc']
  private readonly issuer: Issuer
  private readonly checksPings: boolean
  private readonly checksWorkConns: boolean

  constructor({ auth }: FrpsOptions, runtime: Runtime, get: HttpGet) {
    this.runtime = runtime
    this.oidc = auth.oidc
    this.issuer = new Issuer(auth.oidc.issuer, runtime, get)
    this.checksPings = auth.additionalScopes.includes('HeartBeats')
    this.checksWorkConns = auth.additionalScopes.includes('NewWorkConns')
  }

  async prepare(): Promise<void> {
    await this.issuer.algorithms()
  }

  async verifyLogin(login: Login): Promise<Principal> {
    const payload = await this.verify('login', login.privilege_key)
    return { identity: identityOf(payload), user: login.user }
  }

  verifyPing(ping: Ping, principal: Principal): undefined | Promise<void> {
    return this.checksPings ? this.verifySubject(ping.privilege_key, principal) : undefined
  }

  verifyNewWorkConn(message: NewWorkConn, principal: Principal): undefined | Promise<void> {
    return this.checksWorkConns ? this.verifySubject(message.privilege_key, principal) : undefined
  }

  private async verifySubject(token: string, principal: Principal): Promise<void> {
    const payload = await this.verify('ping', token)
    if (identityOf(payload) === principal.identity) return
    throw new FrpError(
      'AUTH_FAILED',
      `received different OIDC subject in login and ping. new subject: ${String(payload.sub)}`,
    )
  }

  private async verify(where: string, token: string): Promise<JWTPayload> {
    try {
      const payload = await payloadOf(token, this.issuer.key, this.rules(await this.issuer.algorithms()))
      // jose has one tolerance for both ends of a token's life; at its end there is none in frp.
      const now = this.runtime.nowMs() / 1000
      if (!this.oidc.skipExpiryCheck && payload.exp !== undefined && payload.exp < now) {
        throw new FrpError('AUTH_FAILED', `the token expired ${Math.round(now - payload.exp)} s ago`)
      }
      return payload
    } catch (error) {
      throw new FrpError('AUTH_FAILED', `invalid OIDC token in ${where}: ${messageOf(error)}`, { cause: error })
    }
  }

  private rules(algorithms: string[]): JWTVerifyOptions {
    const { issuer, audience, skipExpiryCheck, skipIssuerCheck } = this.oidc
    return {
      algorithms,
      currentDate: new Date(this.runtime.nowMs()),
      clockTolerance: skipExpiryCheck ? Number.MAX_SAFE_INTEGER : AHEAD_SECONDS,
      ...(skipExpiryCheck ? {} : { requiredClaims: ['exp'] }),
      ...(skipIssuerCheck ? {} : { issuer }),
      ...(audience === '' ? {} : { audience }),
    }
  }
}

/** A token that names no key is good when one of those that fit made its signature, as in go-oidc. */
async function payloadOf(token: string, key: JWTVerifyGetKey, rules: JWTVerifyOptions): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, key, rules)).payload
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    for await (const one of error) {
      const verified = await jwtVerify(token, one, rules).catch((reason: unknown) => {
        if (reason instanceof errors.JWSSignatureVerificationFailed) return undefined
        throw reason
      })
      if (verified !== undefined) return verified.payload
    }
    throw new errors.JWSSignatureVerificationFailed()
  }
}

/** Who the issuer says it is. */
function identityOf({ iss, sub }: JWTPayload): string {
  return `oidc ${iss ?? ''} ${sub ?? ''}`
}
