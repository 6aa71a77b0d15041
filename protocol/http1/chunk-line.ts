import { FrpError } from '../../contract/errors.ts'
import { MAX_HTTP_CHUNK_DIGITS, MAX_HTTP_CHUNK_LINE_BYTES } from '../limits.ts'
import type { BadMessage } from './field-lines.ts'
import { CR, LF, showByte, TOKEN_BYTES, VALUE_BYTES } from './text.ts'

type Place = 'digits' | 'name' | 'value' | 'quoted' | 'escaped' | 'afterQuoted' | 'lineFeed'

const SEMICOLON = 59
const EQUALS = 61
const QUOTE = 34
const BACKSLASH = 92

/** One chunk-size line with its extensions (RFC 9112 7.1), byte by byte; white space in it is refused. */
export class ChunkLine {
  /** The chunk's size in bytes, exact once the line is complete. */
  size = 0
  private place: Place = 'digits'
  private digits = 0
  private length = 0
  /** Bytes of the extension name or value so far; it may not be empty. */
  private partBytes = 0
  private readonly bad: BadMessage

  constructor(bad: BadMessage) {
    this.bad = bad
  }

  /** Prepares for the next line. */
  reset(): void {
    this.size = 0
    this.place = 'digits'
    this.digits = 0
    this.length = 0
  }

  /** Takes the next byte; `true`: the line is complete. */
  take(byte: number): boolean {
    this.length += 1
    if (this.length > MAX_HTTP_CHUNK_LINE_BYTES) {
      throw new FrpError(this.bad, `chunk line is longer than ${MAX_HTTP_CHUNK_LINE_BYTES} bytes`)
    }
    switch (this.place) {
      case 'digits':
        this.digit(byte)
        return false
      case 'name':
      case 'value':
        this.part(byte)
        return false
      case 'quoted':
        if (byte === QUOTE) this.place = 'afterQuoted'
        else if (byte === BACKSLASH) this.place = 'escaped'
        else if (VALUE_BYTES[byte] !== 1) this.refuse(byte)
        return false
      case 'escaped':
        if (VALUE_BYTES[byte] !== 1) this.refuse(byte)
        this.place = 'quoted'
        return false
      case 'afterQuoted':
        this.next(byte)
        return false
      case 'lineFeed':
        if (byte !== LF) this.refuse(byte)
        return true
    }
  }

  private digit(byte: number): void {
    const value = hexValue(byte)
    if (value < 0) {
      if (this.digits === 0) this.refuse(byte)
      this.next(byte)
      return
    }
    this.digits += 1
    if (this.digits > MAX_HTTP_CHUNK_DIGITS) {
      throw new FrpError(this.bad, `chunk size has more than ${MAX_HTTP_CHUNK_DIGITS} digits`)
    }
    this.size = this.size * 16 + value
  }

  private part(byte: number): void {
    if (TOKEN_BYTES[byte] === 1) {
      this.partBytes += 1
    } else if (this.place === 'value' && this.partBytes === 0 && byte === QUOTE) {
      this.place = 'quoted'
    } else if (this.partBytes === 0) {
      this.refuse(byte)
    } else if (this.place === 'name' && byte === EQUALS) {
      this.place = 'value'
      this.partBytes = 0
    } else {
      this.next(byte)
    }
  }

  /** After a complete part: another extension, or the end of the line. */
  private next(byte: number): void {
    if (byte === SEMICOLON) this.place = 'name'
    else if (byte === CR) this.place = 'lineFeed'
    else this.refuse(byte)
    this.partBytes = 0
  }

  private refuse(byte: number): never {
    throw new FrpError(this.bad, `chunk line byte ${this.length}: ${showByte(byte)} is not allowed there`)
  }
}

function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
