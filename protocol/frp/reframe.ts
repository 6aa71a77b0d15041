import { Gathered } from '../../contract/bytes.ts'
import { FrpError } from '../../contract/errors.ts'
import { HEAD_ROOM } from '../limits.ts'
import type { ByteStream } from '../stream/byte-stream.ts'
import { type Fate, StreamWrapper } from '../stream/wrapper.ts'
import type { MessageCodec, WireProtocol } from './codec.ts'
import type { Message } from './messages.ts'
import { codecOf } from './opening.ts'
import { fitsUdpPacket } from './udp.ts'

/** What travels on a sudp connection between its two clients. */
const CARRIED: readonly Message['type'][] = ['UDPPacket', 'Ping']
const SNAPSHOT_VERSION = 1
const ENDED = 1
/** Where the bits of the reading side begin. */
const READING_SHIFT = 4
/** Version, flags, length of the partial frame to write; it and the one being read follow. */
const SNAPSHOT_BYTES = 6

/**
 * A sudp connection whose two clients frame their messages in different versions: what comes from `inner` in its
 * version is read in the other one, and the reverse (server/proxy/proxy.go joinSUDPMessageBridge). A datagram that
 * is too long for the other version is dropped; any other message than these resets the connection, as in frp.
 */
export class ReframedStream extends StreamWrapper {
  private readonly reading: Reframing
  private readonly writing: Reframing
  private isEnded = false

  /** `wire`: how `inner` is framed. */
  constructor(inner: ByteStream, wire: WireProtocol) {
    super(inner)
    const other = wire === 'v1' ? 'v2' : 'v1'
    this.reading = new Reframing(wire, other)
    this.writing = new Reframing(other, wire)
  }

  /** The state, with the partial frames: mostly a few bytes. Take it when `isSavable`. */
  snapshot(): Uint8Array {
    const toWrite = this.writing.partial.bytes
    const toRead = this.reading.partial.bytes
    const bytes = new Uint8Array(SNAPSHOT_BYTES + toWrite.length + toRead.length)
    bytes[0] = SNAPSHOT_VERSION
    bytes[1] = (this.isEnded ? ENDED : 0) | (this.saveReading() << READING_SHIFT)
    new DataView(bytes.buffer).setUint32(2, toWrite.length)
    bytes.set(toWrite, SNAPSHOT_BYTES)
    bytes.set(toRead, SNAPSHOT_BYTES + toWrite.length)
    return bytes
  }

  /** Goes on from a snapshot, over the stream that carries on; before `attach`. */
  static restore(inner: ByteStream, wire: WireProtocol, bytes: Uint8Array): ReframedStream {
    if (bytes[0] !== SNAPSHOT_VERSION || bytes.length < SNAPSHOT_BYTES) {
      throw new RangeError(`snapshot of a reframed stream: version ${bytes[0]}, ${bytes.length} bytes`)
    }
    const stream = new ReframedStream(inner, wire)
    stream.isEnded = ((bytes[1] ?? 0) & ENDED) !== 0
    stream.loadReading((bytes[1] ?? 0) >> READING_SHIFT)
    const middle = SNAPSHOT_BYTES + new DataView(bytes.buffer, bytes.byteOffset).getUint32(2)
    stream.writing.partial.append(bytes.subarray(SNAPSHOT_BYTES, middle))
    stream.reading.partial.append(bytes.subarray(middle))
    return stream
  }

  override write(chunk: Uint8Array): boolean {
    if (this.isEnded || this.inlet.isClosed) return true
    try {
      const out = this.writing.convert(chunk)
      return out.length === 0 || this.inner.write(out, HEAD_ROOM)
    } catch (error) {
      this.failWith(error)
      return true
    }
  }

  override end(): void {
    this.isEnded = true
    this.inner.end()
  }

  override onEnd(): void {
    const { length } = this.reading.partial
    if (length === 0) super.onEnd()
    else this.fail(new FrpError('MESSAGE_TRUNCATED', `the stream ended after ${length} bytes of a message`))
  }

  protected override receive(chunk: Uint8Array): Fate {
    try {
      const out = this.reading.convert(chunk)
      return out.length === 0 ? 'used' : this.deliver(out, HEAD_ROOM)
    } catch (error) {
      this.failWith(error)
      return 'used'
    }
  }

  private failWith(error: unknown): void {
    if (!(error instanceof FrpError)) throw error
    this.fail(error)
  }
}

/** One direction. */
class Reframing {
  /** The first bytes of a frame that is not complete. */
  readonly partial = new Gathered()
  private readonly from: MessageCodec
  private readonly to: MessageCodec
  private readonly toWire: WireProtocol

  constructor(from: WireProtocol, to: WireProtocol) {
    this.from = codecOf(from)
    this.to = codecOf(to)
    this.toWire = to
  }

  /** The frames that `chunk` completes, in the other framing, in memory of its own with `HEAD_ROOM` before it. */
  convert(chunk: Uint8Array): Uint8Array {
    const { partial } = this
    partial.append(chunk)
    const frames: Uint8Array[] = []
    let at = 0
    let size = 0
    for (;;) {
      const rest = partial.bytes.subarray(at)
      const length = this.from.frameLength(rest)
      if (length === undefined || length > rest.length) break
      const frame = this.reframed(rest.subarray(0, length))
      if (frame !== undefined) frames.push(frame)
      size += frame?.length ?? 0
      at += length
    }
    partial.drop(at)
    const out = new Uint8Array(HEAD_ROOM + size).subarray(HEAD_ROOM)
    let to = 0
    for (const frame of frames) {
      out.set(frame, to)
      to += frame.length
    }
    return out
  }

  private reframed(frame: Uint8Array): Uint8Array | undefined {
    const message = this.from.decode(frame)
    if (message === undefined) return undefined
    if (!CARRIED.includes(message.type)) {
      throw new FrpError('MESSAGE_UNEXPECTED', `${message.type} on a sudp connection`)
    }
    const isTooLong = message.type === 'UDPPacket' && !fitsUdpPacket(message.c.length, message.r?.IP ?? '', this.toWire)
    return isTooLong ? undefined : this.to.encode(message)
  }
}
