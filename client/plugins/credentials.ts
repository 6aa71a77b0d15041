import type { Crypto, Runtime } from '../../contract/runtime.ts'

/** frp answers a wrong password 200 ms late. */
const WRONG_PASSWORD_MS = 200

/** User and password of a plugin; with both empty nobody is asked. */
export class Credentials {
  readonly isAsked: boolean
  private readonly runtime: Runtime
  private readonly wanted: Uint8Array

  constructor(user: string, password: string, runtime: Runtime) {
    this.isAsked = user !== '' || password !== ''
    this.runtime = runtime
    this.wanted = digest(runtime.crypto, user, password)
  }

  /** Compares in a time that tells neither the length nor a common start. */
  isRight(user: string, password: string): boolean {
    const { crypto } = this.runtime
    return crypto.timingSafeEqual(digest(crypto, user, password), this.wanted)
  }

  /** The same for a field `Authorization` or `Proxy-Authorization` (RFC 7617). */
  isRightHeader(value: string | undefined): boolean {
    if (!this.isAsked) return true
    const encoded = /^basic +([A-Za-z0-9+/]+=*)$/i.exec(value ?? '')?.[1]
    if (encoded === undefined) return false
    const text = Buffer.from(encoded, 'base64').toString('utf8')
    const colon = text.indexOf(':')
    return colon >= 0 && this.isRight(text.slice(0, colon), text.slice(colon + 1))
  }

  /** Resolves when a wrong password may be answered. */
  wrongOne(): Promise<void> {
    return new Promise((resolve) => this.runtime.after(WRONG_PASSWORD_MS, resolve))
  }
}

/** The lengths go in, so that no other cut of the two texts has the same digest. */
function digest(crypto: Crypto, user: string, password: string): Uint8Array {
  return crypto.sha256(Buffer.from(JSON.stringify([user, password])))
}
