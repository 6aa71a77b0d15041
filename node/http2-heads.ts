import type { Http2Session, ServerHttp2Stream } from 'node:http2'
import { FrpError } from '../contract/errors.ts'

/** RFC 9113 6.5.2: what each field counts beyond its letters. */
const FIELD_BYTES = 32
/** RFC 9113 7. */
const ENHANCE_YOUR_CALM = 11

/**
 * The bound of a head of HTTP/2 for peers that do not acknowledge our SETTINGS: Node holds them to maxHeaderListSize
 * only from then on, and one byte of theirs can repeat a field of 4 KB (HPACK).
 */
export class Http2Heads {
  private readonly maxBytes: number
  private readonly told = new WeakSet<Http2Session>()

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** Whether a request may go on. Its head is too large: it is answered with 431, a second one ends the connection. */
  admit(stream: ServerHttp2Stream, rawHeaders: readonly string[]): boolean {
    const { session } = stream
    if (session === undefined || session.destroyed) return false
    let bytes = 0
    for (const text of rawHeaders) bytes += text.length + FIELD_BYTES / 2
    if (bytes <= this.maxBytes) return true
    if (this.told.has(session)) {
      const error = new FrpError(
        'HTTP_HEAD_TOO_LARGE',
        `heads of more than ${this.maxBytes} bytes, one after the other`,
      )
      session.destroy(error, ENHANCE_YOUR_CALM)
    } else {
      this.told.add(session)
      stream.on('error', ignore)
      stream.respond({ ':status': 431 }, { endStream: true })
    }
    return false
  }
}

function ignore(): void {
  // It was answered; how it ends is the peer's business.
}
