import { checkAuth, checkValueSource, checkWebServer, type WebServerOptions } from './both-ends.ts'
import type { FrpcOptions } from './frpc.ts'
import { type Problems, placed } from './problems.ts'
import type { Context } from './reading.ts'
import { checkVisits } from './visits.ts'

/** frp: `pkg/policy/featuregate`; the one gate that it knows. */
const VIRTUAL_NET_GATE = 'VirtualNet'

type Checked = Pick<FrpcOptions, 'auth' | 'transport' | 'webServer' | 'virtualNet' | 'featureGates' | 'edgefrp'>

/** frp: `validation/client.go`, ValidateClientCommonConfig; returns its warnings. */
export function checkFrpc(options: Checked, context: Context, problems: Problems): string[] {
  const allowUnsafe = context.allowUnsafe ?? []
  checkFeatureGates(options, problems)
  checkAuth(options.auth, allowUnsafe, problems)
  checkOidc(options, allowUnsafe, problems)
  const webServer: WebServerOptions = options.webServer
  checkWebServer(webServer, problems)
  options.edgefrp.fallbackServers.forEach((server, index) => {
    if (server.serverAddr !== '') return
    problems.add(['edgefrp', 'fallbackServers', index, 'serverAddr'], 'serverAddr should not be empty')
  })
  checkVisits(options.edgefrp.visits, problems)
  return checkTransport(options, context.fileName ?? '', problems)
}

function checkFeatureGates(options: Checked, problems: Problems): void {
  for (const gate of Object.keys(options.featureGates)) {
    if (gate !== VIRTUAL_NET_GATE) problems.add(['featureGates', gate], `unrecognized feature gate: ${gate}`)
  }
  if (options.virtualNet.address !== '' && options.featureGates[VIRTUAL_NET_GATE] !== true) {
    problems.add(
      ['virtualNet', 'address'],
      'VirtualNet feature is not enabled; enable it by setting the appropriate feature gate flag',
    )
  }
}

/** frp: `validation/oidc.go` and validateOIDCConfig. */
function checkOidc(options: Checked, allowUnsafe: readonly string[], problems: Problems): void {
  const { oidc, method } = options.auth
  const path = ['auth', 'oidc']
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

function checkTransport(options: Checked, fileName: string, problems: Problems): string[] {
  const { heartbeatInterval, heartbeatTimeout, tls } = options.transport
  if (heartbeatTimeout > 0 && heartbeatInterval > 0 && heartbeatTimeout < heartbeatInterval) {
    problems.add(
      ['transport', 'heartbeatTimeout'],
      'invalid transport.heartbeatTimeout, heartbeat timeout should not less than heartbeat interval',
    )
  }
  if (tls.enable) return []
  return (['certFile', 'keyFile', 'trustedCaFile'] as const)
    .filter((key) => tls[key] !== '')
    .map((key) => placed({ fileName }, `transport.tls.${key} is invalid when transport.tls.enable is false`))
}
