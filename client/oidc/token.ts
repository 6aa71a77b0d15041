import type { ServerOptions } from '../../config/frpc.ts'
import { FrpError, messageOf } from '../../contract/errors.ts'
import type { Runtime } from '../../contract/runtime.ts'
import { resolveValue } from '../../node/value-source.ts'
import { type Granted, TokenEndpoint } from './token-endpoint.ts'

export type OidcOptions = ServerOptions['auth']['oidc']

/** Go's oauth2 (defaultExpiryDelta): a token that ends sooner may be over when the server looks at it. */
const EXPIRES_SOON_MS = 10_000

/**
 * The access token that proves who this client is: from `auth.oidc.tokenSource`, read anew each time, or from the
 * token endpoint, kept until shortly before it expires. One that says not when it expires is not kept.
 */
export class OidcToken {
  private readonly options: OidcOptions
  private readonly runtime: Runtime
  private readonly endpoint: TokenEndpoint
  private kept: Granted | undefined
  /** Who asks while the endpoint is being asked gets the same answer. */
  private asking: Promise<string> | undefined

  constructor(options: OidcOptions, runtime: Runtime) {
    this.options = options
    this.runtime = runtime
    this.endpoint = new TokenEndpoint(options, runtime)
  }

  /** Rejects with AUTH_FAILED and frp's text. */
  async get(): Promise<string> {
    const { tokenSource } = this.options
    if (tokenSource === undefined) {
      if (this.kept !== undefined && this.isFresh(this.kept)) return this.kept.token
      this.asking ??= this.ask().finally(() => {
        this.asking = undefined
      })
      return await this.asking
    }
    try {
      return await resolveValue(tokenSource)
    } catch (error) {
      const text = `couldn't acquire OIDC token for login: ${messageOf(error)}`
      throw new FrpError('AUTH_FAILED', text, { cause: error })
    }
  }

  forget(): void {
    this.kept = undefined
  }

  private async ask(): Promise<string> {
    try {
      this.kept = await this.endpoint.ask()
      return this.kept.token
    } catch (error) {
      const text = `couldn't generate OIDC token for login: ${messageOf(error)}`
      throw new FrpError('AUTH_FAILED', text, { cause: error })
    }
  }

  /** By the wall clock, for a machine that slept may not count its sleep otherwise. */
  private isFresh({ expiresMs }: Granted): boolean {
    return expiresMs !== undefined && this.runtime.nowMs() + EXPIRES_SOON_MS < expiresMs
  }
}
