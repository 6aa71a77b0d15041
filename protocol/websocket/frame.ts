import { FrpError } from '../../contract/errors.ts'
import { MAX_WEBSOCKET_FRAGMENTS } from '../limits.ts'

// RFC 6455 section 5.2.

export const OPCODE_CONTINUATION = 0
export const OPCODE_TEXT = 1
export const OPCODE_BINARY = 2
export const OPCODE_CLOSE = 8
export const OPCODE_PING = 9
export const OPCODE_PONG = 10

/** RFC 6455 section 5.5: payload of a control frame in bytes. */
export const MAX_CONTROL_BYTES = 125
const FIN_BIT = 0x80
const RSV_BITS = 0x70
const OPCODE_BITS = 0x0f
const CONTROL_BIT = 0x08
const MASK_BIT = 0x80
const LENGTH_BITS = 0x7f
const LENGTH_16 = 126
const LENGTH_64 = 127
const MAX_HEADER_BYTES = 14

/** Bytes of the header of a frame with `length` bytes of payload. */
export function headerBytes(length: number, isMasked: boolean): number {
  const own = length < LENGTH_16 ? 2 : length <= 0xffff ? 4 : 10
  return isMasked ? own + 4 : own
}

/** Writes the header of an unfragmented frame at `offset`. `key`: the frame is masked with it. */
export function putHeader(
  target: Uint8Array,
  offset: number,
  opcode: number,
  length: number,
  key: Uint8Array | undefined,
): void {
  const maskBit = key === undefined ? 0 : MASK_BIT
  target[offset] = FIN_BIT | opcode
  let at = offset + 2
  if (length < LENGTH_16) {
    target[offset + 1] = maskBit | length
  } else if (length <= 0xffff) {
    target[offset + 1] = maskBit | LENGTH_16
    target[at++] = length >>> 8
    target[at++] = length
  } else {
    target[offset + 1] = maskBit | LENGTH_64
    const high = Math.floor(length / 2 ** 32)
    for (const word of [high, length >>> 0]) {
      for (let shift = 24; shift >= 0; shift -= 8) target[at++] = word >>> shift
    }
  }
  if (key !== undefined) target.set(key, at)
}

const rotated = new Uint8Array(4)
const rotatedWord = new Uint32Array(rotated.buffer)
/** From this length on a view of words costs less than it saves. */
const WORDWISE_BYTES = 64

/** Masks or unmasks `bytes` in place; they begin at `position` of their frame's payload. */
export function applyMask(bytes: Uint8Array, key: Uint8Array, position: number): void {
  const { length } = bytes
  let done = 0
  if (length >= WORDWISE_BYTES) {
    const lead = -bytes.byteOffset & 3
    maskBytes(bytes, 0, lead, key, position)
    for (let i = 0; i < 4; i++) rotated[i] = key[(position + lead + i) & 3] as number
    const word = rotatedWord[0] as number
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset + lead, (length - lead) >>> 2)
    for (let i = 0; i < words.length; i++) words[i] = (words[i] as number) ^ word
    done = lead + words.length * 4
  }
  maskBytes(bytes, done, length, key, position)
}

function maskBytes(bytes: Uint8Array, from: number, to: number, key: Uint8Array, position: number): void {
  for (let i = from; i < to; i++) bytes[i] = (bytes[i] as number) ^ (key[(position + i) & 3] as number)
}

function isZeroKey(key: Uint8Array): boolean {
  return ((key[0] as number) | (key[1] as number) | (key[2] as number) | (key[3] as number)) === 0
}

/** Reads headers that come in pieces, and checks each against RFC 6455 and the limits before its payload is believed. */
export class FrameHeader {
  /** Of the frame whose header was read last. */
  opcode = 0
  isControl = false
  length = 0
  readonly key = new Uint8Array(4)
  /** Bytes have to be unmasked with `key`. */
  hasKey = false
  private readonly isServer: boolean
  private readonly bytes = new Uint8Array(MAX_HEADER_BYTES)
  private have = 0
  private need = 2
  private isInMessage = false
  private messageBytes = 0
  private fragments = 0

