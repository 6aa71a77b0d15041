import { Duplex } from 'node:stream'
import { FrpError } from '../contract/errors.ts'
import { SMALL_WRITE } from '../protocol/limits.ts'
import { type ByteStream, READ_ONLY, type StreamHandler } from '../protocol/stream/byte-stream.ts'
import { Inlet } from '../protocol/stream/inlet.ts'
import { plainBytes } from './bytes.ts'

/**
 * A Node Duplex over `stream`, whose only reader it becomes: for TLS inside a WebSocket. It copies what it
 * reads, so it is for slow paths. Half-close and errors pass in both directions; a Duplex destroyed before its
 * end was written resets the stream.
 */
export function duplexOf(stream: ByteStream): Duplex {
  return new StreamDuplex(stream)
}

/** A ByteStream over any Node Duplex (an ssh channel); `net.Socket` and `TLSSocket` have a faster one of their own. */
export function streamOf(duplex: Duplex): ByteStream {
  return new DuplexStream(duplex)
}

class StreamDuplex extends Duplex implements StreamHandler {
  private readonly stream: ByteStream
  private isAttached = false
  private isStreamClosed = false
  private isEndSent = false
  private lent: ((error?: Error) => void) | undefined

  constructor(stream: ByteStream) {
    super({ allowHalfOpen: true })
    this.stream = stream
  }

  override _construct(done: (error?: Error | null) => void): void {
    done()
    // Not in the constructor: what waits is delivered inside attach, before anyone could listen.
    this.attachOnce()
  }

  override _read(): void {
    if (this.isAttached) this.stream.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.lent = done
    if (this.stream.write(plainBytes(chunk), READ_ONLY)) this.onDrain()
  }

  override _final(done: (error?: Error) => void): void {
    this.isEndSent = true
    this.stream.end()
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // After end() bytes may still be on their way down there: a destroy would drop them. What comes is discarded.
    if (!this.isStreamClosed && (error !== null || !this.isEndSent)) this.stream.destroy(error ?? undefined)
    else if (!this.isStreamClosed) this.stream.resume()
    done(error)
  }

  onData(chunk: Uint8Array): boolean {
    if (!this.destroyed && !this.push(Buffer.from(chunk))) this.stream.pause()
    return true
  }

  onEnd(): void {
    if (!this.destroyed) this.push(null)
  }

  onDrain(): void {
    const done = this.lent
    this.lent = undefined
    done?.()
  }

  onClose(error?: Error): void {
    this.isStreamClosed = true
    const done = this.lent
    this.lent = undefined
    done?.(error ?? new FrpError('STREAM_CUT', 'the stream below closed'))
    if (error !== undefined) this.destroy(error)
  }

  private attachOnce(): void {
    this.isAttached = true
    this.stream.attach(this)
  }
}

class DuplexStream implements ByteStream {
  private readonly duplex: Duplex
  private readonly inlet = new Inlet(() => this.released())
  private isEnded = false
  private lentChunks = 0
  private problem: Error | undefined

  constructor(duplex: Duplex) {
    this.duplex = duplex
    duplex.on('data', (chunk: Buffer) => {
      // Node's memory, given away for good: only the reader's wish to wait counts.
      if (!this.inlet.push(plainBytes(chunk), 0) && !this.inlet.isOpen) this.duplex.pause()
    })
    duplex.on('end', () => {
      this.inlet.end()
      this.closeIfDone()
    })
    duplex.on('error', (error) => {
      this.problem = error
    })
    duplex.on('close', () => this.closed())
  }

  write(chunk: Uint8Array): boolean {
    if (this.isEnded || this.inlet.isClosed || this.duplex.destroyed) return true
    if (chunk.length <= SMALL_WRITE && !this.duplex.writableNeedDrain) {
      this.duplex.write(Buffer.from(chunk))
      return true
    }
    this.lentChunks += 1
    this.duplex.write(chunk, this.drained)
    return false
  }

  end(): void {
    if (this.isEnded || this.inlet.isClosed) return
    this.isEnded = true
    this.duplex.end(() => this.closeIfDone())
  }

  destroy(reason?: Error): void {
    if (this.inlet.isClosed) return
    this.duplex.destroy(reason)
    this.inlet.close(reason ?? new FrpError('STREAM_ABORTED', 'stream aborted by this side'))
  }

  pause(): void {
    this.inlet.pause()
    this.duplex.pause()
  }

  resume(): void {
    this.inlet.resume()
    this.released()
    this.closeIfDone()
  }

  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.inlet.attach(handler, head)
    this.released()
    this.closeIfDone()
  }

  private released(): void {
    if (this.inlet.isOpen) this.duplex.resume()
  }

  private readonly drained = (error?: Error | null): void => {
    if (this.lentChunks === 0) return
    this.lentChunks -= 1
    if (error === undefined || error === null) this.inlet.drained()
  }

  private closed(): void {
    if (this.problem !== undefined) this.inlet.close(this.problem)
    else if (!this.duplex.readableEnded || !this.duplex.writableFinished) {
      this.inlet.close(new FrpError('STREAM_CUT', 'the stream below closed'))
    } else this.closeIfDone()
  }

  private closeIfDone(): void {
    if (this.inlet.endDelivered && this.duplex.writableFinished) this.inlet.close(this.problem)
  }
}
