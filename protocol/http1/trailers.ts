import { FrpError } from '../../contract/errors.ts'
import { MAX_HTTP_TRAILER_BYTES } from '../limits.ts'
import { type BadMessage, scanFieldLines, takeFields } from './field-lines.ts'
import { Fields } from './fields.ts'
import { CR, LF, latin1 } from './text.ts'

/** RFC 9110 6.5.1: what decides framing, routing or the connection has no place behind the body. */
const FORBIDDEN = new Set([
  'connection',
  'content-length',
  'host',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'authorization',
  'content-encoding',
  'content-range',
  'content-type',
])

/** The trailer section of a chunked body, byte by byte: field lines and the empty line. */
export class TrailerReader {
  private readonly bad: BadMessage
  private bytes: Uint8Array | undefined
  private length = 0
  private lineBytes = 0

  constructor(bad: BadMessage) {
    this.bad = bad
  }

  /** Takes the next byte; the trailers when it was the last one. */
  take(byte: number): Fields | undefined {
    if (byte === LF && this.last() !== CR) throw new FrpError(this.bad, 'a LF without CR in the trailers')
    if (byte !== LF && this.last() === CR) throw new FrpError(this.bad, 'a CR without LF in the trailers')
    this.push(byte)
    if (byte !== LF) {
      if (byte !== CR) this.lineBytes += 1
      return undefined
    }
    if (this.lineBytes > 0) {
      this.lineBytes = 0
      return undefined
    }
    return this.fields()
  }

  private last(): number | undefined {
    return this.length === 0 ? undefined : this.bytes?.[this.length - 1]
  }

  private push(byte: number): void {
    if (this.length === MAX_HTTP_TRAILER_BYTES) {
      throw new FrpError(this.bad, `trailers are longer than ${MAX_HTTP_TRAILER_BYTES} bytes`)
    }
    if (this.bytes === undefined) this.bytes = new Uint8Array(64)
    if (this.bytes.length === this.length) {
      const larger = new Uint8Array(this.length * 2)
      larger.set(this.bytes)
      this.bytes = larger
    }
    this.bytes[this.length++] = byte
  }

  private fields(): Fields {
    const bytes = this.bytes?.subarray(0, this.length) ?? new Uint8Array(0)
    if (bytes.length <= 2) return new Fields()
    const lines = scanFieldLines(bytes, 0, this.bad)
    if (lines === undefined) throw new FrpError(this.bad, 'trailers without an empty line')
    const fields = takeFields(latin1(bytes, 0, bytes.length), 0, lines.count)
    const forbidden = fields.names.find((name) => FORBIDDEN.has(name.toLowerCase()))
    if (forbidden !== undefined) throw new FrpError(this.bad, `trailer '${forbidden}' is not allowed behind a body`)
    return fields
  }
}
