import type { Server, Socket } from 'node:net'
import type { FrpsOptions } from '../config/frps.ts'
import { reloadedFrps } from '../config/reloaded.ts'
import { FrpError, messageOf } from '../contract/errors.ts'
import { formatAddress } from '../contract/ip.ts'
import type { Deadline, Runtime } from '../contract/runtime.ts'
import { serverTls } from '../node/tls.ts'
import type { WebListener } from '../node/web-listener.ts'
import type { KeepAliveOptions } from '../protocol/yamux/keep-alive.ts'
import { GUESS_DELAY_MS, relayApp } from '../relay/api/app.ts'
import type { Ports } from '../relay/ingress.ts'
import type { Refusals } from '../relay/refusals.ts'
import { Relay } from '../relay/relay.ts'
import { openAccessLog } from './access-log.ts'
import { apiDoor } from './api-door.ts'
import { Arrivals } from './arrivals.ts'
import { clientAddress } from './client-address.ts'
import { ConnectionLimit, maxConnections } from './connection-limit.ts'
import { h2cDoor } from './h2c.ts'
import { acceptHttp, type HttpDoor } from './http-listener.ts'
import { listenForNames, type NameListeners, sharesHttpsPort } from './https-sni.ts'
import { listenTcp, portOf } from './listen.ts'
import { notFoundPage } from './not-found-page.ts'
import { callPlugin } from './plugin-call.ts'
import { type Doors, PortMux } from './port-mux.ts'
import { processFigures } from './process-figures.ts'
import { RegistryFile } from './registry-file.ts'
import { openSshGateway, type SshGateway } from './ssh/gateway.ts'
import { openTcpPort, type UserPortOptions } from './tcp.ts'
import { openUdpPort } from './udp.ts'
import { openWebServer } from './web-server.ts'

/** Without the keys in the file: a dead client is noticed within 15 s (frp: 40 s). */
const KEEP_ALIVE: KeepAliveOptions = { intervalMs: 10_000, timeoutMs: 5_000 }
/** yamux ConnectionWriteTimeout, as in frp: what goes with an interval from the file. */
const FRP_PING_TIMEOUT_MS = 10_000
/** How often the traffic of running connections goes into `edgefrp.stateFile`. */
const SAVE_INTERVAL_MS = 60_000
/** How long clients may take to read that the relay is closing. */
const CLOSE_MS = 500

/** A relay that is up. */
export interface RunningServer {
  readonly relay: Relay
  readonly bindPort: number
  /** Undefined: vhost HTTP is off. Equal to `bindPort` when they share the port. */
  readonly vhostHttpPort: number | undefined
  /** Undefined: vhost HTTPS is off. Equal to `bindPort` when they share the port. */
  readonly vhostHttpsPort: number | undefined
  readonly tcpmuxPort: number | undefined
  /** Undefined: there is no web server. */
  readonly webServerPort: number | undefined
  /** Undefined: there is no gateway for `ssh -R`. */
  readonly sshPort: number | undefined
  /** Goes on with what of `options` can change while it runs; returns the keys that differ and cannot. */
  reload(options: FrpsOptions): string[]
  /** Stops listening, ends all connections; resolves when the last one is gone, at the latest after half a second. */
  close(): Promise<void>
}

/**
 * Starts a relay with its listeners; a port that cannot be opened rejects with frp's text, and nothing stays open.
 * Port 0 takes a free one.
 */