  /** `isServer`: frames must be masked, else they must not. */
  constructor(isServer: boolean) {
    this.isServer = isServer
  }

  /** No byte of the next header was read, and no message waits for more fragments. */
  get isAtStart(): boolean {
    return this.have === 0 && !this.isInMessage
  }

  /** The frame whose header was read last ends its message. */
  get isFinal(): boolean {
    return !this.isInMessage
  }

  /**
   * Takes header bytes of `chunk` from `offset` on; answers the offset behind the header, or -1 when more bytes are
   * needed. Throws WEBSOCKET_PROTOCOL or WEBSOCKET_TOO_LARGE.
   */
  read(chunk: Uint8Array, offset: number, maxMessageBytes: number): number {
    let at = offset
    while (at < chunk.length) {
      this.bytes[this.have++] = chunk[at++] as number
      if (this.have < this.need) continue
      if (this.need === 2) this.start()
      if (this.have < this.need) continue
      this.finish(maxMessageBytes)
      return at
    }
    return -1
  }

  private start(): void {
    const first = this.bytes[0] as number
    const second = this.bytes[1] as number
    const length = second & LENGTH_BITS
    const isMasked = (second & MASK_BIT) !== 0
    this.opcode = first & OPCODE_BITS
    this.isControl = (first & CONTROL_BIT) !== 0
    if ((first & RSV_BITS) !== 0) throw broken(`reserved bits 0x${(first & RSV_BITS).toString(16)} are set`)
    if (isMasked !== this.isServer) throw broken(isMasked ? 'a server may not mask' : 'a client has to mask')
    if (this.isControl) this.checkControl(first, length)
    else this.checkData((first & FIN_BIT) !== 0)
    this.need = 2 + (length === LENGTH_64 ? 8 : length === LENGTH_16 ? 2 : 0) + (isMasked ? 4 : 0)
  }

  private checkControl(first: number, length: number): void {
    if (this.opcode > OPCODE_PONG) throw broken(`unknown opcode ${this.opcode}`)
    if ((first & FIN_BIT) === 0) throw broken('a control frame may not be fragmented')
    if (length > MAX_CONTROL_BYTES) throw broken(`a control frame has more than ${MAX_CONTROL_BYTES} bytes`)
  }

  private checkData(isLast: boolean): void {
    if (this.opcode > OPCODE_BINARY) throw broken(`unknown opcode ${this.opcode}`)
    const isContinuation = this.opcode === OPCODE_CONTINUATION
    if (isContinuation !== this.isInMessage) {
      throw broken(isContinuation ? 'a continuation without a message' : 'a message inside a message')
    }
    if (!isContinuation) {
      this.messageBytes = 0
      this.fragments = 0
    }
    this.isInMessage = !isLast
    this.fragments += 1
    if (this.fragments > MAX_WEBSOCKET_FRAGMENTS) {
      throw new FrpError('WEBSOCKET_TOO_LARGE', `message of more than ${MAX_WEBSOCKET_FRAGMENTS} fragments`)
    }
  }

  private finish(maxMessageBytes: number): void {
    const { bytes } = this
    const short = (bytes[1] as number) & LENGTH_BITS
    const lengthBytes = short === LENGTH_64 ? 8 : short === LENGTH_16 ? 2 : 0
    let length = lengthBytes === 0 ? short : 0
    // Above 2^53 the sum is not exact, and far above every limit.
    for (let i = 0; i < lengthBytes; i++) length = length * 256 + (bytes[2 + i] as number)
    this.length = length
    this.have = 0
    this.need = 2
    this.hasKey = false
    if (this.isServer) {
      this.key.set(bytes.subarray(2 + lengthBytes, 6 + lengthBytes))
      this.hasKey = !isZeroKey(this.key)
    }
    if (this.isControl) return
    this.messageBytes += length
    if (this.messageBytes > maxMessageBytes) {
      throw new FrpError('WEBSOCKET_TOO_LARGE', `message of ${this.messageBytes} bytes, at most ${maxMessageBytes}`)
    }
  }
}

function broken(what: string): FrpError {
  return new FrpError('WEBSOCKET_PROTOCOL', `WebSocket frame: ${what}`)
}
