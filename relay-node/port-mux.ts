import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { codeOf, type ErrorCode, FrpError, messageOf } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import { socketStream } from '../node/socket.ts'
import type { ServerTls } from '../node/tls.ts'
import { isOwnPath, OWN_PATH } from '../protocol/frp/own-path.ts'
import { type Fields, type HeadLimits, HeadReader, type RequestHead, readRequestHead } from '../protocol/http1/head.ts'
import type { Link } from '../protocol/stream/byte-stream.ts'
import type { Addresses, PeerInfo } from '../relay/ingress.ts'
import type { Refusals } from '../relay/refusals.ts'
import { Prefix, readUntil, type Speech, speechOf } from './first-bytes.ts'
import { H2_PREFACE } from './h2c.ts'
import { answerAndClose } from './plain-answer.ts'
import { acceptWebsocket } from './websocket-door.ts'

/** Where a port's connections go once it is known what they are. */
export interface Doors {
  /** A client of the relay. */
  frp: (link: Link, peer: PeerInfo, head?: Uint8Array) => void
  /** A user of an http proxy; `head` is the connection from its start. Undefined: no vhost on this port. */
  vhost: ((user: Link, addresses: Addresses, head: Uint8Array) => void) | undefined
  /** The same by HTTP/2 from the first byte; where there is a vhost. */
  h2c?: (socket: Socket, addresses: Addresses, head: Uint8Array) => void
  /** A user of an https proxy, by TLS that is not the relay's. Absent: no vhost HTTPS on this port. */
  https?: (user: Link, addresses: Addresses, head: Uint8Array) => void
  /** A request to the relay itself; `head` is the connection from its start. */
  api: (socket: Socket | TLSSocket, head: Uint8Array) => void
  /** The client's address that a trusted proxy in front tells of; else what is given. */
  clientIp: (fields: Fields, ip: string) => string
}

export interface PortMuxOptions {
  runtime: Runtime
  doors: Doors
  /** False: a port for users, where clients come by the relay's WebSocket path only, and TLS inside that only. */
  isForClients: boolean
  tls: ServerTls
  /** frp's transport.tls.force: a client without TLS is closed. */
  isTlsForced: boolean
  /** From accept to here: what the connection is must be known, TLS and request head included. */
  headerTimeoutMs: number
  headLimits: HeadLimits
  /** Largest WebSocket message of a client that has logged in, and before that. */
  maxMessageBytes: number
  maxMessageBytesBeforeLogin: number
  refusals: Refusals
}

/** Scanners that look at a port and leave are not worth a line. */
const LEFT: readonly ErrorCode[] = ['LINK_CLOSED', 'STREAM_CUT', 'STREAM_RESET']

/** A connection on its way to its door. */
interface Arrival {
  /** The TCP socket. */
  raw: Socket
  /** The same, or the TLS over it: what an answer goes through. */
  socket: Socket
  addresses: Addresses
  /** Its time ran out, and that was told. */
  isLate: boolean
}

/** What the first bytes of a connection say. */
interface FirstWords {
  speech: Speech | 'h2c'
  head?: RequestHead
}

/**
 * A port that carries several protocols: TLS, HTTP (the relay's own paths, WebSocket, vhost) and frp's bytes.
 * The first bytes of a connection decide, each connection on its own: nobody waits for a silent neighbour.
 */
export class PortMux {
  private readonly options: PortMuxOptions

  constructor(options: PortMuxOptions) {
    this.options = options
  }

  /** Takes a connection; whatever goes wrong with it ends here, and ends only it. */
  accept(raw: Socket, addresses: Addresses): void {
    const { runtime, headerTimeoutMs, refusals } = this.options
    const late = runtime.after(headerTimeoutMs, () => {
      arrival.isLate = true
      refusals.report(addresses.sourceIp, `nothing to act on within ${headerTimeoutMs / 1000} s`)
      raw.destroy()
    })
    const arrival: Arrival = { raw, socket: raw, addresses, isLate: false }
    this.take(arrival)
      .catch((error: unknown) => this.refuse(arrival, error))
      .finally(() => late.cancel())
  }

  private refuse({ raw, socket, addresses, isLate }: Arrival, error: unknown): void {
    const code = codeOf(error)
    if (!isLate && (code === undefined || !LEFT.includes(code)))
      this.options.refusals.report(addresses.sourceIp, messageOf(error))
    if (code === 'HTTP_HEAD_TOO_LARGE') answerAndClose(socket, 431, this.options.runtime)
    else if (code === 'HTTP_BAD_REQUEST') answerAndClose(socket, 400, this.options.runtime)
    // A refused upgrade was answered, and its socket is closing.
    else if (code !== 'WEBSOCKET_UPGRADE') raw.destroy()
  }

