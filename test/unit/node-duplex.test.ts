import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../../contract/errors.ts'
import { duplexOf, streamOf } from '../../node/duplex.ts'
import type { ByteStream, StreamHandler } from '../../protocol/stream/byte-stream.ts'
import { pair } from '../../protocol/stream/pair.ts'

/** Reads a stream; `keeps`: answers false once so many bytes are there, until released. */
class Reader implements StreamHandler {
  received = 0
  hasEnded = false
  drains = 0
  readonly chunks: Uint8Array[] = []
  readonly closed: Promise<Error | undefined>
  isTaking = true
  private tellClosed: (error: Error | undefined) => void = () => undefined

  constructor() {
    this.closed = new Promise((resolve) => {
      this.tellClosed = resolve
    })
  }

  onData(chunk: Uint8Array): boolean {
    this.received += chunk.length
    this.chunks.push(chunk.slice())
    return this.isTaking
  }

  onEnd(): void {
    this.hasEnded = true
  }

  onDrain(): void {
    this.drains += 1
  }

  onClose(error?: Error): void {
    this.tellClosed(error)
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString()
  }
}

function read(stream: ByteStream): Reader {
  const reader = new Reader()
  stream.attach(reader)
  return reader
}

async function textOf(duplex: Duplex): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of duplex.iterator({ destroyOnReturn: false })) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

const turn = () => new Promise((resolve) => setImmediate(resolve))
const bytes = (text: string) => new TextEncoder().encode(text)

describe('duplexOf', () => {
  it('carries bytes and FIN both ways, and a FIN of one side leaves the other open', async () => {
    const [near, far] = pair()
    const duplex = duplexOf(near)
    const reader = read(far)
    far.write(bytes('ask'))
    far.end()
    expect(await textOf(duplex)).toBe('ask')
    duplex.write('answer after their end')
    duplex.end()
    expect(await reader.closed).toBeUndefined()
    expect(reader.text).toBe('answer after their end')
    expect(reader.hasEnded).toBe(true)
  })

  it('delivers what waited before anyone listened', async () => {
    const [near, far] = pair()
    far.write(bytes('early'))
    far.end()
    const duplex = duplexOf(near)
    await turn()
    expect(await textOf(duplex)).toBe('early')
  })

  it('waits for a slow stream with the callback of a write', async () => {
    const [near, far] = pair()
    const duplex = duplexOf(near)
    const reader = read(far)
    reader.isTaking = false
    let isFirstDone = false
    let isSecondDone = false
    duplex.write('one', () => {
      isFirstDone = true
    })
    duplex.write('two', () => {
      isSecondDone = true
    })
    await turn()
    expect([isFirstDone, isSecondDone, reader.text]).toEqual([false, false, 'one'])
    far.resume()
    await turn()
    expect([isFirstDone, isSecondDone, reader.text]).toEqual([true, false, 'onetwo'])
  })

  it('does not read on while nobody takes what came', async () => {
    const [near, far] = pair()
    const duplex = duplexOf(near)
    far.attach(new Reader())
    await turn()
    const chunk = new Uint8Array(16_384)
    let sent = 0
    while (sent < 1_024 && far.write(chunk)) sent += 1
    // Node's own mark is 64 KiB at most, so it takes a handful; without the brake all of them.
    expect(sent).toBeLessThan(8)
    duplex.resume()
    await turn()
    expect(far.write(chunk)).toBe(true)
  })

  it('turns a reset into an error, and destroy() into a reset', async () => {
    const [near, far] = pair()
    const duplex = duplexOf(near)
    far.attach(new Reader())
    await turn()
    const failed = once(duplex, 'error')
    far.destroy()
    expect(codeOf((await failed)[0])).toBe('STREAM_RESET')

    const [near2, far2] = pair()
    const duplex2 = duplexOf(near2)
    const reader = read(far2)
    await turn()
    duplex2.destroy()
    expect(codeOf(await reader.closed)).toBe('STREAM_RESET')
  })

  it('destroyed after its end resets nothing: bytes may still be on their way below', async () => {
    const [near, far] = pair()
    const duplex = duplexOf(near)
    const reader = read(far)
    duplex.end('last words')
    await once(duplex, 'finish')
    duplex.destroy()
    far.write(bytes('nobody listens'))
    far.end()
    expect(await reader.closed).toBeUndefined()
    expect(reader.text).toBe('last words')
  })
})

describe('streamOf', () => {
  function chain(): [ByteStream, ByteStream] {
    const [near, far] = pair()
    return [streamOf(duplexOf(near)), far]
  }

  it('carries bytes, FIN both ways and a clean end', async () => {
    const [stream, far] = chain()
    const [reader, farReader] = [read(stream), read(far)]
    stream.write(bytes('up'))
    stream.end()
    far.write(bytes('down'))
    far.end()
    expect(await reader.closed).toBeUndefined()
    expect(await farReader.closed).toBeUndefined()
    expect([reader.text, farReader.text]).toEqual(['down', 'up'])
  })

  it('gives a large chunk back with onDrain, exactly once', async () => {
    const [stream, far] = chain()
    const reader = read(stream)
    const farReader = read(far)
    const large = new Uint8Array(100_000).fill(7)
    expect(stream.write(large)).toBe(false)
    await until(() => reader.drains > 0)
    large.fill(0)
    expect(farReader.received).toBe(100_000)
    expect(Buffer.concat(farReader.chunks).every((byte) => byte === 7)).toBe(true)
    expect(reader.drains).toBe(1)
  })

  it('stops its source while the reader keeps a chunk', async () => {
    const [stream, far] = chain()
    far.attach(new Reader())
    const reader = read(stream)
    reader.isTaking = false
    await turn()
    let sent = 0
    for (; sent < 1_024 && far.write(new Uint8Array(16_384)); sent++) await turn()
    expect(sent).toBeLessThan(16)
    expect(reader.chunks.length).toBe(1)
    reader.isTaking = true
    stream.resume()
    await until(() => reader.received >= sent * 16_384)
  })

  it('delivers no end while paused, and the end before the close', async () => {
    const [stream, far] = chain()
    far.attach(new Reader())
    const reader = read(stream)
    stream.pause()
    stream.end()
    far.write(bytes('x'))
    far.end()
    for (let i = 0; i < 5; i++) await turn()
    expect([reader.received, reader.hasEnded]).toEqual([0, false])
    stream.resume()
    expect(await reader.closed).toBeUndefined()
    expect([reader.text, reader.hasEnded]).toEqual(['x', true])
  })

  it('closes with an error when the other side resets, and resets it by destroy()', async () => {
    const [stream, far] = chain()
    far.attach(new Reader())
    const reader = read(stream)
    await turn()
    far.destroy()
    expect(codeOf(await reader.closed)).toBe('STREAM_RESET')

    const [stream2, far2] = chain()
    const reader2 = read(far2)
    read(stream2)
    await turn()
    stream2.destroy()
    expect(codeOf(await reader2.closed)).toBe('STREAM_RESET')
  })
})

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await turn()
}
