import { isDeepStrictEqual } from 'node:util'
import { wireName } from '../../config/frpc.ts'
import type { ProxyOf, ProxyOptions } from '../../config/proxies.ts'
import { bandwidthBytes } from '../../contract/bandwidth.ts'
import { FrpError } from '../../contract/errors.ts'
import type { Log, Runtime } from '../../contract/runtime.ts'
import { loadedQuic } from '../../node/quic.ts'
import { deriveKey } from '../../protocol/frp/cipher.ts'
import type { WireProtocol } from '../../protocol/frp/codec.ts'
import { featuresOf } from '../../protocol/frp/edgefrp-field.ts'
import type { NewProxyResp, Outgoing, StartWorkConn } from '../../protocol/frp/messages.ts'
import type { WrapOptions } from '../../protocol/frp/wrap.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { TokenBucket } from '../../protocol/stream/throttle.ts'
import type { NatHoleLine } from '../nathole/nat-hole-line.ts'
import { NO_TUNNEL } from '../nathole/no-tunnel.ts'
import { PluginBackend } from '../plugins/table.ts'
import { refusalWithRemedy } from '../remedy.ts'
import { type Backend, type Phase, ProxyOffer } from './proxy.ts'
import { TcpBackend } from './tcp.ts'
import { UdpBackend } from './udp.ts'
import { XtcpBackend } from './xtcp.ts'

/** What the proxies of one session need of it. */
export interface ManagerParts {
  runtime: Runtime
  log: Log
  user: string
  /** The key of `useEncryption`, from the token: made once, its derivation is slow on purpose. */
  key: Uint8Array
  udpPacketSize: number
  /** How messages are framed, on work connections too. */
  wire: WireProtocol
  /** natHoleStunServer. */
  stunServer: string
  natHoles: NatHoleLine
  /** Whether the relay keeps FIN and reset apart where a StartWorkConn does not say. */
  halfClose: boolean
  /** Whether the relay goes by `edgefrp.allowIPs` and `denyIPs` of a proxy. */
  ipRules: boolean
  send(message: Outgoing): void
  /** A proxy was answered or a connection ended: whoever waits for that looks again. */
  onChange(): void
}

/** What the admin API and tests see of a proxy. */
export interface ProxyStatus {
  name: string
  type: string
  phase: Phase
  error: string
  remoteAddr: string
  config: ProxyOptions
}

/** The proxies of one session: which there are, and which of them a work connection is for. */
export class ProxyManager {
  private readonly parts: ManagerParts
  private readonly proxies = new Map<string, ProxyOffer>()
  private running = 0
  private isClosed = false

  constructor(parts: ManagerParts) {
    this.parts = parts
  }

  /** Connections that run, datagrams apart. */
  get runningConnections(): number {
    return this.running
  }

  /** Whether the relay has answered for every proxy that can be asked for now. */
  get isSettled(): boolean {
    return [...this.proxies.values()].every((proxy) => proxy.isSettled)
  }

  /** Starts what is new, stops what is gone, restarts what changed; the rest is not touched. */
  update(configs: readonly ProxyOptions[]): void {
    const wanted = new Map(configs.map((config) => [wireName(this.parts.user, config.name), config]))
    const removed: string[] = []
    for (const [name, proxy] of this.proxies) {
      if (isDeepStrictEqual(wanted.get(name), proxy.config)) continue
      removed.push(proxy.config.name)
      this.proxies.delete(name)
      proxy.close()
    }
    if (removed.length > 0) this.parts.log.info(`proxy removed: [${removed.join(' ')}]`)
    const added: ProxyOffer[] = []
    for (const [name, config] of wanted) {
      if (this.proxies.has(name)) continue
      const proxy = this.create(name, config)
      this.proxies.set(name, proxy)
      added.push(proxy)
    }
    if (added.length > 0) this.parts.log.info(`proxy added: [${added.map((proxy) => proxy.config.name).join(' ')}]`)
    for (const proxy of added) proxy.start()
  }

  answered(message: NewProxyResp): void {
    const proxy = this.proxies.get(message.proxy_name)
    const name = proxy?.config.name ?? message.proxy_name
    const error = proxy?.answered(message.remote_addr, message.error) ?? `proxy [${name}] not found`
    if (error === '') this.parts.log.info(`[${name}] start proxy success`)
    else this.parts.log.warn(`[${name}] start error: ${refusalWithRemedy(error)}`)
    this.parts.onChange()
  }

