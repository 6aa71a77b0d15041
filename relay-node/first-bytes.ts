import type { Duplex } from 'node:stream'
import { FrpError } from '../contract/errors.ts'

/** What a connection speaks, as its first byte tells. `marked-tls`: frp's byte 0x17, dropped, and TLS follows. */
export type Speech = 'tls' | 'marked-tls' | 'http' | 'frp'

/** RFC 8446 5.1: a handshake record. */
const TLS_HANDSHAKE = 0x16
/** frp pkg/util/net/tls.go FRPTLSHeadByte. */
const FRP_TLS_MARK = 0x17
const LETTER_A = 0x41
const LETTER_Z = 0x5a
/** frp's wire v2 begins with `FRP`; no registered method begins with F. */
const LETTER_F = 0x46

/**
 * HTTP methods are upper-case letters; a first message of frp is a lower-case letter (v1), `F` (v2) or yamux's
 * version 0. frps waits for ten bytes instead, which a slow peer can hold back.
 */
export function speechOf(first: number): Speech {
  if (first === TLS_HANDSHAKE) return 'tls'
  if (first === FRP_TLS_MARK) return 'marked-tls'
  if (first >= LETTER_A && first <= LETTER_Z && first !== LETTER_F) return 'http'
  return 'frp'
}

/**
 * Reads a socket that nobody has read yet until `look`, which is given each chunk, answers; the bytes read so far
 * come with the answer, and the socket is paused. Rejects with what `look` throws, or when the connection ends before.
 */
export function readUntil<T>(
  socket: Duplex,
  look: (chunk: Uint8Array) => T | undefined,
): Promise<{ found: T; bytes: Uint8Array }> {
  const chunks: Uint8Array[] = []
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      socket.pause()
      socket.off('data', onData)
      socket.off('end', onEnd)
      socket.off('close', onEnd)
    }
    const onData = (chunk: Buffer): void => {
      const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length)
      chunks.push(bytes)
      try {
        const found = look(bytes)
        if (found === undefined) return
        stop()
        resolve({ found, bytes: joined(chunks) })
      } catch (error) {
        stop()
        reject(error)
      }
    }
    const onEnd = (): void => {
      stop()
      reject(new FrpError('LINK_CLOSED', 'the connection ended before it said what it is'))
    }
    socket.on('data', onData)
    socket.on('end', onEnd)
    socket.on('close', onEnd)
    if (socket.destroyed) onEnd()
  })
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const [only] = chunks
  if (chunks.length === 1 && only !== undefined) return only
  return new Uint8Array(Buffer.concat(chunks))
}

/** Holds the first bytes of a connection for as long as they may become `expected`. */
export class Prefix {
  private readonly expected: Uint8Array
  private readonly held: Uint8Array
  private count = 0
  private isDecided = false

  constructor(expected: Uint8Array) {
    this.expected = expected
    this.held = new Uint8Array(expected.length)
  }

  /** True: it is. Undefined: more is needed. Else it is not, and these are the bytes so far that were not given yet. */
  feed(chunk: Uint8Array): true | undefined | Uint8Array {
    if (this.isDecided) return chunk
    const part = chunk.subarray(0, this.expected.length - this.count)
    const isSame = part.every((byte, i) => byte === this.expected[this.count + i])
    if (!isSame) {
      this.isDecided = true
      if (this.count === 0) return chunk
      const all = new Uint8Array(this.count + chunk.length)
      all.set(this.held.subarray(0, this.count))
      all.set(chunk, this.count)
      return all
    }
    this.held.set(part, this.count)
    this.count += part.length
    return this.count === this.expected.length ? true : undefined
  }
}
