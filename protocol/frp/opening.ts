import { FrpError } from '../../contract/errors.ts'
import { HEAD_ROOM } from '../limits.ts'
import type { MessageCodec, WireProtocol } from './codec.ts'
import type { Message, Outgoing } from './messages.ts'
import { v1 } from './v1.ts'
import { CLIENT_HELLO, frameLengthV2, frameTypeV2, payloadV2, SERVER_HELLO, V2_MAGIC, v2 } from './v2.ts'

/** The framing of a wire protocol once a stream is open. */
export function codecOf(wire: WireProtocol): MessageCodec {
  return wire === 'v2' ? v2 : v1
}

/**
 * The relay's end of a stream that begins: its first bytes tell v1 from v2, which no type byte of v1 can be taken
 * for. A ClientHello may come once, before any message or between them, as in frp. It is for one channel only.
 */
export class Opening implements MessageCodec {
  private codec: MessageCodec | undefined
  private readonly onHello: (payload: Uint8Array) => void
  private readonly maxFrameBytes: number

  /**
   * `onHello` gets the payload of a ClientHello, of which it may keep a copy. `maxFrameBytes`: a longer frame of v2
   * is refused at its head, for strangers should make nobody hold what a client may (v1 allows less to all).
   */
  constructor(onHello: (payload: Uint8Array) => void, maxFrameBytes = Number.POSITIVE_INFINITY) {
    this.onHello = onHello
    this.maxFrameBytes = maxFrameBytes
  }

  /** v1 until the magic of v2 came. */
  get wire(): WireProtocol {
    return this.codec === undefined || this.codec === v1 ? 'v1' : 'v2'
  }

  get headBytes(): number {
    return this.codec?.headBytes ?? V2_MAGIC.length
  }

  frameLength(bytes: Uint8Array): number | undefined {
    if (this.codec === undefined && bytes.length > 0 && bytes[0] !== V2_MAGIC[0]) this.codec = v1
    if (this.codec === undefined) return magicLength(bytes)
    const length = this.codec.frameLength(bytes)
    if (this.codec === v1 || length === undefined || length <= this.maxFrameBytes) return length
    throw new FrpError('MESSAGE_LENGTH', `first v2 frame of ${length} bytes, at most ${this.maxFrameBytes} here`)
  }

  decode(frame: Uint8Array): Message | undefined {
    if (this.codec !== undefined) return this.codec.decode(frame)
    // What `frameLength` took for a frame was the magic.
    this.codec = new HelloCodec(CLIENT_HELLO, this.onHello)
    return undefined
  }

  encode(message: Outgoing): Uint8Array {
    return codecOf(this.wire).encode(message)
  }
}

/** The client's end of its control stream: before LoginResp the relay's ServerHello comes. For one channel only. */
export function loginCodec(wire: WireProtocol, onHello: (payload: Uint8Array) => void): MessageCodec {
  return wire === 'v2' ? new HelloCodec(SERVER_HELLO, onHello) : v1
}

/** The client's end of a work or visitor stream, of which it writes one message: v2 has its magic before that. */
export function streamCodec(wire: WireProtocol): MessageCodec {
  return wire === 'v2' ? { ...v2, encode: (message) => withMagic(v2.encode(message)) } : v1
}

/** What a client writes first on a stream, with the magic of v2 before it. `HEAD_ROOM` as in frames. */
export function withMagic(frame: Uint8Array): Uint8Array {
  const whole = new Uint8Array(HEAD_ROOM + V2_MAGIC.length + frame.length).subarray(HEAD_ROOM)
  whole.set(V2_MAGIC)
  whole.set(frame, V2_MAGIC.length)
  return whole
}

/** v2 with one hello of the other end among the messages. */
class HelloCodec implements MessageCodec {
  readonly headBytes = v2.headBytes
  readonly encode = v2.encode
  private hello: number | undefined
  private readonly onHello: (payload: Uint8Array) => void

  constructor(hello: number, onHello: (payload: Uint8Array) => void) {
    this.hello = hello
    this.onHello = onHello
  }

  frameLength(bytes: Uint8Array): number | undefined {
    return frameLengthV2(bytes, this.hello)
  }

  decode(frame: Uint8Array): Message | undefined {
    if (frameTypeV2(frame) !== this.hello) return v2.decode(frame)
    this.hello = undefined
    this.onHello(payloadV2(frame))
    return undefined
  }
}

function magicLength(bytes: Uint8Array): number | undefined {
  for (let i = 0; i < V2_MAGIC.length && i < bytes.length; i++) {
    if (bytes[i] !== V2_MAGIC[i]) {
      const expected = `expected ${hex(V2_MAGIC)} (v2) or a type byte of v1`
      throw new FrpError('WIRE_VERSION', `the stream begins with ${hex(bytes.subarray(0, i + 1))}, ${expected}`)
    }
  }
  return bytes.length < V2_MAGIC.length ? undefined : V2_MAGIC.length
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
}
