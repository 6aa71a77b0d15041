import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { FrpError } from '../contract/errors.ts'
import { duplexOf } from '../node/duplex.ts'
import { acceptUpgrade } from '../node/link-choice.ts'
import { socketStream } from '../node/socket.ts'
import type { ServerTls } from '../node/tls.ts'
import type { HeaderFields } from '../node/websocket-handshake.ts'
import type { WebsocketLink } from '../node/websocket-link.ts'
import type { Fields, RequestHead } from '../protocol/http1/head.ts'
import type { Link, StreamHandler } from '../protocol/stream/byte-stream.ts'
import { prefixed } from '../protocol/stream/prefixed.ts'
import type { PeerInfo } from '../relay/ingress.ts'
import { speechOf } from './first-bytes.ts'

/** A request for the relay's WebSocket, whose head was read. */
export interface UpgradeRequest {
  socket: Socket | TLSSocket
  /** The TCP socket below. */
  raw: Socket
  head: RequestHead
  /** What was read behind the head. */
  rest: Uint8Array
}

export interface WebsocketDoor {
  peer: PeerInfo
  accept: (link: Link, peer: PeerInfo, head?: Uint8Array) => void
  tls: ServerTls
  isTlsForced: boolean
  /** Largest message in bytes once a first message was accepted, and before that. */
  maxMessageBytes: number
  maxMessageBytesBeforeLogin: number
}

/**
 * Upgrades, looks at the first byte inside (stock frpc's default for `websocket` is TLS in there) and hands the
 * link on. Rejects with WEBSOCKET_UPGRADE when the request was answered with a refusal, and with another code when
 * the connection has to be destroyed. Resolves when the link has a reader.
 */
export async function acceptWebsocket(request: UpgradeRequest, door: WebsocketDoor): Promise<void> {
  const { socket, raw, head, rest } = request
  const upgrade = { method: head.method, fields: headerFields(head.fields) }
  const maxMessageBytes = door.maxMessageBytesBeforeLogin
  const link = acceptUpgrade(upgrade, socket, rest.slice(), { raw, maxMessageBytes })
  const onAccepted = (): void => {
    link.maxMessageBytes = door.maxMessageBytes
  }
  const peer: PeerInfo = { ...door.peer, onAccepted }
  const tlsHead = await firstSpeech(link, (first) => {
    const speech = speechOf(first[0] ?? 0)
    if (speech === 'tls') return first
    if (speech === 'marked-tls') return first.subarray(1)
    if (door.isTlsForced && !peer.isEncrypted) {
      throw new FrpError('NOT_SUPPORTED', 'no TLS inside the WebSocket, which transport.tls.force demands')
    }
    door.accept(link, peer, first)
    return undefined
  })
  if (tlsHead === undefined) return
  const inside = await door.tls.accept(duplexOf(prefixed(link, tlsHead)))
  door.accept(socketStream(inside, { raw }), { ...peer, isEncrypted: true })
}

/** Calls `take` with a copy of the first bytes; who gives bytes back gets the link paused, to read on from there. */
function firstSpeech(
  link: WebsocketLink,
  take: (first: Uint8Array) => Uint8Array | undefined,
): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    const waiting: StreamHandler = {
      onData(chunk) {
        try {
          const head = take(chunk.slice())
          if (head !== undefined) link.pause()
          resolve(head)
        } catch (error) {
          reject(error)
        }
        return true
      },
      onEnd: () => reject(new FrpError('LINK_CLOSED', 'the WebSocket ended before its first byte')),
      onDrain() {
        // Nothing was written.
      },
      onClose: (error) => reject(error ?? new FrpError('LINK_CLOSED', 'the WebSocket closed before its first byte')),
    }
    link.attach(waiting)
  })
}

function headerFields(fields: Fields): HeaderFields {
  const found: Record<string, string[]> = Object.create(null)
  fields.names.forEach((name, index) => {
    const key = name.toLowerCase()
    found[key] = [...(found[key] ?? []), fields.values[index] ?? '']
  })
  return found
}
