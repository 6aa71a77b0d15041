import { describe, expect, it } from 'vitest'
import { QuicDuplex } from '../../../node/quic-stream.ts'

/** A stream of the package, played by the test: what it was told, and what it says. */
class Played {
  readonly written: string[] = []
  isEnded = false
  aborted: unknown
  cancelled: unknown
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
  private incoming: ReadableStreamDefaultController<Uint8Array> | undefined
  private outgoing: WritableStreamDefaultController | undefined

  constructor() {
    this.readable = new ReadableStream({
      start: (controller) => {
        this.incoming = controller
      },
      cancel: (reason) => {
        this.cancelled = reason ?? 'cancelled'
      },
    })
    this.writable = new WritableStream({
      start: (controller) => {
        this.outgoing = controller
      },
      write: (chunk) => void this.written.push(Buffer.from(chunk).toString()),
      close: () => {
        this.isEnded = true
      },
      abort: (reason) => {
        this.aborted = reason ?? 'aborted'
      },
    })
  }

  says(text: string): void {
    this.incoming?.enqueue(Buffer.from(text))
  }

  ends(): void {
    this.incoming?.close()
  }

  resets(): void {
    this.incoming?.error(new Error('reset'))
    this.stops()
  }

  /** STOP_SENDING. */
  stops(): void {
    this.outgoing?.error(new Error('stopped'))
  }
}

function played(): { peer: Played; duplex: QuicDuplex; closed: Promise<string> } {
  const peer = new Played()
  const duplex = new QuicDuplex(peer)
  let error: Error | undefined
  duplex.on('error', (told: Error) => {
    error = told
  })
  const closed = new Promise<string>((resolve) => duplex.on('close', () => resolve(error?.message ?? 'clean')))
  return { peer, duplex, closed }
}

async function read(duplex: QuicDuplex): Promise<string> {
  let text = ''
  for await (const chunk of duplex.iterator({ destroyOnReturn: false })) text += String(chunk)
  return text
}

describe('a stream of QUIC', () => {
  it('ends each direction on its own', async () => {
    const { peer, duplex, closed } = played()
    duplex.write('question')
    duplex.end()
    await new Promise((resolve) => duplex.once('finish', resolve))
    expect([peer.written, peer.isEnded]).toEqual([['question'], true])
    peer.says('ans')
    peer.says('wer')
    peer.ends()
    expect(await read(duplex)).toBe('answer')
    expect(await closed).toBe('clean')
  })

  it('goes on writing after the peer has ended', async () => {
    const { peer, duplex, closed } = played()
    peer.says('first')
    peer.ends()
    expect(await read(duplex)).toBe('first')
    duplex.end('after it')
    expect(await closed).toBe('clean')
    expect([peer.written, peer.isEnded]).toEqual([['after it'], true])
  })

  it('loses nothing of a peer that reads no more, and is over with it', async () => {
    const { peer, duplex, closed } = played()
    const chunks = Array.from({ length: 50 }, (_, index) => `${index};`)
    for (const chunk of chunks) peer.says(chunk)
    peer.ends()
    peer.stops()
    duplex.write('nobody hears this')
    expect(await read(duplex)).toBe(chunks.join(''))
    expect(await closed).toBe('clean')
  })

  it('is over when a peer that has ended reads no more', async () => {
    const { peer, duplex, closed } = played()
    peer.ends()
    expect(await read(duplex)).toBe('')
    peer.stops()
    expect(await closed).toBe('clean')
  })

  it('tells a reset of the peer, and resets', async () => {
    const cut = played()
    cut.peer.says('a part')
    cut.peer.resets()
    cut.duplex.resume()
    expect(await cut.closed).toBe('reset')
    const own = played()
    own.duplex.destroy(new Error('of ours'))
    expect(await own.closed).toBe('of ours')
    expect(own.peer.aborted).toMatchObject({ message: 'of ours' })
    expect(own.peer.cancelled).toMatchObject({ message: 'of ours' })
  })
})
