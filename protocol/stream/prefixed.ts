import type { ByteStream, StreamHandler } from './byte-stream.ts'

/**
 * `stream` with bytes in front that were read from it before: for wrappers that attach by themselves.
 * `head` is a copy that now belongs to the stream.
 */
export function prefixed(stream: ByteStream, head: Uint8Array): ByteStream {
  return head.length === 0 ? stream : new Prefixed(stream, head)
}

class Prefixed implements ByteStream {
  private readonly inner: ByteStream
  private head: Uint8Array | undefined

  constructor(inner: ByteStream, head: Uint8Array) {
    this.inner = inner
    this.head = head
  }

  write(chunk: Uint8Array, headRoom?: number): boolean {
    return this.inner.write(chunk, headRoom)
  }

  end(): void {
    this.inner.end()
  }

  destroy(reason?: Error): void {
    this.inner.destroy(reason)
  }

  pause(): void {
    this.inner.pause()
  }

  resume(): void {
    this.inner.resume()
  }

  attach(handler: StreamHandler, later?: Uint8Array): void {
    const head = this.head
    this.head = undefined
    if (head === undefined || later === undefined) {
      this.inner.attach(handler, head ?? later)
      return
    }
    // What a reader gave back was read before what still waits here.
    const both = new Uint8Array(later.length + head.length)
    both.set(later)
    both.set(head, later.length)
    this.inner.attach(handler, both)
  }
}
