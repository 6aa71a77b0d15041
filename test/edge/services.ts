import type { ByteStream, StreamHandler } from '../../protocol/stream/byte-stream.ts'

const encoder = new TextEncoder()

export const bytesOf = (text: string): Uint8Array => encoder.encode(text)
export const textOf = (bytes: Uint8Array): string => new TextDecoder('latin1').decode(bytes)

/** The reading half of a stream as promises, for tests only: what came, its end, and how it closed. */
export class Reader implements StreamHandler {
  readonly ended: Promise<void>
  readonly closed: Promise<Error | undefined>
  private readonly stream: ByteStream
  private chunks: Uint8Array[] = []
  private length = 0
  /** Nothing more comes. */
  isOver = false
  private changed: (() => void) | undefined
  private drained: (() => void) | undefined
  private endNow: () => void = () => undefined
  private closeNow: (error: Error | undefined) => void = () => undefined

  constructor(stream: ByteStream) {
    this.stream = stream
    this.ended = new Promise((resolve) => {
      this.endNow = resolve
    })
    this.closed = new Promise((resolve) => {
      this.closeNow = resolve
    })
    stream.attach(this)
  }

  /** Waits until `isEnough`, or the end, and takes all. */
  async until(isEnough: (bytes: Uint8Array) => boolean): Promise<Uint8Array> {
    for (;;) {
      const whole = joined(this.chunks, this.length)
      this.chunks = [whole]
      if (this.isOver || isEnough(whole)) {
        this.chunks = []
        this.length = 0
        return whole
      }
      await new Promise<void>((resolve) => {
        this.changed = resolve
      })
    }
  }

  async take(count: number): Promise<Uint8Array> {
    if (this.length < count && !this.isOver) await this.more(count)
    const whole = joined(this.chunks, this.length)
    const part = whole.slice(0, count)
    this.chunks = [whole.slice(count)]
    this.length -= part.length
    return part
  }

  /** Writes, and waits until the memory is free again. */
  async write(chunk: Uint8Array): Promise<void> {
    const free = new Promise<void>((resolve) => {
      this.drained = resolve
    })
    const isTaken = this.stream.write(chunk)
    if (!isTaken) await free
  }

  onData(chunk: Uint8Array): boolean {
    this.chunks.push(chunk.slice())
    this.length += chunk.length
    this.changed?.()
    return true
  }

  onEnd(): void {
    this.isOver = true
    this.endNow()
    this.changed?.()
  }

  onDrain(): void {
    this.drained?.()
  }

  onClose(error?: Error): void {
    this.isOver = true
    this.closeNow(error)
    this.changed?.()
    this.drained?.()
  }

  private async more(count: number): Promise<void> {
    while (this.length < count && !this.isOver) {
      await new Promise<void>((resolve) => {
        this.changed = resolve
      })
    }
  }
}

/** Answers each byte with itself, and the FIN with a FIN. */
export function echo(work: ByteStream): void {
  work.attach({
    onData: (chunk) => work.write(chunk),
    onEnd: () => work.end(),
    onDrain: () => work.resume(),
    onClose: () => undefined,
  })
}

/** One HTTP request's head as text, then the rest is the test's. */
export type Respond = (head: string, reader: Reader, work: ByteStream) => unknown

/** A web server that reads one head a connection; `respond` writes what it likes. */
export function web(respond: Respond): (work: ByteStream) => void {
  return (work) => {
    const reader = new Reader(work)
    const serve = async (): Promise<void> => {
      const bytes: number[] = []
      while (!textOf(Uint8Array.from(bytes.slice(-4))).endsWith('\r\n\r\n')) {
        const next = await reader.take(1)
        if (next.length === 0) return
        bytes.push(...next)
      }
      await respond(textOf(Uint8Array.from(bytes)), reader, work)
    }
    serve().catch((error: unknown) => work.destroy(error instanceof Error ? error : new Error(String(error))))
  }
}

/** A whole response that ends its connection. */
export function answerOf(body: string, ...fields: string[]): Uint8Array {
  const lines = ['HTTP/1.1 200 OK', `Content-Length: ${body.length}`, 'Connection: close', ...fields]
  return bytesOf(`${lines.join('\r\n')}\r\n\r\n${body}`)
}

export function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
