import { oversizedAnnotations } from '../contract/annotations.ts'
import { bandwidthBytes } from '../contract/bandwidth.ts'
import { FrpError } from '../contract/errors.ts'
import type { IpRules } from '../contract/ip-rules.ts'
import { type Rate, RateLimit } from '../contract/rate-limit.ts'
import type { Log, Runtime } from '../contract/runtime.ts'
import { encode, type NewProxy } from '../protocol/frp/messages.ts'
import type { Traffic } from '../protocol/stream/join.ts'
import { TokenBucket } from '../protocol/stream/throttle.ts'
import { type AccessLog, ProxyAccess } from './access-log.ts'
import type { Accounts, Allowance } from './accounts.ts'
import type { Control } from './control.ts'
import type { Directory, SharedKeys } from './directory.ts'
import type { Joins } from './joins.ts'
import { MAX_WAITING_MESSAGES, PROBE_MS } from './limits.ts'
import { PROXY_TYPES, type ProxyContext, type ProxyType, type RelayProxy } from './proxies/table.ts'
import { type ProxyStats, WorkConns } from './proxy.ts'
import type { Refusals } from './refusals.ts'
import type { Registry } from './registry.ts'
import type { ServerPlugins } from './server-plugins.ts'
import { UserGate } from './user-gate.ts'
import type { Visits } from './visits.ts'
import type { WorkConnPool } from './work-conn-pool.ts'

/** What registering needs of the relay; the same for all clients. */
export interface ProxySetOptions {
  runtime: Runtime
  log: Log
  control: Control
  pool: WorkConnPool
  plugins: ServerPlugins
  /** Who may have what, as it is now. */
  accounts: () => Accounts
  directory: Directory<Control>
  registry: Registry
  visits: Visits
  joins: Joins
  refusals: Refusals
  /** Where users may come from, as it is now. */
  ipRules: () => IpRules
  /** Undefined: visits of users are not written down. */
  accessLog: AccessLog | undefined
  isFull: () => boolean
  /** Types that this runtime cannot carry, with what to use instead. */
  unavailable: Partial<Record<ProxyType, string>>
  /** What proxies of all types share. */
  context: Omit<ProxyContext, 'message' | 'owner' | 'workConns' | 'log' | 'runtime' | 'onlyPorts'>
  /** Key of useEncryption. */
  key: Uint8Array
  /** As they are now. */
  bounds: () => ProxyBounds
  /** After `isBusy`: more messages are welcome. */
  onRoom: () => void
}

/** How many proxies a client may have. */
export interface ProxyBounds {
  maxPorts: number
  maxProxies: number
  maxNameLength: number
  /** Of all proxies of a client, as the JSON of their messages: where they must be written down. */
  maxBytes: number
  newProxies: Rate
}

/** What a proxy holds in the directory. */
export interface HeldKeys {
  keys: readonly string[]
  /** With the others of its group. */
  shared: SharedKeys | undefined
}

interface Registered {
  message: NewProxy
  proxy: RelayProxy
  workConns: WorkConns
  held: HeldKeys
  stats: ProxyStats
}

/** Characters of its message as it came. */
function sizeOf(message: NewProxy): number {
  return encode(message).length
}

/** The proxies of one client. Registrations are done one after the other, as frps does. */
export class ProxySet {
  private readonly options: ProxySetOptions
  private readonly byName = new Map<string, Registered>()
  /** Of all their messages. */
  private bytes = 0
  private last: Promise<unknown> = Promise.resolve()
  private waiting = 0
  private isClosed = false
  private readonly newProxies: RateLimit

  constructor(options: ProxySetOptions) {
    this.options = options
    this.newProxies = new RateLimit(options.bounds().newProxies, options.runtime.monotonicMs())
  }

  get size(): number {
    return this.byName.size
  }

  /**
   * Registers a proxy and starts it; returns `remote_addr`, and the message as plugins have changed it. Rejects with
   * an FrpError that carries frp's text.
   */
  register(message: NewProxy): Promise<{ message: NewProxy; remoteAddr: string }> {
    try {
      this.takeAllowance()
    } catch (error) {
      return Promise.reject(error)
    }
    return this.inLine(async () => {
      const { plugins, control } = this.options
      const asked = plugins.has('NewProxy') ? await plugins.newProxy(control.pluginUser, message) : message
      return { message: asked, remoteAddr: await this.registerNow(asked) }
    })
  }

  /** So many messages wait that the client has to wait with the next one, as it does at frps for each. */
  get isBusy(): boolean {
    return this.waiting >= MAX_WAITING_MESSAGES
  }

  /** After sleep: a proxy whose keys are still held serves again; `traffic` is what it had carried. */
  reopen(message: NewProxy, traffic: Traffic): void {
    const stats: ProxyStats = { traffic: { ...traffic }, connections: 0 }
    const { accounts, control } = this.options
    const { principal } = control.state
    const { proxy, workConns } = this.create(message, stats, accounts().admit(message, principal))
    accounts().count(principal, 1)
    proxy.reopen()
    this.serves({ message, proxy, workConns, stats, held: keysOf(message, proxy) }, true)
  }

