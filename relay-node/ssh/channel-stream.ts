import type { ServerChannel } from 'ssh2'
import { FrpError } from '../../contract/errors.ts'
import { plainBytes } from '../../node/bytes.ts'
import type { ByteStream, StreamHandler } from '../../protocol/stream/byte-stream.ts'
import { Inlet } from '../../protocol/stream/inlet.ts'
import type { Carrier, Passenger } from './carrier.ts'

/**
 * An ssh channel as a stream. EOF is a FIN and ends one direction (ssh2's own `end` would close both). CLOSE with both
 * directions ended is the clean end; before that it is our reset. A peer's CLOSE without EOF is a FIN, since some
 * clients (x/crypto/ssh) end no other way; what is written after it resets the stream, as in TCP.
 */
export class ChannelStream implements ByteStream, Passenger {
  heldBytes = 0
  private readonly channel: ServerChannel
  private readonly carrier: Carrier
  private readonly inlet = new Inlet(() => this.released())
  /** Waits for room below, or for the peer's window. */
  private lent: Uint8Array | undefined
  private isLentToChannel = false
  private isEnded = false
  private isEofSent = false
  private isPeerClosed = false

  constructor(channel: ServerChannel, carrier: Carrier) {
    this.channel = channel
    this.carrier = carrier
    carrier.add(this)
    holdWindowWhilePaused(channel, () => this.counted())
    channel.on('data', (chunk: Buffer) => {
      this.counted()
      // ssh2's memory, given away for good: only the reader's wish to wait counts.
      if (!this.inlet.push(plainBytes(chunk), 0) && !this.inlet.isOpen) channel.pause()
    })
    channel.on('end', () => {
      this.inlet.end()
      this.closeIfDone()
    })
    channel.on('error', (error: Error) => this.destroy(error))
    channel.on('close', () => this.onPeerClosed())
  }

  write(chunk: Uint8Array): boolean {
    if (this.isEnded || this.inlet.isClosed) return true
    if (this.isPeerClosed) {
      this.destroy(new FrpError('STREAM_RESET', 'the ssh client closed the channel'))
      return true
    }
    if (this.carrier.isFull) {
      this.lent = chunk
      this.carrier.waitForRoom(this)
      return false
    }
    return this.send(chunk)
  }

  end(): void {
    if (this.isEnded || this.inlet.isClosed) return
    this.isEnded = true
    if (this.lent === undefined) this.sendEof()
    this.closeIfDone()
  }

  destroy(reason?: Error): void {
    if (this.inlet.isClosed) return
    this.channel.close()
    this.close(reason ?? new FrpError('STREAM_ABORTED', 'stream aborted by this side'))
  }

  pause(): void {
    this.inlet.pause()
    this.channel.pause()
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

  onRoom(): void {
    const chunk = this.lent
    if (chunk !== undefined && this.send(chunk)) this.drained()
  }

  /** True: ssh2 has copied it into packets. False: the peer's window is used up, and ssh2 keeps the rest. */
  private send(chunk: Uint8Array): boolean {
    const isTaken = this.carrier.write(chunk.length, () => {
      this.channel.write(chunk, () => {
        if (this.isLentToChannel && this.lent === chunk) this.drained()
      })
      return this.channel.writableLength === 0
    })
    this.isLentToChannel = !isTaken
    this.lent = isTaken ? undefined : chunk
    return isTaken
  }

  private drained(): void {
    this.lent = undefined
    this.isLentToChannel = false
    if (this.isEnded) this.sendEof()
    this.inlet.drained()
    this.closeIfDone()
  }

  private sendEof(): void {
    this.isEofSent = true
    if (!this.isPeerClosed) this.channel.eof()
  }

  private onPeerClosed(): void {
    this.isPeerClosed = true
    if (this.lent !== undefined) this.destroy(new FrpError('STREAM_RESET', 'the ssh client closed the channel'))
    else this.closeIfDone()
  }

  private closeIfDone(): void {
    if (!this.inlet.endDelivered || !this.isEofSent || this.inlet.isClosed) return
    this.channel.close()
    this.close()
  }

  private close(error?: Error): void {
    this.carrier.delete(this)
    this.inlet.close(error)
    // What still comes is read and dropped.
    this.channel.resume()
    this.counted()
  }

  private released(): void {
    if (this.inlet.isOpen) this.channel.resume()
  }

  private counted(): void {
    const now = this.inlet.isClosed ? 0 : this.channel.readableLength
    const difference = now - this.heldBytes
    this.heldBytes = now
    this.carrier.holds(difference)
  }
}

/**
 * ssh2 grants new window for what lies unread in its 2 MiB buffer. Told that the buffer is full, it waits until it is
 * read: one window is then all that a client can make us hold.
 */
function holdWindowWhilePaused(channel: ServerChannel, onPush: () => void): void {
  const { push } = channel
  channel.push = (chunk: unknown, encoding?: BufferEncoding) => {
    const wantsMore = push.call(channel, chunk, encoding)
    onPush()
    return wantsMore && !channel.isPaused()
  }
}
