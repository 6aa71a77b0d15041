import { checkValueSource } from './both-ends.ts'
import type { ServerOptions } from './frpc.ts'
import type { FrpsOptions } from './frps.ts'
import { type Path, type Problems, placed } from './problems.ts'

/**
 * What a relay needs to check tokens of an issuer; returns warnings. frp looks at it only at its start, where
 * a wrong issuer is a panic.
 */
export function checkOidcOfFrps({ auth }: FrpsOptions, fileName: string, problems: Problems): string[] {
  if (auth.method !== 'oidc') return []
  const wrong = wrongWithUrl(auth.oidc.issuer)
  if (wrong !== undefined) problems.add(['auth', 'oidc', 'issuer'], `auth.oidc.issuer ${wrong}`)
  if (auth.oidc.audience !== '') return []
  const text = 'auth.oidc.audience is not set: a token that the issuer gave for any other service can log in here too'
  return [placed({ fileName }, text)]
}

/** frp: `validation/oidc.go` and validateOIDCConfig. `at`: where the server's `auth` stands. */
export function checkOidcOfFrpc(
  { method, oidc }: ServerOptions['auth'],
  at: Path,
  allowUnsafe: readonly string[],
  problems: Problems,
): void {
  const path = [...at, 'oidc']
  if (oidc.tokenSource !== undefined) {
    const { tokenSource, additionalEndpointParams, insecureSkipVerify, ...texts } = oidc
    const others = Object.values(texts).some((value) => value !== '')
    if (others || insecureSkipVerify || Object.keys(additionalEndpointParams).length > 0) {
      problems.add(path, 'cannot specify both auth.oidc.tokenSource and any other field of auth.oidc')
    }
    checkValueSource(tokenSource, [...path, 'tokenSource'], 'auth.oidc.tokenSource', allowUnsafe, problems)
    return
  }
  if (method !== 'oidc') return
  if (oidc.clientID === '') problems.add([...path, 'clientID'], 'auth.oidc.clientID is required')
  const wrongUrl = wrongWithUrl(oidc.tokenEndpointURL)
  if (wrongUrl !== undefined) problems.add([...path, 'tokenEndpointURL'], `auth.oidc.tokenEndpointURL ${wrongUrl}`)
  const params = oidc.additionalEndpointParams
  if (Object.hasOwn(params, 'scope')) {
    problems.add(
      [...path, 'additionalEndpointParams', 'scope'],
      'auth.oidc.additionalEndpointParams.scope is not allowed; use auth.oidc.scope instead',
    )
  }
  if (oidc.audience !== '' && Object.hasOwn(params, 'audience')) {
    problems.add(
      [...path, 'additionalEndpointParams', 'audience'],
      'cannot specify both auth.oidc.audience and auth.oidc.additionalEndpointParams.audience',
    )
  }
}

function wrongWithUrl(url: string): string | undefined {
  if (url === '') return 'is required'
  const match = /^([a-zA-Z][a-zA-Z0-9+.-]*):\/\/[^/?#]/.exec(url)
  if (match === null) return 'must be an absolute http or https URL'
  return /^https?$/i.test(match[1] ?? '') ? undefined : 'must use http or https'
}