export async function startServer(options: FrpsOptions, runtime: Runtime): Promise<RunningServer> {
  const { log } = runtime
  const limit = new ConnectionLimit(maxConnections(options.edgefrp.limits.maxConnections), runtime)
  const arrivals = new Arrivals({
    runtime,
    limit,
    report: (ip, why) => relay.refusals.report(ip, why),
    proxyProtocolFrom: options.edgefrp.proxyProtocolFrom,
    headerTimeoutMs: options.edgefrp.limits.headerTimeoutSeconds * 1000,
  })
  const access = openAccessLog(options.edgefrp.accessLog)
  const { stateFile } = options.edgefrp
  const state = stateFile === '' ? undefined : new RegistryFile(stateFile, runtime)
  const userPort: UserPortOptions = {
    runtime,
    address: options.proxyBindAddr,
    keepAliveSeconds: options.transport.tcpKeepalive,
    arrivals,
  }
  const relay = new Relay({
    runtime,
    options,
    ports: userPorts(userPort),
    get: (url, init) => fetch(url, init),
    keepAlive: keepAliveOf(options),
    notFoundPage: notFoundPage(options.custom404Page, log),
    callPlugin,
    processFigures,
    accessLog: access?.log,
    ...(state === undefined ? {} : { registryStore: state }),
  })
  for (const { name } of options.httpPlugins) log.info(`plugin [${name}] has been registered`)
  const listeners = new Listeners(options, runtime, arrivals, relay.refusals)
  const { bindAddr, bindPort, proxyBindAddr, vhostHTTPPort } = options
  const isShared = vhostHTTPPort > 0 && vhostHTTPPort === bindPort && bindAddr === proxyBindAddr
  const isHttpsShared = sharesHttpsPort(options)
  const doors = doorsOf(relay, options, runtime)
  const shared: Doors = {
    ...doors,
    vhost: isShared ? doors.vhost : undefined,
    ...(isHttpsShared ? { https: (user, addresses, head) => relay.https.accept(user, addresses, head) } : {}),
  }
  let names: NameListeners | undefined
  let web: WebListener | undefined
  let ssh: SshGateway | undefined
  let saving: Deadline | undefined
  try {
    const bound = await listeners.open({
      error: 'create server listener error',
      address: bindAddr,
      port: bindPort,
      doors: shared,
      isForClients: true,
    })
    log.info(`frps tcp listen on ${formatAddress(bindAddr, bound)}`)
    if (options.sshTunnelGateway.bindPort > 0) ssh = await openSshGateway(relay, runtime, limit)
    names = await listenForNames(relay, userPort)
    let vhost: number | undefined
    if (vhostHTTPPort > 0) {
      const error = 'create vhost http listener error'
      const own = { error, address: proxyBindAddr, port: vhostHTTPPort, doors, isForClients: false }
      vhost = isShared ? bound : await listeners.open(own)
      log.info(`http service listen on ${formatAddress(proxyBindAddr, vhost)}`)
    }
    void relay.prepare()
    if (options.webServer.port > 0) web = await openWebServer(relay, runtime)
    if (state !== undefined) saving = saveNowAndThen(relay, runtime)
    return {
      relay,
      bindPort: bound,
      vhostHttpPort: vhost,
      vhostHttpsPort: isHttpsShared ? bound : names.vhostHttps?.port,
      tcpmuxPort: names.tcpmux?.port,
      webServerPort: web?.port,
      sshPort: ssh?.port,
      reload(next) {
        const { options: merged, left } = reloadedFrps(relay.options, next)
        relay.reload(merged)
        limit.allow(maxConnections(merged.edgefrp.limits.maxConnections))
        return left
      },
      close: async () => {
        ssh?.close()
        names?.close()
        web?.close()
        saving?.cancel()
        await closeAll(listeners, relay, limit)
        await state?.close()
        await access?.close()
      },
    }
  } catch (error) {
    ssh?.close()
    names?.close()
    web?.close()
    listeners.close()
    relay.close()
    throw error
  }
}

interface Listener {
  /** How the text of a failure begins, as in frp. */
  error: string
  address: string
  port: number
  doors: Doors
  isForClients: boolean
}

class Listeners {
  private readonly options: FrpsOptions
  private readonly runtime: Runtime
  private readonly arrivals: Arrivals
  private readonly refusals: Refusals
  private readonly tls: ReturnType<typeof serverTls>
  private readonly servers: Server[] = []

  constructor(options: FrpsOptions, runtime: Runtime, arrivals: Arrivals, refusals: Refusals) {
    this.options = options
    this.runtime = runtime
    this.arrivals = arrivals
    this.refusals = refusals
    this.tls = serverTls(options.transport.tls)
  }

