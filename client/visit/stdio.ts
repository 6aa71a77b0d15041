import { closeSync, openSync } from 'node:fs'
import { devNull } from 'node:os'
import { Duplex, type Readable, type Writable } from 'node:stream'
import { FrpError } from '../../contract/errors.ts'
import { streamOf } from '../../node/duplex.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'

const STDOUT_FD = 1

/** Standard input and output as one stream, for ssh's ProxyCommand: the end of one half leaves the other open. */
export function stdioStream(): ByteStream {
  return streamOf(new Stdio(process.stdin, process.stdout, closeStdout))
}

/** `Duplex.from` would call a write done before its bytes are written, and they would be overwritten. */
class Stdio extends Duplex {
  private readonly input: Readable
  private readonly output: Writable
  private readonly onOutputEnd: () => void

  constructor(input: Readable, output: Writable, onOutputEnd: () => void) {
    super({ allowHalfOpen: true })
    this.input = input
    this.output = output
    this.onOutputEnd = onOutputEnd
    input.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) input.pause()
    })
    input.pause()
    input.on('end', () => this.push(null))
    input.on('error', (error) => this.destroy(error))
    input.on('close', () => {
      if (!input.readableEnded) this.destroy(new FrpError('STREAM_CUT', 'standard input was closed'))
    })
    output.on('error', (error) => this.destroy(error))
  }

  override _read(): void {
    this.input.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.output.write(chunk, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.output.end(() => {
      this.onOutputEnd()
      done()
    })
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.input.destroy()
    done(error)
  }
}

/**
 * Node never closes its standard output, so who reads it would see the end only with that of the process. The
 * number is taken again at once: nothing else that is opened may become what others believe to be stdout.
 */
function closeStdout(): void {
  if (process.platform === 'win32' || process.stdout.isTTY) return
  closeSync(STDOUT_FD)
  openSync(devNull, 'w')
}
