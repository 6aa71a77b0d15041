import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FrpcOptions, ServerOptions } from '../config/frpc.ts'
import { FrpError } from '../contract/errors.ts'
import { bracketed, formatAddress } from '../contract/ip.ts'
import type { Runtime } from '../contract/runtime.ts'
import { dial } from '../node/dial.ts'
import { duplexOf } from '../node/duplex.ts'
import { openWebsocket } from '../node/link-choice.ts'
import { type SocketOptions, socketStream } from '../node/socket.ts'
import { type ClientTlsOptions, clientTls } from '../node/tls.ts'
import { OWN_PATH } from '../protocol/frp/own-path.ts'
import { MAX_WEBSOCKET_MESSAGE_BYTES } from '../protocol/limits.ts'
import type { Link } from '../protocol/stream/byte-stream.ts'
import { type Carrier, DirectCarrier, MuxCarrier } from './carrier.ts'
import { lookupWith } from './dns.ts'
import { openTunnel, parseProxyUrl, type TunnelProxy } from './tunnel.ts'

/** Decided for all WebSocket links: a NAT that forgot us is noticed in 15 s, and a sleeping hub is not woken. */
const WEBSOCKET_PING_MS = 10_000
const WEBSOCKET_PONG_MS = 5_000
/** frp's own mark before TLS, where a port is shared with HTTPS (pkg/util/net/tls.go). */
const TLS_HEAD_BYTE = 0x17

/** Makes connections to one server, in the layers that its configuration names (frp-wire, table 1.2). */
export class Connector {
  private readonly server: ServerOptions
  private readonly options: FrpcOptions
  private readonly runtime: Runtime

  constructor(server: ServerOptions, options: FrpcOptions, runtime: Runtime) {
    this.server = server
    this.options = options
    this.runtime = runtime
  }

  /** What carries the streams of one session; a connection is made now only for yamux. */
  async connect(signal: AbortSignal): Promise<Carrier> {
    if (!this.server.transport.tcpMux) return new DirectCarrier((closing) => this.dialAll(closing))
    return new MuxCarrier(await this.dialAll(signal), this.runtime)
  }

  /** What a person should know about the safety of this connection; none: it is encrypted and verified. */
  get warnings(): string[] {
    const { serverAddr, serverPort, transport } = this.server
    const at = `${serverAddr}:${serverPort}`
    if (!this.hasTls) {
      if (isLoopback(serverAddr)) return []
      return [`the connection to [${at}] is not encrypted: transport.tls.enable is false`]
    }
    if (transport.tls.trustedCaFile !== '' || this.options.edgefrp.tls.verify) return []
    return [
      `the certificate of [${at}] is not verified: set transport.tls.trustedCaFile to its CA, ` +
        'or edgefrp.tls.verify = true if a public CA signed it',
    ]
  }

  private get hasTls(): boolean {
    return this.server.transport.protocol === 'wss' || this.server.transport.tls.enable
  }

  /** All layers within `dialServerTimeout`. Rejects with TIMEOUT or what a layer said. */
  private async dialAll(signal: AbortSignal): Promise<Link> {
    const { dialServerTimeout } = this.server.transport
    const stop = new AbortController()
    const abort = (): void => stop.abort(signal.reason)
    const deadline = this.runtime.after(dialServerTimeout * 1000, () =>
      stop.abort(new FrpError('TIMEOUT', `no connection within ${dialServerTimeout} s (transport.dialServerTimeout)`)),
    )
    signal.addEventListener('abort', abort)
    if (signal.aborted) abort()
    try {
      return await this.layers(stop.signal)
    } catch (error) {
      throw stop.signal.aborted ? stop.signal.reason : error
    } finally {
      deadline.cancel()
      signal.removeEventListener('abort', abort)
    }
  }

  private async layers(signal: AbortSignal): Promise<Link> {
    const { protocol } = this.server.transport
    if (protocol === 'kcp' || protocol === 'quic') {
      throw new FrpError('NOT_SUPPORTED', `transport.protocol ${protocol} is not built: use tcp, websocket or wss`)
    }
    const { serverAddr, serverPort, transport } = this.server
    const proxy = transport.proxyURL === '' ? undefined : parseProxyUrl(transport.proxyURL)
    const raw = await this.dialTcp(proxy ?? { host: serverAddr, port: serverPort }, signal)
    // Whatever layer is being made, it ends with the socket below it.
    const abort = (): void => {
      raw.destroy()
    }
    signal.addEventListener('abort', abort)
    try {
      const socket = proxy === undefined ? raw : await this.throughProxy(raw, proxy)
      return await this.frpLayers(socket, raw)
    } catch (error) {
      raw.destroy()
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  private async dialTcp(target: { host: string; port: number }, signal: AbortSignal): Promise<Socket> {
    const { connectServerLocalIP, dialServerKeepalive } = this.server.transport
    const socket = await dial(
      {
        host: target.host,
        port: target.port,
        ...(connectServerLocalIP === '' ? {} : { localAddress: connectServerLocalIP }),
        ...(this.options.dnsServer === '' ? {} : { lookup: lookupWith(this.options.dnsServer) }),
      },
      signal,
    )
    if (dialServerKeepalive > 0) socket.setKeepAlive(true, dialServerKeepalive * 1000)
    return socket
  }

  private async throughProxy(raw: Socket, proxy: TunnelProxy): Promise<Socket> {
    const way = proxy.scheme === 'https' ? await clientTls(raw, { serverName: proxy.host, isVerified: true }) : raw
    await openTunnel(way, proxy, this.server.serverAddr, this.server.serverPort)
    return way
  }

  /** What frp itself puts on a TCP connection. `raw` is below `socket`, or the same. */
  private async frpLayers(socket: Socket, raw: Socket): Promise<Link> {
    const { protocol, tls } = this.server.transport
    if (protocol === 'tcp') {
      return socketStream(tls.enable ? await this.tls(socket) : socket, { raw, isTunnel: true })
    }
    if (protocol === 'wss') {
      // The Host is the name of TLS without a port, as frpc has it.
      return this.websocket(await this.tls(socket, ['http/1.1']), { raw }, bracketed(this.tlsName))
    }
    const host = formatAddress(this.server.serverAddr, this.server.serverPort)
    const link = await this.websocket(socket, { raw }, host)
    return tls.enable ? socketStream(await this.tls(duplexOf(link)), { raw }) : link
  }

  private get tlsName(): string {
    return this.server.transport.tls.serverName || this.server.serverAddr
  }

  private tls(transport: Duplex, alpn?: string[]): ReturnType<typeof clientTls> {
    const { protocol, tls } = this.server.transport
    // It counts as a layer of its own: a write of its own, and in a WebSocket a frame of its own.
    if (!tls.disableCustomTLSFirstByte && protocol !== 'wss') transport.write(Buffer.of(TLS_HEAD_BYTE))
    const options: ClientTlsOptions = {
      serverName: this.tlsName,
      certFile: tls.certFile,
      keyFile: tls.keyFile,
      trustedCaFile: tls.trustedCaFile,
      isVerified: this.options.edgefrp.tls.verify,
      ...(alpn === undefined ? {} : { alpn }),
    }
    return clientTls(transport, options)
  }

  private async websocket(socket: Socket, options: SocketOptions, host: string): Promise<Link> {
    const maxMessageBytes = MAX_WEBSOCKET_MESSAGE_BYTES
    const link = await openWebsocket(socket, { host, path: OWN_PATH, maxMessageBytes, ...options })
    link.startPings(WEBSOCKET_PING_MS, WEBSOCKET_PONG_MS, this.runtime)
    return link
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}