  /** Opens a port and returns its number. */
  async open(listener: Listener): Promise<number> {
    const { limits } = this.options.edgefrp
    const { address, port, doors, isForClients } = listener
    const mux = new PortMux({
      runtime: this.runtime,
      doors,
      isForClients,
      tls: this.tls,
      isTlsForced: this.options.transport.tls.force,
      headerTimeoutMs: limits.headerTimeoutSeconds * 1000,
      headLimits: { bytes: limits.httpHeadBytes, fields: limits.httpFields },
      maxMessageBytes: limits.maxMessageBytes,
      maxMessageBytesBeforeLogin: Math.min(limits.bytesBeforeLogin, limits.maxMessageBytes),
      refusals: this.refusals,
    })
    const onConnection = (socket: Socket): void => {
      this.arrivals.admit(socket, isForClients ? 'client' : 'user', (taken, addresses, head) => {
        if (head !== undefined) taken.unshift(head)
        mux.accept(taken, addresses)
        // It was read before, up to the end of a PROXY header.
        if (taken.isPaused()) taken.resume()
      })
    }
    try {
      const server = await listenTcp({
        address,
        port,
        keepAliveSeconds: this.options.transport.tcpKeepalive,
        onConnection,
        onError: (error) => this.runtime.log.warn(`port ${port}: ${error.message}`),
      })
      this.servers.push(server)
      return portOf(server)
    } catch (error) {
      throw new FrpError('PORT_TAKEN', `${listener.error}, ${messageOf(error)}`, { cause: error })
    }
  }

  close(): void {
    for (const server of this.servers) server.close()
  }
}

function doorsOf(relay: Relay, options: FrpsOptions, runtime: Runtime): Doors {
  const app = relayApp(relay, runtime, GUESS_DELAY_MS)
  const api = apiDoor(app)
  const clientIp = clientAddress(options.edgefrp.trustedProxies)
  const http: HttpDoor = { relay, scheme: 'http', clientIp, api: app.fetch }
  const { httpHeadBytes: bytes, httpFields: fields } = options.edgefrp.limits
  const h2c = h2cDoor({ runtime, headLimits: { bytes, fields }, serve: (user, from) => acceptHttp(http, user, from) })
  return {
    frp: (link, peer, head) => relay.accept(link, peer, head),
    vhost: (user, addresses, head) => acceptHttp(http, user, addresses, head),
    h2c: (socket, addresses, head) => h2c.accept(socket, head, addresses),
    api: (socket, head) => api.accept(socket, head),
    clientIp,
  }
}

function userPorts(options: UserPortOptions): Ports {
  const { address, runtime } = options
  return {
    listenTcp: (port, onUser) => openTcpPort(port, onUser, options),
    listenUdp: (port, onDatagram) => openUdpPort(port, onDatagram, { address, log: runtime.log }),
  }
}

function keepAliveOf(options: FrpsOptions): KeepAliveOptions {
  if (!options.given.has('transport.tcpMuxKeepaliveInterval')) return KEEP_ALIVE
  return { intervalMs: options.transport.tcpMuxKeepaliveInterval * 1000, timeoutMs: FRP_PING_TIMEOUT_MS }
}

/** Traffic of connections that run; what a crash costs. */
function saveNowAndThen(relay: Relay, runtime: Runtime): Deadline {
  let next: Deadline
  const again = (): void => {
    relay.registry.save(SAVE_INTERVAL_MS)
    next = runtime.after(SAVE_INTERVAL_MS, again)
  }
  next = runtime.after(SAVE_INTERVAL_MS, again)
  return { cancel: () => next.cancel() }
}

async function closeAll(listeners: Listeners, relay: Relay, limit: ConnectionLimit): Promise<void> {
  listeners.close()
  relay.close()
  await new Promise<void>((resolve) => {
    // A timer of its own: the runtime's does not keep the process up, and now nothing else may.
    const late = setTimeout(resolve, CLOSE_MS)
    limit.whenEmpty(() => {
      clearTimeout(late)
      resolve()
    })
  })
  limit.destroyAll()
}