  private async take(arrival: Arrival): Promise<void> {
    const { raw } = arrival
    const { first, bytes } = await this.open(raw)
    if (first.speech === 'tls' || first.speech === 'marked-tls') {
      const { tls, isForClients, doors } = this.options
      // frp: where the port is shared, clients have to begin with its own byte.
      if (first.speech === 'tls' && doors.https !== undefined) {
        doors.https(socketStream(raw), arrival.addresses, bytes)
        return
      }
      if (!isForClients) throw new FrpError('NOT_SUPPORTED', 'TLS on the port of vhost HTTP')
      arrival.socket = await tls.accept(raw, first.speech === 'tls' ? bytes : bytes.subarray(1))
      const inside = await this.open(arrival.socket)
      await this.route(arrival, inside.first, inside.bytes)
    } else {
      await this.route(arrival, first, bytes)
    }
  }

  /** Reads until it is known what the connection speaks, and for HTTP its first head. */
  private async open(socket: Duplex): Promise<{ first: FirstWords; bytes: Uint8Array }> {
    const reader = new HeadReader(readRequestHead, this.options.headLimits)
    const preface = new Prefix(H2_PREFACE)
    let isHttp = false
    const look = (chunk: Uint8Array): FirstWords | undefined => {
      const speech = isHttp ? 'http' : speechOf(chunk[0] ?? 0)
      if (speech !== 'http') return { speech }
      isHttp = true
      const rest = preface.feed(chunk)
      if (rest === true) return { speech: 'h2c' }
      const found = rest && reader.feed(rest)
      return found === undefined ? undefined : { speech, head: found.head }
    }
    const { found, bytes } = await readUntil(socket, look)
    return { first: found, bytes }
  }

  private async route(arrival: Arrival, first: FirstWords, bytes: Uint8Array): Promise<void> {
    const { doors, isForClients, isTlsForced, runtime } = this.options
    const { raw, socket, addresses } = arrival
    const isEncrypted = socket !== raw
    const { head } = first
    if (first.speech === 'h2c') {
      if (doors.vhost === undefined || doors.h2c === undefined || isEncrypted) {
        throw new FrpError('HTTP_BAD_REQUEST', 'HTTP/2 where no vhost HTTP is')
      }
      doors.h2c(socket, addresses, bytes)
      return
    }
    if (head === undefined) {
      if (!isForClients) throw new FrpError('NOT_SUPPORTED', 'no HTTP on the port of vhost HTTP')
      if (isTlsForced && !isEncrypted) throw new FrpError('NOT_SUPPORTED', 'no TLS, which transport.tls.force demands')
      const { sourceIp: ip, sourcePort: port } = addresses
      const peer: PeerInfo = { ip, port, local: localOf(addresses), transport: 'tcp', isEncrypted }
      doors.frp(socketStream(socket, { raw, isTunnel: true }), peer, bytes)
      return
    }
    const path = pathOf(head)
    if (path === OWN_PATH) {
      const peer: PeerInfo = {
        ip: doors.clientIp(head.fields, addresses.sourceIp),
        port: addresses.sourcePort,
        local: localOf(addresses),
        transport: 'websocket',
        isEncrypted,
      }
      await acceptWebsocket(
        { socket, raw, head, rest: bytes.subarray(head.byteLength) },
        {
          peer,
          accept: doors.frp,
          tls: this.options.tls,
          isTlsForced,
          maxMessageBytes: this.options.maxMessageBytes,
          maxMessageBytesBeforeLogin: this.options.maxMessageBytesBeforeLogin,
        },
      )
    } else if (isOwnPath(path)) {
      doors.api(socket, bytes)
    } else if (doors.vhost !== undefined && !isEncrypted) {
      doors.vhost(socketStream(socket, { raw }), addresses, bytes)
    } else {
      answerAndClose(socket, 404, runtime)
    }
  }
}

function localOf({ destinationIp: ip, destinationPort: port }: Addresses): { ip: string; port: number } {
  return { ip, port }
}

function pathOf(head: RequestHead): string {
  const end = head.path.indexOf('?')
  return end < 0 ? head.path : head.path.slice(0, end)
}
