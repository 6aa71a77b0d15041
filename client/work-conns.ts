import { FrpError, messageOf } from '../contract/errors.ts'
import type { Log } from '../contract/runtime.ts'
import type { WireProtocol } from '../protocol/frp/codec.ts'
import { MessageChannel, type MessageHandler } from '../protocol/frp/message-channel.ts'
import type { OutgoingOf, StartWorkConn } from '../protocol/frp/messages.ts'
import { streamCodec } from '../protocol/frp/opening.ts'
import type { ByteStream } from '../protocol/stream/byte-stream.ts'
import { prefixed } from '../protocol/stream/prefixed.ts'
import type { Carrier } from './carrier.ts'

/** Connections being dialled at a time; further requests wait for their turn. */
const MAX_DIALING = 256
/** Connections that wait for a user; a relay keeps some tens (poolCount + 10). Further requests wait. */
const MAX_WAITING = 2_048
/** Requests that wait for their turn: only a number, but an honest relay asks for no more than it has users. */
const MAX_REQUESTS = 16_384

/** What the work connections of one session need. */
export interface WorkConnsParts {
  carrier: Carrier
  log: Log
  wire: WireProtocol
  /** Rejects when its proof cannot be had; a promise only where somebody else has to be asked for it. */
  hello(): OutgoingOf<'NewWorkConn'> | Promise<OutgoingOf<'NewWorkConn'>>
  /** A user came; must attach to `stream` before it returns. */
  onStart(stream: ByteStream, start: StartWorkConn): void
}

/** A connection that waits for a user; its channel is known a moment later than it is. */
interface Waiting {
  channel: MessageChannel | undefined
}

/** Opens the work connections that the relay asks for, within bounds, and waits on each for StartWorkConn. */
export class WorkConns {
  private readonly parts: WorkConnsParts
  private readonly waiting = new Set<Waiting>()
  private requests = 0
  private dialing = 0
  private isClosed = false

  constructor(parts: WorkConnsParts) {
    this.parts = parts
  }

  /** The relay wants one more. */
  request(): void {
    if (this.requests < MAX_REQUESTS) this.requests += 1
    this.serve()
  }

  /** Drops those that wait; what was started belongs to its proxy. */
  close(): void {
    this.isClosed = true
    const reason = new FrpError('SESSION_ENDED', 'the session is over')
    for (const { channel } of [...this.waiting]) channel?.destroy(reason)
  }

  private get held(): number {
    return this.waiting.size + this.dialing
  }

  private serve(): void {
    while (!this.isClosed && this.requests > 0 && this.dialing < MAX_DIALING && this.held < MAX_WAITING) {
      this.requests -= 1
      try {
        this.open()
      } catch (error) {
        this.failed(error)
      }
    }
  }

  /** The proof first: a relay does not wait for long for the first message of a stream. Promises only where they must be. */
  private open(): void {
    const hello = this.parts.hello()
    if (hello instanceof Promise) this.openLater(hello)
    else {
      const stream = this.parts.carrier.open()
      if (stream instanceof Promise) this.openLater(hello, stream)
      else this.opened(stream, hello)
    }
  }

  private openLater(
    hello: OutgoingOf<'NewWorkConn'> | Promise<OutgoingOf<'NewWorkConn'>>,
    opening?: Promise<ByteStream>,
  ): void {
    const both = async (): Promise<void> => {
      const proven = await Promise.resolve(hello).catch((cause: unknown) => {
        throw new FrpError('AUTH_FAILED', `error during NewWorkConn authentication: ${messageOf(cause)}`, { cause })
      })
      this.opened(await (opening ?? this.parts.carrier.open()), proven)
    }
    this.dialing += 1
    both()
      .catch((error: unknown) => this.failed(error))
      .finally(() => {
        this.dialing -= 1
        this.serve()
      })
  }

  private opened(stream: ByteStream, hello: OutgoingOf<'NewWorkConn'>): void {
    if (this.isClosed) stream.destroy(new FrpError('SESSION_ENDED', 'the session is over'))
    else this.offer(stream, hello)
  }

  private failed(error: unknown): void {
    if (!this.isClosed) this.parts.log.warn(`start new connection to server error: ${messageOf(error)}`)
  }

  private offer(stream: ByteStream, hello: OutgoingOf<'NewWorkConn'>): void {
    const entry: Waiting = { channel: undefined }
    this.waiting.add(entry)
    // Paused until the channel is known: a hostile relay may answer before we said a word.
    stream.pause()
    const handler: MessageHandler = {
      onMessage: (message) => {
        this.waiting.delete(entry)
        if (message.type === 'StartWorkConn') this.started(channel, message)
        else channel.destroy(new FrpError('MESSAGE_UNEXPECTED', `${message.type} came where StartWorkConn was due`))
        this.serve()
      },
      onClose: (error) => {
        this.parts.log.trace(`work connection closed before response StartWorkConn message: ${closeText(error)}`)
        if (this.waiting.delete(entry)) this.serve()
      },
    }
    const channel = new MessageChannel(stream, handler, { codec: streamCodec(this.parts.wire) })
    entry.channel = channel
    channel.send(hello)
    stream.resume()
  }

  private started(channel: MessageChannel, start: StartWorkConn): void {
    if (start.error !== '') {
      this.parts.log.error(`StartWorkConn contains error: ${start.error}`)
      channel.end()
      return
    }
    const { stream, head } = channel.detach()
    this.parts.onStart(prefixed(stream, head), start)
  }
}

function closeText(error: Error | undefined): string {
  return error === undefined ? 'EOF' : messageOf(error)
}
