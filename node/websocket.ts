import type { Duplex } from 'node:stream'
import { WebSocket } from 'ws'
import { FrpError } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import { MAX_WEBSOCKET_FRAGMENTS, MAX_WEBSOCKET_MESSAGE_BYTES_BEFORE_LOGIN, SMALL_WRITE } from '../protocol/limits.ts'
import type { StreamHandler } from '../protocol/stream/byte-stream.ts'
import { Inlet } from '../protocol/stream/inlet.ts'
import { Batch } from './batch.ts'
import {
  CLOSE_NORMAL,
  CLOSE_RESET,
  closeError,
  PingClock,
  type WebsocketLink,
  type WebsocketOptions,
} from './websocket-link.ts'

/** Small writes that are gathered while the kernel takes no more: then the writer has to wait. */
const MAX_GATHERED_WHILE_BACKED_UP = 16 * 1024

/** An upgraded socket as a Link by the `ws` package: portable, and the oracle of the fast one. */
export function portableWebsocket(socket: Duplex, options: WebsocketOptions): WebsocketLink {
  return websocketLink(upgraded(socket, options), options)
}

/** An open `ws` socket as a Link; it takes the socket over. `head` of the options is not used. */
export function websocketLink(ws: WebSocket, options: WebsocketOptions): WebsocketLink {
  return new PortableWebsocket(ws, options)
}

/** What WebSocketServer does with a socket after the upgrade; both roles, without a second handshake. */
interface UpgradableWebSocket {
  _isServer: boolean
  setSocket(socket: Duplex, head: Buffer, options: Record<string, unknown>): void
}

function upgraded(socket: Duplex, options: WebsocketOptions): WebSocket {
  // The types know neither a null address nor setSocket; `ws` is pinned and bundled.
  const Unconnected = WebSocket as unknown as new (
    address: null,
    protocols: undefined,
    options: { autoPong: true },
  ) => WebSocket
  const ws = new Unconnected(null, undefined, { autoPong: true })
  const inner = ws as unknown as UpgradableWebSocket
  inner._isServer = options.role === 'server'
  inner.setSocket(socket, Buffer.from(options.head ?? []), {
    allowSynchronousEvents: true,
    maxPayload: MAX_WEBSOCKET_MESSAGE_BYTES_BEFORE_LOGIN,
    maxFragments: MAX_WEBSOCKET_FRAGMENTS,
    // Stock frpc before 0.70 sends its bytes as text.
    skipUTF8Validation: true,
    ...(options.isOwnPeer ? { generateMask: zeroKey } : {}),
  })
  return ws
}

/** Between our own ends masking protects nothing; `ws` then leaves the bytes alone. */
function zeroKey(key: Buffer): void {
  key.fill(0)
}

class PortableWebsocket implements WebsocketLink {
  readonly isOwnPeer: boolean
  onPong: (() => void) | undefined
  private readonly ws: WebSocket
  private readonly inlet = new Inlet(() => {})
  private readonly batch = new Batch()
  private pings: PingClock | undefined
  private isCorked = false
  private isLent = false
  private isEnded = false
  private isPeerEnded = false
  /** Both directions of the carrier are over, cleanly. */
  private isGone = false

  constructor(ws: WebSocket, options: WebsocketOptions) {
    this.ws = ws
    this.isOwnPeer = options.isOwnPeer
    this.maxMessageBytes = options.maxMessageBytes ?? MAX_WEBSOCKET_MESSAGE_BYTES_BEFORE_LOGIN
    ws.binaryType = 'nodebuffer'
    ws.on('message', (message, isBinary) => this.onMessage(message as Buffer, isBinary))
    ws.on('ping', () => this.heard())
    ws.on('pong', () => {
      this.heard()
      this.onPong?.()
    })
    ws.on('error', (cause) => this.close(errorOf(cause)))
    ws.on('close', (code) => this.onWsClose(code))
    // Nobody reads yet.
    ws.pause()
  }

  get maxMessageBytes(): number {
    return this.receiver._maxPayload
  }

  /** Told to `ws` itself, which gathers a message before it hands it over. */
  set maxMessageBytes(bytes: number) {
    this.receiver._maxPayload = bytes
  }

  private get receiver(): { _maxPayload: number } {
    // The types do not know it; `ws` is pinned and bundled.
    return (this.ws as unknown as { _receiver: { _maxPayload: number } })._receiver
  }

  write(chunk: Uint8Array): boolean {
    if (this.isEnded || this.inlet.isClosed || chunk.length === 0) return true
    if (this.isGone) {
      this.close(closeError(CLOSE_NORMAL))
      return true
    }
    if (this.isCorked && chunk.length <= SMALL_WRITE) return this.gather(chunk)
    this.flush()
    this.send(chunk)
    if (this.ws.bufferedAmount === 0) return true
    this.isLent = true
    return false
  }

