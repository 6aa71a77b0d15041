import type { FrpsOptions } from './frps.ts'

/** What a running relay takes from a file that is read again; everything else needs a restart. */
const LIVE_LIMITS = [
  'handshakeTimeoutSeconds',
  'maxPendingLogins',
  'maxStreamsPerClient',
  'sessionMemoryBytes',
  'idleFramesPerSecond',
  'idleFramesBurst',
  'loginsPerSecond',
  'maxProxiesPerClient',
  'newProxiesBurst',
  'newProxiesPerSecond',
  'maxNameLength',
  'maxConnections',
] as const

/** `next` where a running relay can change, `current` elsewhere; `left` are the keys that differ and wait for a restart. */
export function reloadedFrps(current: FrpsOptions, next: FrpsOptions): { options: FrpsOptions; left: string[] } {
  const limits = { ...current.edgefrp.limits }
  for (const key of LIVE_LIMITS) limits[key] = next.edgefrp.limits[key]
  const { token, tokenSource, additionalScopes } = next.auth
  const options: FrpsOptions = {
    ...current,
    given: next.given,
    auth: { ...current.auth, token, tokenSource, additionalScopes },
    allowPorts: next.allowPorts,
    maxPortsPerClient: next.maxPortsPerClient,
    detailedErrorsToClient: next.detailedErrorsToClient,
    edgefrp: {
      ...current.edgefrp,
      limits,
      users: next.edgefrp.users,
      allowIPs: next.edgefrp.allowIPs,
      denyIPs: next.edgefrp.denyIPs,
    },
  }
  return { options, left: differences(withoutGiven(options), withoutGiven(next), '') }
}

function withoutGiven({ given: _given, ...rest }: FrpsOptions): object {
  return rest
}

/** Dotted keys of what differs; of a list or a map the key alone. */
function differences(a: object, b: object, prefix: string): string[] {
  const theirs = new Map<string, unknown>(Object.entries(b))
  const keys = new Set([...Object.keys(a), ...theirs.keys()])
  const ours = new Map<string, unknown>(Object.entries(a))
  return [...keys].flatMap((key) => {
    const [one, other] = [ours.get(key), theirs.get(key)]
    if (JSON.stringify(one) === JSON.stringify(other)) return []
    if (isTable(one) && isTable(other)) return differences(one, other, `${prefix}${key}.`)
    return [prefix + key]
  })
}

function isTable(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
