import type net from 'node:net'
import tls from 'node:tls'
import { FrpError } from '../contract/errors.ts'
import { SMALL_WRITE } from '../protocol/limits.ts'
import type { Link, StreamHandler } from '../protocol/stream/byte-stream.ts'
import { Inlet } from '../protocol/stream/inlet.ts'
import { Batch } from './batch.ts'
import { type SocketReader, socketReader } from './socket-reader.ts'

/** Small writes that are gathered while the kernel takes no more: then the writer has to wait. */
const MAX_GATHERED_WHILE_BACKED_UP = 16 * 1024

export interface SocketOptions {
  /** The TCP socket below a TLS socket, where the caller has it: a reset goes out there. */
  raw?: net.Socket
  /** It carries the streams of many users. */
  isTunnel?: boolean
}

/**
 * A TCP, unix or TLS socket as a Link. It takes the socket over: bytes that the socket still buffers come first,
 * and nobody else may read, write or end it. FIN is a half-close both ways, `destroy` a TCP reset; what the
 * peer or the network breaks arrives as STREAM_RESET or STREAM_CUT.
 */
export function socketStream(socket: net.Socket | tls.TLSSocket, options: SocketOptions = {}): Link {
  return new SocketLink(socket, options)
}

/** Resets a connection whose Link, if it has one, is of no more interest. */
export function resetSocket(socket: net.Socket): void {
  whenResettable(socket, () => resetNow(socket))
}

/** While a FIN is on its way libuv refuses to reset (uv_tcp_close_reset), and Node then loses the open handle. */
function whenResettable(socket: net.Socket, run: () => void): void {
  const { writableEnded, writableFinished, writableLength } = socket
  if (writableEnded && !writableFinished && writableLength === 0) socket.once('finish', run)
  else run()
}

function resetNow(socket: net.Socket | undefined): void {
  try {
    socket?.resetAndDestroy()
    // By itself it waits until all that was written is sent.
    socket?.destroy()
  } catch {
    // Only TCP has a reset; a unix socket is closed, which its peer sees as a FIN.
  }
}

class SocketLink implements Link {
  private readonly socket: net.Socket
  private readonly raw: net.Socket | undefined
  private readonly reader: SocketReader
  private readonly inlet = new Inlet(() => this.reader.released())
  private readonly batch = new Batch()
  private isCorked = false
  /** The last `write` answered `false`. */
  private isLent = false
  private isEnded = false
  private isFinished = false

  constructor(socket: net.Socket, options: SocketOptions) {
    const isTls = socket instanceof tls.TLSSocket
    this.socket = socket
    this.raw = isTls ? options.raw : socket
    socket.allowHalfOpen = true
    // Messages are gathered here, so Nagle's wait would only add to it.
    socket.setNoDelay(true)
    socket.on('error', (error) => this.fail(error))
    socket.on('close', () => this.onSocketClose())
    socket.on('finish', () => {
      this.isFinished = true
      this.closeIfDone()
    })
    socket.on('end', () => this.onSocketEnd())
    this.reader = socketReader(socket, this.inlet, { isPlain: !isTls, isTunnel: options.isTunnel === true })
    if (socket.readableEnded) this.onSocketEnd()
    if (socket.destroyed) this.onSocketClose()
  }

  write(chunk: Uint8Array): boolean {
    if (this.isEnded || this.inlet.isClosed || chunk.length === 0) return true
    if (this.isCorked && chunk.length <= SMALL_WRITE) return this.gather(chunk)
    this.flush()
    this.socket.write(chunk, this.onWritten)
    // The kernel took it all, or libuv keeps the memory until the callback.
    if (this.socket.writableLength === 0) return true
    this.isLent = true
    return false
  }

  end(): void {
    if (this.isEnded || this.inlet.isClosed) return
    this.flush()
    this.isEnded = true
    if (this.isLastWord) this.closeAtOnce()
    else this.socket.end()
  }

  /** The peer has said all, and the kernel has all of ours: closing sends the same FIN as a half-close, for fewer calls. */
  private get isLastWord(): boolean {
    return this.raw === this.socket && this.socket.readableEnded && this.socket.writableLength === 0
  }

  private closeAtOnce(): void {
    this.isFinished = true
    this.socket.destroy()
    this.closeIfDone()
  }

  destroy(reason?: Error): void {
    if (this.inlet.isClosed) return
    this.close(reason ?? new FrpError('STREAM_ABORTED', 'connection aborted by this side'))
    whenResettable(this.socket, () => {
      resetNow(this.raw)
      this.socket.destroy()
    })
  }

  pause(): void {
    this.inlet.pause()
    this.reader.stop()
  }

  resume(): void {
    this.inlet.resume()
    this.reader.start()
    this.closeIfDone()
  }

  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.inlet.attach(handler, head)
    this.reader.start()
    this.closeIfDone()
  }

  cork(): void {
    if (this.isCorked) return
    this.isCorked = true
    setImmediate(this.uncork)
  }

  private readonly uncork = () => {
    this.isCorked = false
    this.flush()
  }

  private gather(chunk: Uint8Array): boolean {
    if (!this.batch.fits(chunk.length)) this.flush()
    this.batch.append(chunk)
    if (this.socket.writableLength === 0 || this.batch.length < MAX_GATHERED_WHILE_BACKED_UP) return true
    this.isLent = true
    return false
  }

  private flush(): void {
    if (this.batch.length === 0 || this.isEnded || this.inlet.isClosed) return
    this.socket.write(this.batch.take(), this.onWritten)
    if (this.socket.writableLength === 0) this.batch.allSent()
  }

  /** One function for all writes: Node then joins the calls of a turn. 'drain' would not come below the high-water mark. */
  private readonly onWritten = (error?: Error | null) => {
    if (error || this.socket.writableLength > 0) return
    this.batch.allSent()
    if (!this.isLent) return
    this.isLent = false
    this.inlet.drained()
  }

  private onSocketEnd(): void {
    this.inlet.end()
    this.closeIfDone()
  }

  private fail(cause: Error): void {
    if (this.inlet.isClosed) return
    this.close(new FrpError('STREAM_RESET', `connection broken: ${cause.message}`, { cause }))
  }

  private onSocketClose(): void {
    if (this.inlet.isClosed || (this.isFinished && this.socket.readableEnded)) return
    this.close(new FrpError('STREAM_CUT', 'connection closed before both directions had ended'))
  }

  private closeIfDone(): void {
    if (this.isFinished && this.inlet.endDelivered && !this.inlet.isClosed) this.close()
  }

  private close(error?: Error): void {
    this.reader.close()
    this.inlet.close(error)
  }
}
