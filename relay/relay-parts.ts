import type { FrpsOptions } from '../config/frps.ts'
import type { Runtime } from '../contract/runtime.ts'
import type { Feature } from '../protocol/frp/edgefrp-field.ts'
import type { KeepAliveOptions } from '../protocol/yamux/keep-alive.ts'
import type { MemoryBudget } from '../protocol/yamux/memory-budget.ts'
import type { AccessLog } from './access-log.ts'
import type { Control } from './control.ts'
import type { Directory } from './directory.ts'
import type { Ports } from './ingress.ts'
import type { HttpGet } from './issuer.ts'
import type { ProcessFigure } from './metrics.ts'
import type { ProxyType } from './proxies/table.ts'
import type { ProxyBounds } from './proxy-set.ts'
import type { RegistryStore } from './registry-store.ts'
import type { CallPlugin } from './server-plugins.ts'
import type { Sleepers } from './sleepers.ts'

/** What a runtime gives its relay. */
export interface RelayParts {
  runtime: Runtime
  options: FrpsOptions
  ports: Ports
  /** For `auth.method = "oidc"`: how the issuer is asked for its keys. */
  get: HttpGet
  /** Undefined: clients are not pinged (a relay that sleeps). */
  keepAlive?: KeepAliveOptions | undefined
  /** frps custom404Page, read anew for each 404. */
  notFoundPage?: () => Promise<string | undefined>
  /** What this runtime adds to the features of the wire. */
  features?: readonly Feature[]
  /** Who owns names; in memory unless given. */
  directory?: Directory<Control>
  sleepers?: Sleepers
  /** What the registry keeps over restarts. */
  registryStore?: RegistryStore
  /** Shared by all sessions of an isolate. */
  memoryBudget?: MemoryBudget
  /** How long an idle connection to a client's web server is kept. */
  idleUpstreamMs?: number
  /** Undefined: visits of users are not written down. */
  accessLog?: AccessLog | undefined
  /** What the runtime tells of its process, for the metrics. */
  processFigures?: () => readonly ProcessFigure[]
  /** For `httpPlugins`. */
  callPlugin?: CallPlugin
  /** Proxy types that this runtime cannot carry, with what to use instead. */
  unavailable?: Partial<Record<ProxyType, string>>
  /** What all proxies of one client may say, in bytes; absent: no bound but their number. */
  maxProxyBytes?: number
}

/** What came of reading the configuration again. */
export interface ReloadResult {
  /** Keys that differ and that a running relay does not change. */
  needRestart: string[]
}

/** How many proxies a client may have. */
export function boundsOf({ maxPortsPerClient, edgefrp: { limits } }: FrpsOptions, maxBytes: number): ProxyBounds {
  return {
    maxPorts: maxPortsPerClient,
    maxProxies: limits.maxProxiesPerClient,
    maxNameLength: limits.maxNameLength,
    maxBytes,
    newProxies: { burst: limits.newProxiesBurst, perSecond: limits.newProxiesPerSecond },
  }
}
