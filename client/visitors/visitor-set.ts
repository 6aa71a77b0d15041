import type { Socket } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { type FrpcOptions, wireName } from '../../config/frpc.ts'
import type { VisitorOptions } from '../../config/visitors.ts'
import { FrpError, messageOf } from '../../contract/errors.ts'
import type { Deadline, Log, Runtime } from '../../contract/runtime.ts'
import { loadedQuic } from '../../node/quic.ts'
import type { NatHoleLine } from '../nathole/nat-hole-line.ts'
import { NO_KCP, NO_TUNNEL } from '../nathole/no-tunnel.ts'
import { VisitorTunnel } from '../nathole/visitor-tunnel.ts'
import { TcpVisit } from '../visit/tcp.ts'
import { UdpVisit } from '../visit/udp.ts'
import type { SecretTarget } from '../visit/visitor-conn.ts'
import { LOCAL_WAIT_MS, type LoggedInWay } from '../visit/way.ts'
import { type Fallback, type XtcpOptions, XtcpVisitor } from './xtcp.ts'

/** frp, client/visitor/visitor_manager.go checkInterval: how often a visitor that did not start is tried again. */
const RETRY_MS = 10_000

/** What leads from a local port to another client's service. */
type Visitor = TcpVisit | UdpVisit | XtcpVisitor

interface Entry {
  config: VisitorOptions
  visitor: Visitor
  retry: Deadline | undefined
  isGone: boolean
}

/**
 * The visitors of a client (frp: client/visitor/). They outlive its sessions: a local port stays open while the
 * client logs in anew, and who comes meanwhile waits a few seconds.
 */
export class VisitorSet {
  private readonly user: string
  private readonly stunServer: string
  private readonly way: LoggedInWay
  private readonly runtime: Runtime
  private readonly entries = new Map<string, Entry>()

  /** `options` are the client's own, `way` leads over its session. */
  constructor(options: Pick<FrpcOptions, 'user' | 'natHoleStunServer'>, way: LoggedInWay, runtime: Runtime) {
    this.user = options.user
    this.stunServer = options.natHoleStunServer
    this.way = way
    this.runtime = runtime
  }

  /** Starts what is new, stops what is gone, restarts what changed; the rest is not touched. */
  update(configs: readonly VisitorOptions[]): void {
    const { log } = this.runtime
    const wanted = new Map(configs.map((config) => [config.name, config]))
    const removed: string[] = []
    for (const [name, entry] of this.entries) {
      if (isDeepStrictEqual(wanted.get(name), entry.config)) continue
      removed.push(name)
      this.remove(entry)
    }
    if (removed.length > 0) log.info(`visitor removed: [${removed.join(' ')}]`)
    const added: Entry[] = []
    for (const config of wanted.values()) {
      if (this.entries.has(config.name)) continue
      const entry: Entry = { config, visitor: this.create(config), retry: undefined, isGone: false }
      this.entries.set(config.name, entry)
      added.push(entry)
    }
    if (added.length > 0) log.info(`visitor added: [${added.map(({ config }) => config.name).join(' ')}]`)
    for (const entry of added) void this.start(entry)
  }

  /** Takes nobody new. Connections that run end with their session. */
  close(): void {
    for (const entry of [...this.entries.values()]) this.remove(entry)
  }

  private create(config: VisitorOptions): Visitor {
    const { runtime, way } = this
    const log = runtime.log.child(config.name)
    switch (config.type) {
      case 'stcp':
        return new TcpVisit(this.targetOf(config, 'stcp'), way, log)
      case 'sudp':
        return new UdpVisit(this.targetOf(config, 'sudp'), way, runtime, log)
      case 'xtcp':
        return this.xtcp(config, log)
    }
  }

  private xtcp(options: XtcpOptions, log: Log): XtcpVisitor {
    const fallback: Fallback = (name, socket, seen) => this.transfer(name, socket, seen)
    return new XtcpVisitor(options, this.tunnelOf(options, log), fallback, this.runtime, log)
  }

  /** Or why there can be none. */
  private tunnelOf(options: XtcpOptions, log: Log): VisitorTunnel | string {
    const { runtime, way, stunServer } = this
    const quic = loadedQuic()
    if (quic === undefined) return NO_TUNNEL
    if (options.protocol === 'kcp') return NO_KCP
    const line = async (): Promise<NatHoleLine> => (await way.session(runtime.monotonicMs() + LOCAL_WAIT_MS)).natHoles
    return new VisitorTunnel({ options, proxyName: this.wireNameOf(options), stunServer, quic, runtime, log, line })
  }

  private async start(entry: Entry): Promise<void> {
    const { config, visitor } = entry
    const { type, name, bindAddr, bindPort } = config
    const log = this.runtime.log.child(name)
    if (config.plugin !== undefined) {
      log.warn(`start error: the plugin ${config.plugin.type} is not available here`)
      return
    }
    if (bindPort < 0 && type === 'sudp') {
      log.warn(`start error: bindPort ${bindPort}, but a visitor of type sudp needs a port`)
      return
    }
    try {
      if (bindPort > 0) await visitor.listen(bindAddr, bindPort)
      if (visitor instanceof XtcpVisitor && visitor.whyNot !== undefined) log.warn(visitor.whyNot)
      if (entry.isGone) stop(visitor)
      else log.info(bindPort > 0 ? `start visitor success, listen on ${bindAddr}:${bindPort}` : 'start visitor success')
    } catch (error) {
      log.warn(`start error: ${messageOf(error)}`)
      if (!entry.isGone) entry.retry = this.runtime.after(RETRY_MS, () => void this.start(entry))
    }
  }

  private remove(entry: Entry): void {
    entry.isGone = true
    entry.retry?.cancel()
    this.entries.delete(entry.config.name)
    stop(entry.visitor)
  }

  /** Hands a connection on to another visitor, `seen` by those before; throws CONFIG_FIELD when none takes it. */
  private transfer(name: string, socket: Socket, seen: ReadonlySet<string>): void {
    const entry = this.entries.get(name)
    if (entry === undefined) throw new FrpError('CONFIG_FIELD', `visitor [${name}] not found`)
    const { config, visitor } = entry
    if (visitor instanceof UdpVisit) {
      throw new FrpError('CONFIG_FIELD', `visitor [${name}] of type ${config.type} takes no connections`)
    }
    if (seen.has(name)) throw new FrpError('CONFIG_FIELD', `fallbackTo of visitor [${name}] leads back to itself`)
    visitor.accept(socket, seen)
  }

  private wireNameOf({ serverUser, serverName }: VisitorOptions): string {
    return wireName(serverUser === '' ? this.user : serverUser, serverName)
  }

  private targetOf(config: VisitorOptions, type: SecretTarget['type']): SecretTarget {
    const { secretKey, transport } = config
    return {
      type,
      proxyName: this.wireNameOf(config),
      secretKey,
      useEncryption: transport.useEncryption,
      useCompression: transport.useCompression,
    }
  }
}

function stop(visitor: Visitor): void {
  if (visitor instanceof UdpVisit) visitor.close()
  else visitor.retire()
}
