import { readFile } from 'node:fs/promises'
import type { AuthContext, PublicKeyAuthContext } from 'ssh2'
import { FrpError, messageOf } from '../../contract/errors.ts'
import { readAuthorizedKeys } from './authorized-keys.ts'
import type { Ssh2 } from './library.ts'

/** Keys and passwords that a connection may try; OpenSSH's MaxAuthTries and x/crypto/ssh's. */
const MAX_ATTEMPTS = 6

export interface AuthenticationOptions {
  ssh2: Ssh2
  /** frp's authorizedKeysFile; "" lets everybody in, to whom the token then is asked for. */
  authorizedKeysFile: string
  /** The file cannot be read. */
  onProblem: (text: string) => void
  /** Too many attempts. */
  onGivenUp: (error: FrpError) => void
}

/** Who an ssh client is, as far as ssh tells. */
export class Authentication {
  /** The comment of the key that it showed; "" without one. */
  user = ''
  private readonly options: AuthenticationOptions
  private attempts = 0

  constructor(options: AuthenticationOptions) {
    this.options = options
  }

  /** Decides one attempt; the file is read each time, so that a change counts at once. */
  decide(context: AuthContext): void {
    if (this.options.authorizedKeysFile === '') {
      context.accept()
      return
    }
    // Everybody asks with `none` first, to learn what there is.
    if (context.method !== 'none') this.attempts += 1
    if (this.attempts > MAX_ATTEMPTS) {
      this.options.onGivenUp(new FrpError('AUTH_FAILED', `more than ${MAX_ATTEMPTS} attempts to authenticate`))
    } else if (context.method !== 'publickey') {
      context.reject(['publickey'])
    } else {
      this.check(context).catch((error: unknown) => {
        this.options.onProblem(`load authorized keys file error: ${messageOf(error)}`)
        context.reject(['publickey'])
      })
    }
  }

  private async check(context: PublicKeyAuthContext): Promise<void> {
    const keys = readAuthorizedKeys(await readFile(this.options.authorizedKeysFile, 'utf8'))
    const user = keys.get(context.key.data.toString('base64'))
    if (user === undefined || !this.isSigned(context)) {
      context.reject(['publickey'])
      return
    }
    if (context.signature !== undefined) this.user = user
    context.accept()
  }

  /** Without a signature the client only asks whether the key would do, and nobody is let in. */
  private isSigned({ key, blob, signature, hashAlgo }: PublicKeyAuthContext): boolean {
    if (signature === undefined || blob === undefined) return true
    const parsed = this.options.ssh2.utils.parseKey(key.data)
    return !(parsed instanceof Error) && parsed.verify(blob, signature, hashAlgo) === true
  }
}
