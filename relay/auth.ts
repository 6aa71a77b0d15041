import type { FrpsOptions } from '../config/frps.ts'
import { FrpError } from '../contract/errors.ts'
import type { Crypto, Runtime } from '../contract/runtime.ts'
import type { Login, NewWorkConn, Ping } from '../protocol/frp/messages.ts'
import { equalKeys, privilegeKey } from '../protocol/frp/token.ts'

/** Who logged in: sessions and names belong to a principal. */
export interface Principal {
  /** What the credentials stand for: `token`, the name of a user with a token of its own, or issuer and subject. */
  identity: string
  user: string
}

/** Checks credentials, at once or by asking somebody; throws or rejects with FrpError AUTH_FAILED and frp's text. */
export interface Verifier {
  verifyLogin(login: Login): Principal | Promise<Principal>
  /** `principal`: who logged in on the session that the message is of. */
  verifyPing(ping: Ping, principal: Principal): undefined | Promise<void>
  verifyNewWorkConn(message: NewWorkConn, principal: Principal): undefined | Promise<void>
  /** Gets what the first login will need; rejects when that cannot be had now. */
  prepare?(): Promise<void>
}

/** frp pkg/auth/token.go: md5(token ‖ timestamp); Ping and NewWorkConn only in the configured scopes. */
export class TokenVerifier implements Verifier {
  private readonly crypto: Crypto
  private readonly runtime: Runtime
  private readonly token: string
  private readonly maxClockSkewSeconds: number
  private readonly checksPings: boolean
  private readonly checksWorkConns: boolean

  constructor(options: FrpsOptions, runtime: Runtime) {
    this.runtime = runtime
    this.crypto = runtime.crypto
    this.token = options.auth.token
    this.maxClockSkewSeconds = options.edgefrp.auth.maxClockSkew
    this.checksPings = options.auth.additionalScopes.includes('HeartBeats')
    this.checksWorkConns = options.auth.additionalScopes.includes('NewWorkConns')
  }

  verifyLogin(login: Login): Principal {
    this.check('login', login.privilege_key, login.timestamp)
    if (this.maxClockSkewSeconds > 0) {
      const skew = Math.abs(this.runtime.nowMs() / 1000 - login.timestamp)
      if (skew > this.maxClockSkewSeconds) {
        throw new FrpError(
          'AUTH_FAILED',
          `the clock of the client is ${Math.round(skew)} s away from the relay's, ` +
            `edgefrp.auth.maxClockSkew allows ${this.maxClockSkewSeconds} s`,
        )
      }
    }
    return { identity: 'token', user: login.user }
  }

  verifyPing(ping: Ping): undefined {
    if (this.checksPings) this.check('heartbeat', ping.privilege_key, ping.timestamp)
  }

  verifyNewWorkConn(message: NewWorkConn): undefined {
    if (this.checksWorkConns) this.check('NewWorkConn', message.privilege_key, message.timestamp)
  }

  private check(where: string, key: string, timestamp: number): void {
    if (equalKeys(this.crypto, privilegeKey(this.crypto, this.token, timestamp), key)) return
    throw new FrpError('AUTH_FAILED', `token in ${where} doesn't match token from configuration`)
  }
}

/** For a peer that showed who it is in another way, such as by an ssh key. */
export const ALWAYS_PASS: Verifier = {
  verifyLogin: ({ user }) => ({ identity: 'token', user }),
  verifyPing: () => undefined,
  verifyNewWorkConn: () => undefined,
}
