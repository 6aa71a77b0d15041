import { Duplex } from 'node:stream'
import { asError } from '../contract/errors.ts'

/** A stream of the QUIC package: Web streams, each of which ends on its own. */
export interface QuicStream {
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
}

/**
 * Such a stream as a Duplex: the end of one half leaves the other open, a reset ends both. A peer that reads no more
 * (STOP_SENDING; a stock frp says so whenever it closes) still gets read to its end: what is written to it meanwhile is
 * lost, as over TCP, and at its end there is nothing left to do.
 */
export class QuicDuplex extends Duplex {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>
  private readonly writer: WritableStreamDefaultWriter<Uint8Array>
  private isStopped = false
  private isReadToEnd = false

  constructor(stream: QuicStream) {
    super({ allowHalfOpen: true })
    this.reader = stream.readable.getReader()
    this.writer = stream.writable.getWriter()
    this.writer.closed.catch(() => this.stopped())
  }

  override _read(): void {
    this.reader.read().then(
      ({ done, value }) => {
        if (!done) {
          this.push(value)
          return
        }
        this.isReadToEnd = true
        this.push(null)
        if (this.isStopped) this.end()
      },
      (error: unknown) => this.destroy(asError(error)),
    )
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.isStopped) done()
    // The package keeps the bytes until they fit its window, and the memory is ours again after `done`.
    else this.settle(this.writer.write(chunk), done)
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.isStopped) done()
    else this.settle(this.writer.close(), done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // Both do nothing to a half that ended; what they say then is of no interest.
    this.writer.abort(error ?? undefined).catch(() => undefined)
    this.reader.cancel(error ?? undefined).catch(() => undefined)
    done(error)
  }

  private settle(step: Promise<void>, done: (error?: Error | null) => void): void {
    step.then(
      () => done(),
      () => {
        this.stopped()
        // Whether it was a stop or the end of everything is what reading tells.
        done()
      },
    )
  }

  private stopped(): void {
    if (this.isStopped) return
    this.isStopped = true
    if (this.isReadToEnd) this.end()
  }
}
