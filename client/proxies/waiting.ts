import { FrpError } from '../../contract/errors.ts'
import type { StreamHandler } from '../../protocol/stream/byte-stream.ts'

/** Holds a paused stream until its reader is there (the local service is dialled): only its close can come. */
export class Waiting implements StreamHandler {
  isClosed = false
  private readonly onClosed: (error: Error) => void

  constructor(onClosed: (error: Error) => void) {
    this.onClosed = onClosed
  }

  onData(): boolean {
    throw new TypeError('a paused stream delivers nothing')
  }

  onEnd(): void {
    throw new TypeError('a paused stream delivers nothing')
  }

  onDrain(): void {
    // Nothing was written.
  }

  onClose(error?: Error): void {
    this.isClosed = true
    this.onClosed(error ?? new FrpError('STREAM_CUT', 'the work connection is gone'))
  }
}
