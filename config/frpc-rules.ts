import { checkAuth, checkWebServer, type WebServerOptions } from './both-ends.ts'
import type { FrpcOptions } from './frpc.ts'
import { checkOidcOfFrpc } from './oidc-rules.ts'
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
  checkAuth(options.auth, ['auth'], allowUnsafe, problems)
  checkOidcOfFrpc(options.auth, ['auth'], allowUnsafe, problems)
  const webServer: WebServerOptions = options.webServer
  checkWebServer(webServer, problems)
  options.edgefrp.fallbackServers.forEach(({ serverAddr, auth }, index) => {
    const path = ['edgefrp', 'fallbackServers', index]
    if (serverAddr === '') problems.add([...path, 'serverAddr'], 'serverAddr should not be empty')
    // What it takes over from the file was checked there; a program of its own needs the same permission.
    if (problems.under(['auth'])) return
    checkAuth(auth, [...path, 'auth'], allowUnsafe, problems)
    checkOidcOfFrpc(auth, [...path, 'auth'], allowUnsafe, problems)
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