  /** What this client holds in the directory, by proxy. */
  get held(): HeldKeys[] {
    return [...this.byName.values()].map((registered) => registered.held)
  }

  /** Bytes that a proxy has carried. */
  traffic(name: string): Traffic {
    return this.byName.get(name)?.stats.traffic ?? { forward: 0, backward: 0 }
  }

  /** The work connections of a proxy; undefined: it is not registered here. */
  workConns(name: string): WorkConns | undefined {
    return this.byName.get(name)?.workConns
  }

  /** Closes a proxy; a name that is not registered is ignored, as in frp. */
  close(name: string): void {
    this.inLine(async () => this.closeNow(name)).catch((error: unknown) =>
      this.options.log.error(`close proxy [${name}]: ${error}`),
    )
  }

  closeAll(): void {
    this.isClosed = true
    for (const name of [...this.byName.keys()]) this.closeNow(name)
  }

  private inLine<T>(run: () => Promise<T>): Promise<T> {
    this.waiting += 1
    const done = this.last.then(run)
    this.last = done.then(
      () => this.hasRun(),
      () => this.hasRun(),
    )
    return done
  }

  private hasRun(): void {
    this.waiting -= 1
    if (!this.isBusy) this.options.onRoom()
  }

  private async registerNow(message: NewProxy): Promise<string> {
    const accounts = this.options.accounts()
    // frp, pkg/config/load.go: an empty type is tcp. Filled in once, here: behind it every message has its type.
    if (message.proxy_type === '') message.proxy_type = 'tcp'
    const { principal } = this.options.control.state
    this.checkLimits(message)
    const allowance = accounts.admit(message, principal)
    // Counted at once: two clients of one user may register at the same time.
    accounts.count(principal, 1)
    try {
      return await this.open(message, allowance)
    } catch (error) {
      accounts.count(principal, -1)
      throw error
    }
  }

  private async open(message: NewProxy, allowance: Allowance): Promise<string> {
    const { control, directory } = this.options
    const stats: ProxyStats = { traffic: { forward: 0, backward: 0 }, connections: 0 }
    const { proxy, workConns } = this.create(message, stats, allowance)
    const { maxPorts } = this.options.bounds()
    if (proxy.usesPort && maxPorts > 0 && this.portsInUse() >= maxPorts) {
      throw new FrpError('LIMIT', 'exceed the max_ports_per_client')
    }
    let held = keysOf(message, proxy)
    await this.claim(held, message)
    try {
      const remoteAddr = await proxy.open()
      held = await this.claimOpened(proxy, held)
      // The client may have left while the port was opened.
      if (this.isClosed) throw new FrpError('SESSION_ENDED', 'the client is gone')
      this.serves({ message, proxy, workConns, stats, held })
      control.state.proxies.push(message)
      return remoteAddr
    } catch (error) {
      proxy.close()
      await directory.release(allOf(held), control)
      throw error
    }
  }

  private serves(registered: Registered, isRevived = false): void {
    const { message, proxy, stats } = registered
    this.byName.set(message.proxy_name, registered)
    this.bytes += sizeOf(message)
    if (proxy.visitKey !== undefined)
      this.options.visits.add(proxy.visitKey, { message, proxy, owner: this.options.control.user })
    this.options.registry.proxyStarted(this.options.control, message, stats, isRevived)
  }

  /** Claims all keys; an owner that does not answer a ping loses them. */
  private async claim(held: HeldKeys, message: NewProxy): Promise<void> {
    const { control, directory } = this.options
    for (;;) {
      const result = await directory.claim(held.keys, control, held.shared)
      if (this.isClosed && result.isClaimed) await directory.release(allOf(held), control)
      if (this.isClosed) throw new FrpError('SESSION_ENDED', 'the client is gone')
      if (result.isClaimed) return
      const isOther = result.owner !== control
      if (!isOther || (await result.owner.connection.probe(PROBE_MS))) {
        throw taken(result.key, message)
      }
      const silent = new FrpError('TIMEOUT', `silent for ${PROBE_MS / 1000} s while another client asked for its names`)
      result.owner.connection.close(silent)
      result.owner.close(silent)
    }
  }

  /** A port that the relay chose is known only now; whoever holds its key has it under another name. */
  private async claimOpened(proxy: RelayProxy, held: HeldKeys): Promise<HeldKeys> {
    const key = proxy.visitKey
    if (key === undefined || allOf(held).includes(key)) return held
    const { directory, control } = this.options
    const shared = held.shared && { keys: [key], group: held.shared.group }
    const result = await directory.claim(shared === undefined ? [key] : [], control, shared)
    if (!result.isClaimed) throw new FrpError('PORT_TAKEN', 'no available port')
    return held.shared === undefined
      ? { keys: [...held.keys, key], shared: undefined }
      : { keys: held.keys, shared: { keys: [...held.shared.keys, key], group: held.shared.group } }
  }

