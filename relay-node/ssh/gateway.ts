import type { Socket } from 'node:net'
import type { Connection, KexAlgorithm } from 'ssh2'
import { FrpError, messageOf } from '../../contract/errors.ts'
import type { Deadline, Runtime } from '../../contract/runtime.ts'
import type { PeerInfo } from '../../relay/ingress.ts'
import type { Relay } from '../../relay/relay.ts'
import { Strangers } from '../../relay/strangers.ts'
import { addressesOf } from '../addresses.ts'
import type { ConnectionLimit } from '../connection-limit.ts'
import { listenTcp, portOf } from '../listen.ts'
import { Authentication } from './authentication.ts'
import { hostKey } from './host-key.ts'
import { loadSsh2, type Ssh2 } from './library.ts'
import { Tunnel } from './tunnel.ts'

/**
 * A stranger who asks for one of these costs up to 25 ms of the process at a price of 1 KB; every client since 2014
 * has one of the curves, and older ones have group 14.
 */
const COSTLY_EXCHANGES: KexAlgorithm[] = [
  'diffie-hellman-group15-sha512',
  'diffie-hellman-group16-sha512',
  'diffie-hellman-group17-sha512',
  'diffie-hellman-group18-sha512',
]
/** A dead client is noticed after three times this; OpenSSH and NAT boxes are content with it. */
const KEEP_ALIVE_MS = 10_000
const KEEP_ALIVE_UNANSWERED = 2

/** The port for `ssh -R`. */
export interface SshGateway {
  readonly port: number
  close(): void
}

/** Opens frp's sshTunnelGateway.bindPort; rejects with frp's text. */
export async function openSshGateway(relay: Relay, runtime: Runtime, limit: ConnectionLimit): Promise<SshGateway> {
  const { options } = relay
  const { sshTunnelGateway: files, bindAddr } = options
  const ssh2 = await loadSsh2()
  const gateway = new Gateway({ ssh2, relay, runtime, key: await hostKey(files) })
  try {
    const server = await listenTcp({
      address: bindAddr,
      port: files.bindPort,
      keepAliveSeconds: options.transport.tcpKeepalive,
      onConnection: (socket) => {
        if (limit.admit(socket, 'client')) gateway.accept(socket)
      },
      onError: (error) => runtime.log.warn(`ssh port ${files.bindPort}: ${error.message}`),
    })
    const port = portOf(server)
    runtime.log.info(`frps sshTunnelGateway listen on port ${port}`)
    return {
      port,
      close() {
        server.close()
        gateway.close()
      },
    }
  } catch (error) {
    throw new FrpError('PORT_TAKEN', `create ssh gateway error: ${messageOf(error)}`, { cause: error })
  }
}

interface GatewayParts {
  ssh2: Ssh2
  relay: Relay
  runtime: Runtime
  /** PEM. */
  key: string
}

/** A connection; until its client is let in it is one of few, and has little time. */
interface Guest {
  socket: Socket
  peer: PeerInfo
  late: Deadline
}

class Gateway {
  private readonly parts: GatewayParts
  private readonly server: InstanceType<Ssh2['Server']>
  /** By address: ssh2 tells of a connection without its socket. */
  private readonly guests = new Map<string, Guest>()
  /** Those whose client is not let in yet. */
  private readonly strangers = new Strangers<Guest>()
  private readonly clients = new Set<Connection>()

  constructor(parts: GatewayParts) {
    this.parts = parts
    this.server = new parts.ssh2.Server({
      hostKeys: [parts.key],
      // None, as in frp: no bomb can be packed, and what was written can be counted on the socket.
      algorithms: { compress: ['none'], kex: { remove: COSTLY_EXCHANGES, append: [], prepend: [] } },
      keepaliveInterval: KEEP_ALIVE_MS,
      keepaliveCountMax: KEEP_ALIVE_UNANSWERED,
    })
    this.server.on('connection', (client, { ip, port }) => {
      const guest = this.guests.get(`${ip} ${port}`)
      if (guest === undefined) client.end()
      else this.onClient(client, guest)
    })
  }

  /** Takes a connection; whatever goes wrong with it ends here, and ends only it. */
  accept(socket: Socket): void {
    const addresses = addressesOf(socket)
    if (addresses === undefined) {
      socket.destroy()
      return
    }
    const { runtime, relay } = this.parts
    const { handshakeTimeoutSeconds, maxPendingLogins } = relay.options.edgefrp.limits
    const { sourceIp: ip, sourcePort: port } = addresses
    const guest: Guest = {
      socket,
      peer: { ip, port, transport: 'ssh', isEncrypted: true },
      late: runtime.after(handshakeTimeoutSeconds * 1000, () => {
        this.turnAway(guest, `no ssh login within ${handshakeTimeoutSeconds} s`)
      }),
    }
    const key = `${socket.remoteAddress} ${socket.remotePort}`
    this.guests.set(key, guest)
    this.strangers.add(guest, ip)
    socket.once('close', () => {
      this.guests.delete(key)
      this.known(guest)
    })
    // ssh has no half-close of its connection.
    socket.once('end', () => socket.destroy())
    if (this.strangers.size > maxPendingLogins) {
      const surplus = this.strangers.surplus()
      if (surplus !== undefined) this.turnAway(surplus, `${maxPendingLogins} connections without a login`)
    }
    this.server.injectSocket(socket)
  }

  close(): void {
    for (const client of this.clients) client.end()
    for (const { socket } of [...this.strangers.all()]) socket.destroy()
  }

  private onClient(client: Connection, guest: Guest): void {
    const { relay, ssh2, runtime } = this.parts
    const { ip } = guest.peer
    const authentication = new Authentication({
      ssh2,
      authorizedKeysFile: relay.options.sshTunnelGateway.authorizedKeysFile,
      onProblem: (text) => runtime.log.error(text),
      onGivenUp: (error) => this.turnAway(guest, error.message),
    })
    client.on('authentication', (context) => authentication.decide(context))
    client.on('error', (error) => {
      if (this.strangers.has(guest)) relay.refusals.report(ip, `ssh: ${error.message}`)
    })
    client.on('ready', () => {
      this.known(guest)
      this.clients.add(client)
      const tunnel = this.tunnelOf(client, guest, authentication.user)
      client.on('close', () => {
        this.clients.delete(client)
        tunnel.closed()
      })
    })
  }

  private tunnelOf(client: Connection, { socket, peer }: Guest, user: string): Tunnel {
    const { relay, runtime } = this.parts
    const { auth, transport, sshTunnelGateway, edgefrp } = relay.options
    // frp: whom a key let in needs no token.
    const isKnownByKey = sshTunnelGateway.authorizedKeysFile !== ''
    return new Tunnel(client, socket, {
      runtime,
      peer: { ...peer, alwaysAuthPass: isKnownByKey },
      connect: (link, from) => relay.accept(link, from),
      token: isKnownByKey ? auth.token : undefined,
      user,
      heartbeatTimeoutMs: transport.heartbeatTimeout > 0 ? transport.heartbeatTimeout * 1000 : undefined,
      maxStreams: edgefrp.limits.maxStreamsPerClient,
      maxHeldBytes: edgefrp.limits.sessionMemoryBytes,
      onFailure: (text) => relay.refusals.report(peer.ip, text),
    })
  }

  private known(guest: Guest): void {
    guest.late.cancel()
    this.strangers.delete(guest)
  }

  private turnAway(guest: Guest, why: string): void {
    this.known(guest)
    this.parts.relay.refusals.report(guest.peer.ip, why)
    guest.socket.destroy()
  }
}
