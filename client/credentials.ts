import type { ServerOptions } from '../config/frpc.ts'
import type { Runtime } from '../contract/runtime.ts'
import { privilegeKey } from '../protocol/frp/token.ts'
import { OidcToken } from './oidc/token.ts'

/** What a message says to prove whom it is from. */
export interface Proof {
  privilege_key: string
  /** Unix seconds; absent where a token of an issuer is the proof. */
  timestamp?: number
}

/** Messages that carry a proof only when `auth.additionalScopes` names them. */
type Scope = 'HeartBeats' | 'NewWorkConns'

/** How a client proves itself to one server (frp: `pkg/auth/auth.go`, Setter). */
export interface Credentials {
  /** Rejects with AUTH_FAILED when none can be had now. */
  forLogin(): Promise<Required<Proof>>
  /** An empty object where the scope is not configured. Rejects as `forLogin`. */
  forMessage(scope: Scope): Promise<Partial<Proof>>
  /** The same at once; undefined where an issuer has to be asked. */
  atHand(scope: Scope): Partial<Proof> | undefined
  /** The server refused them: what was kept of them is not used again. */
  refused(): void
}

/** The credentials that a server's `auth` describes. */
export function credentialsOf(auth: ServerOptions['auth'], runtime: Runtime): Credentials {
  const proof = auth.method === 'oidc' ? new OidcProof(auth.oidc, runtime) : new TokenProof(auth.token, runtime)
  return {
    forLogin: async () => {
      const timestamp = Math.floor(runtime.nowMs() / 1000)
      // frp's Login has the time of the client's clock whatever the method is.
      return { timestamp, ...(await proof.now()) }
    },
    forMessage: async (scope) => (auth.additionalScopes.includes(scope) ? await proof.now() : {}),
    atHand: (scope) => (auth.additionalScopes.includes(scope) ? proof.atHand() : {}),
    refused: () => proof.refused(),
  }
}

/** frp pkg/auth/token.go: md5(token ‖ timestamp). */
class TokenProof {
  private readonly token: string
  private readonly runtime: Runtime

  constructor(token: string, runtime: Runtime) {
    this.token = token
    this.runtime = runtime
  }

  async now(): Promise<Proof> {
    return this.atHand()
  }

  atHand(): Proof {
    const timestamp = Math.floor(this.runtime.nowMs() / 1000)
    return { privilege_key: privilegeKey(this.runtime.crypto, this.token, timestamp), timestamp }
  }

  refused(): void {
    // Every proof is a fresh one.
  }
}

/** frp pkg/auth/oidc.go: the token of an issuer as it is. */
class OidcProof {
  private readonly token: OidcToken

  constructor(options: ServerOptions['auth']['oidc'], runtime: Runtime) {
    this.token = new OidcToken(options, runtime)
  }

  async now(): Promise<Proof> {
    return { privilege_key: await this.token.get() }
  }

  atHand(): undefined {
    // Even a token that is kept may be about to expire.
  }

  refused(): void {
    this.token.forget()
  }
}
