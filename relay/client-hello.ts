import { Gathered } from '../contract/bytes.ts'
import { FrpError } from '../contract/errors.ts'

/** RFC 8446 5.1: a record of a handshake, and what one may carry. */
const HANDSHAKE_RECORD = 22
const MAX_RECORD_BYTES = 16_384
const RECORD_HEADER = 5
/** RFC 8446 4: type and 24-bit length of a handshake message. */
const CLIENT_HELLO = 1
const MESSAGE_HEADER = 4
/** RFC 6066 3. */
const SERVER_NAME_EXTENSION = 0
const HOST_NAME = 0
/** legacy_version and random. */
const FIXED_BYTES = 34

/** Browsers' hellos have 2 KB with post-quantum keys; 16 KiB leaves room for tickets. */
export const MAX_HELLO_BYTES = 16 * 1024

/** What a ClientHello says. */
export interface ClientHello {
  /** As sent; undefined: the client named no host. */
  serverName: string | undefined
}

/**
 * Reads the ClientHello at the start of a TLS connection, cut anywhere and in records of any size. It looks for
 * the name only: everything else is the service's to judge. All errors are TLS_FAILED.
 */
export class ClientHelloReader {
  private readonly received = new Gathered()
  /** The records' contents so far. */
  private readonly message = new Gathered()
  /** Where the record begins that is not complete yet. */
  private recordAt = 0

  /** Undefined: more is needed. After the answer `bytes` are all that was fed. */
  feed(chunk: Uint8Array): ClientHello | undefined {
    this.received.append(chunk)
    const hello = this.readRecords()
    if (hello === undefined && this.received.length >= MAX_HELLO_BYTES) throw tooLong()
    return hello
  }

  /** Everything that was fed, the last chunk included. A copy. */
  get bytes(): Uint8Array {
    return this.received.bytes.slice()
  }

  private readRecords(): ClientHello | undefined {
    const { bytes } = this.received
    while (bytes.length > this.recordAt) {
      const start = this.recordAt
      if (bytes[start] !== HANDSHAKE_RECORD) {
        throw notHello(`record type ${bytes[start]}, expected ${HANDSHAKE_RECORD}`)
      }
      if (bytes.length < start + RECORD_HEADER) return undefined
      if (bytes[start + 1] !== 3) throw notHello(`record version ${bytes[start + 1]}, expected 3`)
      const size = uint16(bytes, start + 3)
      if (size === 0 || size > MAX_RECORD_BYTES) throw notHello(`record of ${size} bytes`)
      const end = start + RECORD_HEADER + size
      if (end > MAX_HELLO_BYTES) throw tooLong()
      if (bytes.length < end) return undefined
      this.message.append(bytes.subarray(start + RECORD_HEADER, end))
      this.recordAt = end
      const hello = this.readMessage()
      if (hello !== undefined) return hello
    }
    return undefined
  }

  private readMessage(): ClientHello | undefined {
    const { bytes } = this.message
    if (bytes[0] !== CLIENT_HELLO) throw notHello(`handshake message ${bytes[0]}, expected ${CLIENT_HELLO}`)
    if (bytes.length < MESSAGE_HEADER) return undefined
    const size = (at(bytes, 1) << 16) | uint16(bytes, 2)
    if (size > MAX_HELLO_BYTES) throw tooLong()
    if (bytes.length < MESSAGE_HEADER + size) return undefined
    return { serverName: serverNameOf(new Fields(bytes.subarray(MESSAGE_HEADER, MESSAGE_HEADER + size))) }
  }
}

function serverNameOf(hello: Fields): string | undefined {
  hello.skip(FIXED_BYTES)
  hello.skip(hello.uint8()) // session id
  hello.skip(hello.uint16()) // cipher suites
  hello.skip(hello.uint8()) // compression methods
  if (hello.isAtEnd) return undefined
  const extensions = hello.fields(hello.uint16())
  while (!extensions.isAtEnd) {
    const type = extensions.uint16()
    const extension = extensions.fields(extensions.uint16())
    if (type !== SERVER_NAME_EXTENSION) continue
    const names = extension.fields(extension.uint16())
    while (!names.isAtEnd) {
      const kind = names.uint8()
      const name = names.fields(names.uint16())
      // RFC 6066: at most one name of a type; Go refuses an empty one too.
      if (kind === HOST_NAME) return name.text()
    }
    return undefined
  }
  return undefined
}

/** Fields of a message one after the other; each length is checked before it is believed. */
class Fields {
  private readonly bytes: Uint8Array
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.at === this.bytes.length
  }

  uint8(): number {
    return at(this.take(1), 0)
  }

  uint16(): number {
    return uint16(this.take(2), 0)
  }

  skip(count: number): void {
    this.take(count)
  }

  fields(count: number): Fields {
    return new Fields(this.take(count))
  }

  /** What is left, as the ASCII that host names are. */
  text(): string {
    return String.fromCharCode(...this.take(this.bytes.length - this.at))
  }

  private take(count: number): Uint8Array {
    const end = this.at + count
    if (end > this.bytes.length)
      throw notHello(`a field of ${count} bytes where ${this.bytes.length - this.at} are left`)
    const taken = this.bytes.subarray(this.at, end)
    this.at = end
    return taken
  }
}

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0
}

function uint16(bytes: Uint8Array, index: number): number {
  return (at(bytes, index) << 8) | at(bytes, index + 1)
}

function notHello(why: string): FrpError {
  return new FrpError('TLS_FAILED', `no TLS ClientHello: ${why}`)
}

function tooLong(): FrpError {
  return new FrpError('TLS_FAILED', `a ClientHello of more than ${MAX_HELLO_BYTES} bytes`)
}
