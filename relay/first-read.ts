import { FrpError } from '../contract/errors.ts'
import type { Deadline, Runtime } from '../contract/runtime.ts'
import { type ByteStream, READ_ONLY, type StreamHandler } from '../protocol/stream/byte-stream.ts'

/** How long a user may go on sending after an answer that ends the connection. */
const LINGER_MS = 2_000

export interface FirstReadOptions {
  runtime: Runtime
  /** From here to the answer of `look`. */
  timeoutMs: number
  /**
   * Gets each chunk; `true`: it has seen enough, and nobody reads on until the next `attach`. What it throws ends
   * the connection.
   */
  look: (chunk: Uint8Array) => boolean
  /** Why the connection was ended before `look` had seen enough. */
  onRefused: (error: FrpError) => void
}

/** Reads the first bytes of a user's connection, to find out where it is to go. */
export class FirstRead implements StreamHandler {
  private readonly user: ByteStream
  private readonly options: FirstReadOptions
  private readonly deadline: Deadline
  private isOver = false

  constructor(user: ByteStream, options: FirstReadOptions) {
    this.user = user
    this.options = options
    const { timeoutMs } = options
    this.deadline = options.runtime.after(timeoutMs, () =>
      this.refuse(new FrpError('TIMEOUT', `nothing to act on within ${timeoutMs / 1000} s`)),
    )
  }

  onData(chunk: Uint8Array): boolean {
    try {
      if (this.options.look(chunk)) this.over()
    } catch (error) {
      if (!(error instanceof FrpError)) throw error
      this.refuse(error)
    }
    return true
  }

  onEnd(): void {
    this.refuse(new FrpError('LINK_CLOSED', 'the connection ended before it said where it is to go'))
  }

  onDrain(): void {
    // Nothing is written here.
  }

  onClose(): void {
    this.over()
  }

  private over(): void {
    this.isOver = true
    this.deadline.cancel()
  }

  private refuse(error: FrpError): void {
    if (this.isOver) return
    this.over()
    this.options.onRefused(error)
    this.user.destroy(error)
  }
}

/** Writes a last answer and ends the connection; what still comes is dropped for a while, so that the answer arrives. */
export function answerAndEnd(user: ByteStream, answer: Uint8Array, runtime: Runtime): void {
  const late = runtime.after(LINGER_MS, () =>
    user.destroy(new FrpError('TIMEOUT', 'the user did not close after the answer')),
  )
  user.write(answer, READ_ONLY)
  user.end()
  user.attach({
    onData: () => true,
    onEnd: () => undefined,
    onDrain: () => undefined,
    onClose: () => late.cancel(),
  })
  user.resume()
}
