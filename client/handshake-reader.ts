import type { Duplex } from 'node:stream'
import { messageOf } from '../contract/errors.ts'

/** What a proxy or a relay may say before it is answered: a head of HTTP, some bytes of SOCKS. */
const MAX_HANDSHAKE_BYTES = 16 * 1024

/** Takes an exact number of bytes from a socket that nobody reads yet, and gives back what it read too much. */
export class HandshakeReader {
  private readonly socket: Duplex
  private readonly failure: (why: string) => Error

  /** `failure` makes the error of a read that cannot be completed. */
  constructor(socket: Duplex, failure: (why: string) => Error) {
    this.socket = socket
    this.failure = failure
  }

  /** The next `count` bytes. */
  take(count: number): Promise<Buffer> {
    return this.read((got) => (got.length >= count ? count : undefined))
  }

  /** All up to and with `mark`. */
  until(mark: string): Promise<Buffer> {
    return this.read((got) => {
      const at = got.indexOf(mark)
      return at < 0 ? undefined : at + mark.length
    })
  }

  private read(lengthOf: (got: Buffer) => number | undefined): Promise<Buffer> {
    const { socket } = this
    return new Promise((resolve, reject) => {
      let got: Buffer = Buffer.alloc(0)
      const stop = (): void => {
        socket.off('readable', onReadable)
        socket.off('end', onEnd)
        socket.off('close', onEnd)
        socket.off('error', onError)
      }
      const fail = (why: string): void => {
        stop()
        reject(this.failure(why))
      }
      const onError = (error: Error): void => fail(messageOf(error))
      const onEnd = (): void => fail('the connection was closed')
      const onReadable = (): void => {
        const chunk: unknown = socket.read()
        if (!Buffer.isBuffer(chunk)) return
        got = Buffer.concat([got, chunk])
        const length = lengthOf(got)
        if (length === undefined) {
          if (got.length > MAX_HANDSHAKE_BYTES) fail(`${got.length} bytes, at most ${MAX_HANDSHAKE_BYTES}`)
          return
        }
        stop()
        if (got.length > length) socket.unshift(got.subarray(length))
        resolve(got.subarray(0, length))
      }
      socket.on('readable', onReadable)
      socket.on('end', onEnd)
      socket.on('close', onEnd)
      socket.on('error', onError)
      if (socket.destroyed) onEnd()
      else onReadable()
    })
  }
}