  end(): void {
    if (this.isEnded || this.inlet.isClosed) return
    this.flush()
    this.isEnded = true
    if (!this.isOwnPeer) this.ws.close(CLOSE_NORMAL)
    else if (!this.isGone) this.ws.send('')
    this.closeIfDone()
  }

  destroy(reason?: Error): void {
    if (this.inlet.isClosed) return
    this.close(reason ?? new FrpError('STREAM_ABORTED', 'WebSocket aborted by this side'))
    if (this.isOwnPeer) this.ws.close(CLOSE_RESET)
    this.ws.terminate()
  }

  pause(): void {
    this.inlet.pause()
    this.ws.pause()
  }

  resume(): void {
    this.inlet.resume()
    this.afterReader()
  }

  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.inlet.attach(handler, head)
    this.afterReader()
  }

  cork(): void {
    if (this.isCorked) return
    this.isCorked = true
    setImmediate(() => {
      this.isCorked = false
      this.flush()
    })
  }

  ping(): void {
    if (this.ws.readyState === WebSocket.OPEN) this.ws.ping()
  }

  startPings(intervalMs: number, timeoutMs: number, runtime: Pick<Runtime, 'after'>): void {
    this.pings?.stop()
    if (!this.inlet.isClosed) this.pings = new PingClock(this, intervalMs, timeoutMs, runtime)
  }

  get isHeld(): boolean {
    return !this.inlet.isOpen
  }

  private onMessage(message: Buffer, isBinary: boolean): void {
    this.heard()
    if (this.inlet.isClosed || this.isPeerEnded) return
    if (message.length === 0) {
      if (!isBinary && this.isOwnPeer) this.peerEnded()
      return
    }
    // Each message is memory of its own: a reader may keep it for good.
    this.inlet.push(new Uint8Array(message.buffer, message.byteOffset, message.length), 0)
    // A reader that was paused and resumed inside could not start the socket while it was called.
    if (!this.inlet.isOpen) this.ws.pause()
    else if (this.ws.isPaused) this.ws.resume()
  }

  private peerEnded(): void {
    this.isPeerEnded = true
    this.inlet.end()
    this.closeIfDone()
  }

  private onWsClose(code: number): void {
    if (this.inlet.isClosed) return
    if (code !== CLOSE_NORMAL) {
      this.close(code === 1006 ? closeError(undefined) : closeError(code))
      return
    }
    this.isGone = true
    if (this.isPeerEnded) this.closeIfDone()
    else this.peerEnded()
  }

  private afterReader(): void {
    if (this.inlet.isOpen && this.ws.isPaused) this.ws.resume()
    this.closeIfDone()
  }

  private closeIfDone(): void {
    if (this.inlet.isClosed || !this.isEnded || !this.inlet.endDelivered) return
    this.ws.close(CLOSE_NORMAL)
    this.close()
  }

  private close(error?: Error): void {
    this.pings?.stop()
    this.inlet.close(error)
    // What still comes is dropped; without a flow the socket would never see its end.
    this.ws.resume()
  }

  private gather(chunk: Uint8Array): boolean {
    if (!this.batch.fits(chunk.length)) this.flush()
    this.batch.append(chunk)
    if (this.ws.bufferedAmount === 0 || this.batch.length < MAX_GATHERED_WHILE_BACKED_UP) return true
    this.isLent = true
    return false
  }

  private flush(): void {
    if (this.batch.length === 0 || this.isEnded || this.inlet.isClosed) return
    this.send(this.batch.take())
    if (this.ws.bufferedAmount === 0) this.batch.allSent()
  }

  private send(chunk: Uint8Array): void {
    this.ws.send(chunk, { binary: true, compress: false }, this.onSent)
  }

  private readonly onSent = (error?: Error | null) => {
    if (error || this.ws.bufferedAmount > 0) return
    this.batch.allSent()
    if (!this.isLent) return
    this.isLent = false
    this.inlet.drained()
  }

  private heard(): void {
    if (this.pings !== undefined) this.pings.hasHeard = true
  }
}

function errorOf(cause: Error & { code?: string }): FrpError {
  if (cause.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') {
    return new FrpError('WEBSOCKET_TOO_LARGE', cause.message, { cause })
  }
  if (cause.code?.startsWith('WS_ERR_')) return new FrpError('WEBSOCKET_PROTOCOL', cause.message, { cause })
  return new FrpError('STREAM_RESET', `connection broken: ${cause.message}`, { cause })
}