  private create(
    message: NewProxy,
    stats: ProxyStats,
    allowance: Allowance,
  ): { proxy: RelayProxy; workConns: WorkConns } {
    const { runtime, control, pool, key, context, plugins, ipRules, refusals, accessLog } = this.options
    const { proxy_type: type } = message
    if (!isProxyType(type)) throw new FrpError('PROXY_REFUSED', `unknown proxy type: ${type}`)
    const why = this.options.unavailable[type]
    if (why !== undefined) throw new FrpError('NOT_SUPPORTED', why)
    const factory = PROXY_TYPES[type]
    const log = this.options.log.child(message.proxy_name)
    const bytesPerSecond =
      message.bandwidth_limit_mode === 'server' ? bandwidthBytes(message.bandwidth_limit) : undefined
    const workConns = new WorkConns({
      runtime,
      log,
      pool,
      message,
      wire: control.state.wireProtocol,
      key,
      bucket:
        bytesPerSecond === undefined || bytesPerSecond <= 0 ? undefined : new TokenBucket(bytesPerSecond, runtime),
      sharedBucket: allowance.bucket,
      isHalfClosing: control.has('half-close'),
      stats,
      joins: this.options.joins,
      gate: new UserGate({ control, message, plugins, ipRules, refusals }),
      access: accessLog && new ProxyAccess(accessLog, runtime, message, control.user),
      isFull: this.options.isFull,
    })
    const owner = { user: control.user, runId: control.state.runId }
    const onlyPorts = allowance.ports
    return { proxy: factory({ ...context, runtime, log, message, owner, workConns, onlyPorts }), workConns }
  }

  private takeAllowance(): void {
    const { runtime, bounds } = this.options
    const { newProxies } = bounds()
    this.newProxies.rate = newProxies
    if (this.newProxies.take(runtime.monotonicMs())) return
    throw new FrpError('LIMIT', `more than ${newProxies.perSecond} new proxies a second`)
  }

  private checkLimits(message: NewProxy): void {
    const { maxProxies, maxNameLength, maxBytes } = this.options.bounds()
    if (this.byName.size >= maxProxies) throw new FrpError('LIMIT', `more than ${maxProxies} proxies of one client`)
    const name = message.proxy_name
    if (name.length > maxNameLength) {
      throw new FrpError('LIMIT', `proxy_name has ${name.length} characters, the limit is ${maxNameLength}`)
    }
    if (/\p{Cc}/u.test(name)) throw new FrpError('PROXY_REFUSED', 'proxy_name contains control characters')
    const oversized = oversizedAnnotations(message.annotations)
    if (oversized !== undefined) throw new FrpError('LIMIT', oversized)
    const bytes = this.bytes + sizeOf(message)
    if (bytes <= maxBytes) return
    const text = `the proxies of one client say ${bytes} bytes (metadatas, annotations, headers and all), the limit is ${maxBytes}`
    throw new FrpError('LIMIT', text)
  }

  private portsInUse(): number {
    let count = 0
    for (const registered of this.byName.values()) if (registered.proxy.usesPort) count += 1
    return count
  }

  private closeNow(name: string): void {
    const registered = this.byName.get(name)
    if (registered === undefined) return
    const { control, directory, registry, log } = this.options
    this.byName.delete(name)
    this.bytes -= sizeOf(registered.message)
    this.options.accounts().count(control.state.principal, -1)
    control.state.proxies = control.state.proxies.filter((message) => message.proxy_name !== name)
    if (registered.proxy.visitKey !== undefined) {
      this.options.visits.remove(registered.proxy.visitKey, registered.proxy)
    }
    registered.proxy.close()
    directory
      .release(allOf(registered.held), control)
      .catch((error: unknown) => log.error(`release of [${name}]: ${error}`))
    registry.proxyStopped(name)
    this.options.plugins.closeProxy(control.pluginUser, name)
    log.info(`close proxy [${name}] success`)
  }
}

function keysOf(message: NewProxy, proxy: RelayProxy): HeldKeys {
  const own = `proxy:${message.proxy_name}`
  if (proxy.group === undefined) return { keys: [own, ...proxy.claims], shared: undefined }
  return { keys: [own], shared: { keys: proxy.claims, group: proxy.group } }
}

function allOf(held: HeldKeys): string[] {
  return [...held.keys, ...(held.shared?.keys ?? [])]
}

/** frp's text for a name, port or route that somebody holds. */
function taken(key: string, message: NewProxy): FrpError {
  if (key.startsWith('proxy:')) return new FrpError('PROXY_REFUSED', `proxy [${message.proxy_name}] already exists`)
  if (key.startsWith('tcp:')) return new FrpError('PORT_TAKEN', 'port already used')
  if (key.startsWith('udp:')) {
    return new FrpError('PORT_TAKEN', `acquire port ${message.remote_port} error: port already used`)
  }
  return new FrpError('PROXY_REFUSED', 'router config conflict')
}

function isProxyType(type: string): type is ProxyType {
  return Object.hasOwn(PROXY_TYPES, type)
}
