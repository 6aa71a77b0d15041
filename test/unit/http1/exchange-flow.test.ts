import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Exchange } from '../../../protocol/http1/exchange.ts'
import { HEAD_ROOM } from '../../../protocol/limits.ts'
import type { ByteStream, StreamHandler } from '../../../protocol/stream/byte-stream.ts'
import { Inlet } from '../../../protocol/stream/inlet.ts'
import { outgoing, Recorder } from './exchange-tools.ts'
import { bytesOf, textOf } from './tools.ts'

/** A source that hands over memory with head room, and overwrites all that it gets back at once. */
class Source implements ByteStream {
  private readonly lent: Uint8Array[] = []
  private readonly inlet = new Inlet((_bytes, isTaken) => {
    const memory = this.lent.shift()
    if (!isTaken) memory?.fill(0xdd)
  })

  /** Memory that the source could not use again yet. */
  get chunksLent(): number {
    return this.lent.length
  }

  push(text: string): Uint8Array {
    const memory = new Uint8Array(HEAD_ROOM + text.length).fill(0xcc)
    memory.set(bytesOf(text), HEAD_ROOM)
    const isWaiting = !this.inlet.isOpen
    if (isWaiting) this.lent.push(memory)
    const used = this.inlet.push(memory.subarray(HEAD_ROOM), HEAD_ROOM)
    if (used) memory.fill(0xdd)
    else if (!isWaiting && this.inlet.isLent) this.lent.push(memory)
    return memory
  }

  write(): boolean {
    return true
  }
  end(): void {
    this.inlet.end()
  }
  destroy(reason?: Error): void {
    this.inlet.close(reason)
  }
  pause(): void {
    this.inlet.pause()
  }
  resume(): void {
    this.inlet.resume()
  }
  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.inlet.attach(handler, head)
  }
}

function begin(recorder: Recorder, isResponseRaw = false) {
  const source = new Source()
  const exchange = new Exchange(source, recorder, outgoing(), { isResponseRaw })
  exchange.start()
  return { source, exchange }
}

const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'

describe('the body of a response', { timeout: 30_000 }, () => {
  it('passes in the memory that it came in, with its head room', () => {
    const seen: [buffer: ArrayBufferLike, offset: number, headRoom: number][] = []
    const recorder = new Recorder()
    recorder.answer = (slice, headRoom) => {
      seen.push([slice.buffer, slice.byteOffset, headRoom])
      return true
    }
    const { source } = begin(recorder, true)
    const head = source.push('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nabc')
    const next = source.push('defgh')
    expect(seen).toEqual([
      [head.buffer, head.length - 3, head.length - 3],
      [next.buffer, HEAD_ROOM, HEAD_ROOM],
    ])
  })

  it('waits while the reader keeps a slice, and the source with it', () => {
    const recorder = new Recorder()
    recorder.answer = () => false
    const { source, exchange } = begin(recorder)
    source.push(`${CHUNKED}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`)
    expect(recorder.body).toBe('abc')
    expect(source.chunksLent).toBe(1)
    exchange.resume()
    expect(recorder.body).toBe('abcde')
    expect(source.chunksLent).toBe(1)
    expect(recorder.calls.at(-1)).toBe('body')
    exchange.resume()
    expect(recorder.calls.at(-1)).toBe('end')
    expect(source.chunksLent).toBe(0)
    expect(exchange.canReuse).toBe(true)
  })

  it('waits when onHead pauses, and its end, too', () => {
    for (const text of ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc', 'HTTP/1.1 204 No\r\n\r\n']) {
      const recorder = new Recorder()
      const { source, exchange } = begin(recorder)
      recorder.atHead = () => exchange.pause()
      source.push(text)
      expect(recorder.calls.length).toBe(1)
      exchange.resume()
      expect(recorder.calls.at(-1)).toBe('end')
      expect(source.chunksLent).toBe(0)
    }
  })

  it('waits when paused from outside', () => {
    const recorder = new Recorder()
    const { source, exchange } = begin(recorder)
    exchange.pause()
    source.push('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc')
    expect(recorder.calls).toEqual([])
    exchange.resume()
    expect(recorder.calls).toEqual(['head 200 length', 'body', 'end'])
  })

  it('is dropped when the exchange is destroyed from inside', () => {
    const recorder = new Recorder()
    const { source, exchange } = begin(recorder)
    recorder.answer = () => {
      exchange.destroy()
      return false
    }
    source.push(`${CHUNKED}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`)
    expect(recorder.calls).toEqual(['head 200 chunked', 'body'])
  })

  it('survives any mix of answers, while head room and free memory are overwritten', () => {
    const answers = fc.constantFrom<'free' | 'later' | 'forGood'>('free', 'later', 'forGood')
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 80 }), { minLength: 1, maxLength: 8 }),
        fc.array(answers, { minLength: 1, maxLength: 10 }),
        fc.boolean(),
        fc.boolean(),
        (sizes, cuts, plan, isRaw, resumesLate) => {
          let counter = 0
          const payloads = sizes.map((size) =>
            Array.from({ length: size }, () => String.fromCharCode(33 + (counter++ % 90))).join(''),
          )
          const body = `${payloads.map((text) => `${text.length.toString(16)}\r\n${text}\r\n`).join('')}0\r\n\r\n`
          const recorder = new Recorder()
          const { source, exchange } = begin(recorder, isRaw)
          const taken: [slice: Uint8Array, text: string][] = []
          let kept: Uint8Array | undefined
          let calls = 0
          let got = ''
          recorder.answer = (slice, headRoom) => {
            expect(kept).toBeUndefined()
            const text = textOf(slice)
            got += text
            new Uint8Array(slice.buffer, slice.byteOffset - headRoom, headRoom).fill(0xff)
            const answer = plan[calls++ % plan.length]
            if (answer === 'free') return true
            if (answer === 'forGood') {
              taken.push([slice, text])
              exchange.resume()
            } else {
              kept = slice
            }
            return false
          }
          const release = () => {
            while (kept !== undefined) {
              const slice = kept
              expect(got.endsWith(textOf(slice))).toBe(true)
              slice.fill(0xbb)
              kept = undefined
              exchange.resume()
            }
          }
          const wire = CHUNKED + body
          for (let at = 0, i = 0; at < wire.length; i++) {
            const end = at + (cuts[i % cuts.length] as number)
            source.push(wire.slice(at, end))
            at = end
            if (!resumesLate) release()
          }
          release()
          expect(got).toBe(isRaw ? body : payloads.join(''))
          for (const [slice, text] of taken) expect(textOf(slice)).toBe(text)
          expect(recorder.calls.at(-1)).toBe('end')
          expect(source.chunksLent).toBe(0)
          expect(exchange.canReuse).toBe(true)
        },
      ),
      { numRuns: 1_000 },
    )
  })
})
