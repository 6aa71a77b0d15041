import type { Link, StreamHandler } from '../../protocol/stream/byte-stream.ts'

/** How a WebSocket ended. */
export interface Closing {
  code: number
  reason: string
}

/**
 * A WebSocket of the test as a Link: each write is a message of its own, as Go's frpc does it. What is sent can
 * be held back to be cut, and what comes can be left unread.
 */
export class ClientLink implements Link {
  readonly closing: Promise<Closing>
  /** Bytes that wait to be sent by `sendSome`. */
  readonly waiting: number[] = []
  isHolding = false
  isReading = true
  receivedBytes = 0
  private readonly unread: Uint8Array[] = []
  private readonly socket: WebSocket
  private handler: StreamHandler | undefined

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.binaryType = 'arraybuffer'
    this.closing = new Promise((resolve) => {
      socket.addEventListener('close', ({ code, reason }) => {
        resolve({ code, reason })
        this.handler?.onClose(code === 1000 ? undefined : new Error(`closed with ${code} ${reason}`))
      })
    })
    socket.addEventListener('message', ({ data }) => {
      const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : new Uint8Array(data as ArrayBuffer)
      this.receivedBytes += bytes.length
      if (this.isReading) this.handler?.onData(bytes, 0)
      else this.unread.push(bytes)
    })
    socket.accept()
  }

  /** Sends up to `count` of the bytes that wait. */
  sendSome(count: number): void {
    const bytes = Uint8Array.from(this.waiting.splice(0, count))
    if (bytes.length > 0) this.socket.send(bytes)
  }

  /** Reads some of the messages that came while nobody read. */
  readSome(messages: number): void {
    for (const bytes of this.unread.splice(0, messages)) this.handler?.onData(bytes, 0)
  }

  get unreadBytes(): number {
    return this.unread.reduce((sum, { length }) => sum + length, 0)
  }

  sendText(text: string): void {
    this.socket.send(text)
  }

  write(chunk: Uint8Array): boolean {
    if (this.isHolding) this.waiting.push(...chunk)
    else this.socket.send(chunk)
    return true
  }

  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.handler = handler
    if (head !== undefined && head.length > 0) handler.onData(head, 0)
  }

  end(): void {
    this.socket.close(1000)
  }

  destroy(): void {
    this.socket.close(1000)
  }

  pause(): void {
    // The tests do not pause a link; they leave it unread.
  }

  resume(): void {
    // See pause.
  }

  cork(): void {
    // Each write is a message.
  }
}
