import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { FrpError } from '../contract/errors.ts'
import { fastWebsocket } from './fast-websocket.ts'
import { type SocketOptions, socketStream } from './socket.ts'
import { canUseReadBuffer } from './socket-handle.ts'
import { portableWebsocket } from './websocket.ts'
import {
  type HeaderFields,
  readUpgradeAnswer,
  type UpgradeTarget,
  upgradeAnswer,
  upgradeRequest,
} from './websocket-handshake.ts'
import type { WebsocketLink, WebsocketOptions } from './websocket-link.ts'

/** The fast framing where sockets can read into a buffer of ours; `EDGEFRP_WEBSOCKET` = `ws` or `fast` decides otherwise. */
const USES_FAST = process.env['EDGEFRP_WEBSOCKET'] === 'fast' || (canUseReadBuffer() && !isForcedToWs())

function isForcedToWs(): boolean {
  return process.env['EDGEFRP_WEBSOCKET'] === 'ws'
}

/** A socket that was upgraded as a Link, by whichever of the two ways this runtime allows. */
function upgradedLink(
  socket: Socket | TLSSocket,
  options: WebsocketOptions,
  socketOptions: SocketOptions = {},
): WebsocketLink {
  if (!USES_FAST) return portableWebsocket(socket, options)
  return fastWebsocket(socketStream(socket, { ...socketOptions, isTunnel: true }), options)
}

/** Method and fields of a request whose head was read. */
export interface UpgradeHead {
  method: string
  fields: HeaderFields
}

/** Head of a request as node:http parsed it, for `acceptUpgrade`. */
export function upgradeHead(request: IncomingMessage): UpgradeHead {
  return { method: request.method ?? '', fields: request.headers }
}

/**
 * A relay's side: answers the request and gives the link, or answers why not, ends the socket and throws
 * WEBSOCKET_UPGRADE. `head`: what was read behind the request's head. Path and host are the caller's to check.
 */
export function acceptUpgrade(
  request: UpgradeHead,
  socket: Socket | TLSSocket,
  head: Uint8Array,
  options: { maxMessageBytes?: number } & SocketOptions = {},
): WebsocketLink {
  const answer = upgradeAnswer(request.method, request.fields)
  if (!answer.isAccepted) {
    endWith(socket, answer.head)
    throw new FrpError('WEBSOCKET_UPGRADE', `WebSocket upgrade refused with ${answer.status}: ${answer.reason}`)
  }
  socket.write(answer.head)
  const { maxMessageBytes } = options
  const linkOptions = { role: 'server', isOwnPeer: answer.isOwnPeer, head } as const
  return upgradedLink(
    socket,
    maxMessageBytes === undefined ? linkOptions : { ...linkOptions, maxMessageBytes },
    options,
  )
}

function endWith(socket: Duplex, bytes: Uint8Array): void {
  // The peer may be gone already; there is nobody left to tell.
  socket.on('error', () => {})
  socket.end(bytes, () => socket.destroy())
}

/**
 * A client's side: sends frpc's request and gives the link when the answer is acceptable. Rejects with
 * WEBSOCKET_UPGRADE (or the reason of `signal`), and the socket is then destroyed.
 */
export function openWebsocket(
  socket: Socket | TLSSocket,
  target: UpgradeTarget & { maxMessageBytes?: number } & SocketOptions,
  signal?: AbortSignal,
): Promise<WebsocketLink> {
  return new Promise((resolve, reject) => {
    const { head, key } = upgradeRequest(target)
    let received = Buffer.alloc(0)
    const release = () => {
      socket.off('readable', onReadable).off('error', onError).off('end', onCut).off('close', onCut)
      signal?.removeEventListener('abort', onAbort)
    }
    const fail = (error: unknown) => {
      release()
      // A late error of a socket that is given up.
      socket.on('error', () => {})
      socket.destroy()
      reject(error)
    }
    const onError = (cause: Error) =>
      fail(new FrpError('WEBSOCKET_UPGRADE', `WebSocket upgrade: ${cause.message}`, { cause }))
    const onCut = () =>
      fail(new FrpError('WEBSOCKET_UPGRADE', 'WebSocket upgrade: the connection ended before the answer'))
    const onAbort = () => fail(signal?.reason)
    const onReadable = () => {
      for (let bytes = socket.read(); Buffer.isBuffer(bytes); bytes = socket.read()) {
        received = Buffer.concat([received, bytes])
      }
      try {
        const result = readUpgradeAnswer(received, key)
        if (result === undefined) return
        release()
        resolve(clientLink(socket, target, result.isOwnPeer, received.subarray(result.headBytes)))
      } catch (error) {
        fail(error)
      }
    }
    if (signal?.aborted) return fail(signal.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    socket.on('readable', onReadable).on('error', onError).on('end', onCut).on('close', onCut)
    socket.write(head)
  })
}

function clientLink(
  socket: Socket | TLSSocket,
  target: { maxMessageBytes?: number } & SocketOptions,
  isOwnPeer: boolean,
  rest: Buffer,
): WebsocketLink {
  const { maxMessageBytes } = target
  // A copy of its own memory: the reader may keep it.
  const linkOptions = { role: 'client', isOwnPeer, head: new Uint8Array(rest) } as const
  return upgradedLink(socket, maxMessageBytes === undefined ? linkOptions : { ...linkOptions, maxMessageBytes }, target)
}
