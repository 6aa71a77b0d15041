import { hexOf } from '../../contract/bytes.ts'
import type { Crypto } from '../../contract/runtime.ts'

const utf8 = new TextEncoder()

/**
 * frp's proof of a secret (pkg/util/util GetAuthKey): the MD5 of the secret and the Unix time in decimal, as
 * lower-case hex. `secret` is the token for privilege_key, a proxy's secretKey for sign_key.
 */
export function privilegeKey(crypto: Crypto, secret: string, timestampSeconds: number): string {
  return hexOf(crypto.md5(utf8.encode(secret + timestampSeconds)))
}

/** Whether two keys are the same text, in a time that tells nothing about either but its length. */
export function equalKeys(crypto: Crypto, a: string, b: string): boolean {
  return crypto.timingSafeEqual(utf8.encode(a), utf8.encode(b))
}
