import type { FrpsOptions } from '../config/frps.ts'
import type { Runtime } from '../contract/runtime.ts'
import { TokenVerifier, type Verifier } from './auth.ts'
import type { HttpGet } from './issuer.ts'
import { OidcVerifier } from './oidc.ts'

/** What checks credentials as `auth.method` says; `get` asks the issuer for its keys. */
export function verifierOf(options: FrpsOptions, runtime: Runtime, get: HttpGet): Verifier {
  return options.auth.method === 'oidc' ? new OidcVerifier(options, runtime, get) : new TokenVerifier(options, runtime)
}