  /** Hands a work connection to its proxy; one for a proxy that we do not run is closed. */
  take(stream: ByteStream, start: StartWorkConn): void {
    const proxy = this.proxies.get(start.proxy_name)
    if (proxy?.take({ stream, start, halfClose: this.hasHalfClose(start) }) === true) return
    stream.destroy(new FrpError('STREAM_ABORTED', 'work connection for a proxy that does not run here'))
  }

  /** Asks the relay to send no more users, and goes on with those that are here. */
  withdraw(): void {
    for (const proxy of this.proxies.values()) proxy.withdraw()
  }

  /** Stops asking and checking; connections that run end with their session, not with this. */
  close(): void {
    if (this.isClosed) return
    this.isClosed = true
    for (const proxy of this.proxies.values()) proxy.close(true)
  }

  statuses(): ProxyStatus[] {
    return [...this.proxies.values()].map(({ config, phase, error, remoteAddr }) => ({
      name: config.name,
      type: config.type,
      phase,
      error,
      remoteAddr,
      config,
    }))
  }

  private hasHalfClose(start: StartWorkConn): boolean {
    return start.edgefrp === undefined ? this.parts.halfClose : featuresOf(start).has('half-close')
  }

  private create(name: string, config: ProxyOptions): ProxyOffer {
    const log = this.parts.log.child(config.name)
    const { runtime, send, onChange } = this.parts
    const backend = this.backendOf(config, log)
    return new ProxyOffer({ config, wireName: name, runtime, log, send, onChange, backend })
  }

  private backendOf(config: ProxyOptions, log: Log): Backend | string {
    const { runtime, ipRules } = this.parts
    const { allowIPs, denyIPs } = config.edgefrp
    // Offered there it would be open to everybody.
    if (!ipRules && allowIPs.length + denyIPs.length > 0) {
      return 'this relay does not know edgefrp.allowIPs and denyIPs: only a relay of edgefrp does'
    }
    const wrapping = this.wrappingOf(config)
    switch (config.type) {
      case 'udp':
      case 'sudp':
        return new UdpBackend({
          config,
          runtime,
          log,
          wrapping,
          packetSize: this.parts.udpPacketSize,
          wire: this.parts.wire,
        })
      case 'xtcp':
        return this.xtcpBackend(config, log)
      case 'tcp':
      case 'http':
      case 'https':
      case 'tcpmux':
      case 'stcp':
        return this.streamBackend(config, log, wrapping)
    }
  }

  private streamBackend(config: ProxyOptions, log: Log, wrapping: WrapOptions): Backend | string {
    const { runtime } = this.parts
    const parts = { config, runtime, log, wrapping, onCount: (change: 1 | -1) => this.counted(change) }
    if (config.plugin === undefined) return new TcpBackend(parts)
    if (config.plugin.type === 'virtual_net') return 'plugin virtual_net is not built'
    return new PluginBackend(parts, config.plugin)
  }

  private xtcpBackend(config: ProxyOf<'xtcp'>, log: Log): Backend | string {
    const quic = loadedQuic()
    if (quic === undefined) return `${NO_TUNNEL}; use stcp`
    const { runtime, stunServer, natHoles: line, user, wire } = this.parts
    // No relay is between the two ends: the secret of both is the key.
    const inner = this.streamBackend(config, log, this.wrappingOf(config, deriveKey(runtime.crypto, config.secretKey)))
    if (typeof inner === 'string') return inner
    const name = wireName(user, config.name)
    return new XtcpBackend({ config, wireName: name, stunServer, quic, runtime, log, line, wire, inner })
  }

  private wrappingOf(config: ProxyOptions, key = this.parts.key): WrapOptions {
    const { useEncryption, useCompression, bandwidthLimit, bandwidthLimitMode } = config.transport
    const limit = bandwidthLimitMode === 'client' ? bandwidthBytes(bandwidthLimit) : undefined
    return {
      ...(useEncryption ? { key } : {}),
      ...(useCompression ? { compression: true } : {}),
      // One bucket for all connections of the proxy, below the wrapping: frp counts wire bytes here.
      ...(limit === undefined || limit <= 0
        ? {}
        : { bucket: new TokenBucket(limit, this.parts.runtime), bucketBelow: true }),
    }
  }

  private counted(change: 1 | -1): void {
    this.running += change
    if (change < 0) this.parts.onChange()
  }
}
