import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { type ByteStream, READ_ONLY } from '../../protocol/stream/byte-stream.ts'
import { type Answer, isSame, Probe, pattern, turns } from './probe.ts'

export type StreamPair = [ByteStream, ByteStream, () => void | Promise<void>]

export interface ContractFlags {
  /** Most bytes that a writer gets rid of while the reader is paused: buffers on the way and one chunk. */
  boundBytes: number
  /** The carrier has no half-close: the first end ends both directions. */
  hasHalfClose?: boolean
  /** Runs of the property test. */
  runs?: number
}

const CHUNK = 64 * 1024

/** Every sentence of `protocol/stream/byte-stream.ts`, over two connected streams that `makePair` makes. */
export function byteStreamContract(name: string, makePair: () => Promise<StreamPair>, flags: ContractFlags): void {
  const cleanups: (() => void | Promise<void>)[] = []
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0)) await cleanup()
  })
  const streams = async (): Promise<[ByteStream, ByteStream]> => {
    const [a, b, cleanup] = await makePair()
    cleanups.push(() => {
      a.destroy()
      b.destroy()
      return cleanup()
    })
    return [a, b]
  }
  const probes = async (): Promise<[Probe, Probe]> => {
    const [a, b] = await streams()
    return [new Probe(a), new Probe(b)]
  }
  /** Writes until a chunk is kept or `bound` is passed; answers what was sent. */
  const fill = (a: Probe, bound: number): { sent: Uint8Array[]; drained: Promise<void> | undefined } => {
    const sent: Uint8Array[] = []
    for (let total = 0; total <= bound; total += CHUNK) {
      const chunk = pattern(CHUNK, sent.length)
      sent.push(chunk)
      const drained = a.tryWrite(chunk)
      if (drained !== undefined) return { sent, drained }
    }
    return { sent, drained: undefined }
  }
  /** The same, but goes on as long as loans come back while nobody reads. */
  const fillUp = async (a: Probe): Promise<{ sent: Uint8Array[]; drained: Promise<void> }> => {
    const sent: Uint8Array[] = []
    for (;;) {
      const more = fill(a, flags.boundBytes)
      sent.push(...more.sent)
      expect(sent.length * CHUNK, 'acceptedWhilePaused').toBeLessThanOrEqual(flags.boundBytes)
      if (more.drained === undefined) continue
      const before = a.drains
      await turns()
      if (a.drains === before) return { sent, drained: more.drained }
    }
  }

  describe(`${name} as a ByteStream`, () => {
    it('carries bytes in order, both ways at once', async () => {
      const [a, b] = await probes()
      const [there, back] = [pattern(700_001, 1), pattern(300_007, 2)]
      await Promise.all([sendIn(a, there, 50_000), sendIn(b, back, 1_000)])
      await Promise.all([b.until(() => b.bytesRead >= there.length), a.until(() => a.bytesRead >= back.length)])
      expect(isSame(b.received, there)).toBe(true)
      expect(isSame(a.received, back)).toBe(true)
    })

    it('does not change a READ_ONLY chunk, and takes chunks without head room', async () => {
      const [a, b] = await probes()
      const constant = pattern(20_000)
      for (let i = 0; i < 3; i++) {
        if (!a.stream.write(constant, i === 2 ? 0 : READ_ONLY)) await a.until(() => a.drains > 0)
        await b.until(() => b.bytesRead === (i + 1) * constant.length)
        if (i < 2) expect(isSame(constant, pattern(20_000))).toBe(true)
      }
      expect(isSame(b.received.subarray(40_000), pattern(20_000))).toBe(true)
    })

    it.each<Answer>(['use', 'keep', 'take'])('delivers everything to a reader that answers with %s', async (answer) => {
      const [a, b] = await probes()
      b.answer = answer
      if (answer === 'keep') b.onChunk = () => setImmediate(() => b.stream.resume())
      const bytes = pattern(900_000, 7)
      await sendIn(a, bytes, 30_000)
      await b.until(() => b.bytesRead >= bytes.length)
      await turns(3)
      expect(isSame(b.received, bytes)).toBe(true)
    })

    it('leaves a kept chunk alone, and brings nothing more, until resume', async () => {
      const [a, b] = await probes()
      b.answer = 'keep'
      const rest = pattern(200_000, 2)
      const sending = a.write(pattern(5_000, 1)).then(() => sendIn(a, rest, 1_000))
      await b.until(() => b.kept !== undefined)
      const { bytesRead } = b
      await turns()
      expect(b.bytesRead).toBe(bytesRead)
      expect(b.kept && isSame(b.kept.chunk, b.kept.copy)).toBe(true)
      b.answer = 'use'
      b.stream.resume()
      await sending
      await b.until(() => b.bytesRead === 205_000)
      expect(isSame(b.received.subarray(5_000), rest)).toBe(true)
    })

    it('pause holds back data and end, keeps the writer bounded, and resume brings all', async () => {
      const [a, b] = await probes()
      await a.write(pattern(10))
      await b.until(() => b.bytesRead === 10)
      b.stream.pause()
      const { sent, drained } = await fillUp(a)
      expect(b.bytesRead).toBe(10)
      a.stream.end()
      await turns()
      expect(b.events).toEqual(['data'])
      b.stream.resume()
      await drained
      await b.until(() => b.ends === 1)
      expect(isSame(b.received.subarray(10), joined(sent))).toBe(true)
    })

    it('a paused stream still writes', async () => {
      const [a, b] = await probes()
      a.stream.pause()
      await sendIn(a, pattern(100_000), 10_000)
      await b.until(() => b.bytesRead === 100_000)
    })

    it('brings exactly one onDrain for each write that answered false', async () => {
      const [a, b] = await probes()
      for (let round = 1; round <= 3; round++) {
        b.stream.pause()
        const { drained } = await fillUp(a)
        b.stream.resume()
        await drained
      }
      a.stream.end()
      await b.until(() => b.ends === 1)
      await turns()
      expect(a.refusals).toBeGreaterThan(0)
      expect(a.drains).toBe(a.refusals)
    })

    it('end is a half-close: it comes after the bytes, and the other way goes on', async (context) => {
      if (flags.hasHalfClose === false) context.skip()
      const [a, b] = await probes()
      await sendIn(a, pattern(100_000, 1), 9_000)
      a.stream.end()
      await b.until(() => b.ends === 1)
      expect(isSame(b.received, pattern(100_000, 1))).toBe(true)
      await sendIn(b, pattern(100_000, 2), 9_000)
      await a.until(() => a.bytesRead === 100_000)
      expect([a.ends, a.closes, b.closes]).toEqual([0, 0, 0])
      b.stream.end()
      await Promise.all([a.until(() => a.closes === 1), b.until(() => b.closes === 1)])
      expect([a.ends, a.closeError, b.closeError]).toEqual([1, undefined, undefined])
      expect([a.events.at(-1), b.events.at(-1)]).toEqual(['close', 'close'])
    })

    it('end while a chunk is on loan comes after that chunk', async () => {
      const [a, b] = await probes()
      b.stream.pause()
      const { sent } = await fillUp(a)
      a.stream.end()
      b.stream.resume()
      await b.until(() => b.ends === 1)
      expect(isSame(b.received, joined(sent))).toBe(true)
    })

    it('drops what is written after end, and answers true', async () => {
      const [a, b] = await probes()
      await a.write(pattern(100))
      a.stream.end()
      expect(a.stream.write(pattern(CHUNK))).toBe(true)
      a.stream.end()
      await b.until(() => b.ends === 1)
      expect(b.bytesRead).toBe(100)
    })

    it('both ends at once close without an error', async () => {
      const [a, b] = await probes()
      a.stream.end()
      b.stream.end()
      await Promise.all([a.until(() => a.closes === 1), b.until(() => b.closes === 1)])
      a.stream.destroy()
      await turns()
      expect([a.events, b.events]).toEqual([
        ['end', 'close'],
        ['end', 'close'],
      ])
      expect([a.closeError, b.closeError]).toEqual([undefined, undefined])
    })

    it('destroy is a reset: an error here and there, once, last', async () => {
      const [a, b] = await probes()
      await sendIn(b, pattern(50_000), 5_000)
      await a.until(() => a.bytesRead === 50_000)
      await a.write(pattern(10))
      await b.until(() => b.bytesRead === 10)
      const reason = new Error('because')
      a.stream.destroy(reason)
      await Promise.all([a.until(() => a.closes === 1), b.until(() => b.closes === 1)])
      expect(a.closeError).toBe(reason)
      expect(b.closeError).toBeInstanceOf(Error)
      expect([a.stream.write(pattern(10)), b.stream.write(pattern(10))]).toEqual([true, true])
      a.stream.destroy()
      b.stream.destroy()
      await turns()
      expect([a.closes, b.closes, a.ends, b.ends]).toEqual([1, 1, 0, 0])
      expect([a.events.at(-1), b.events.at(-1)]).toEqual(['close', 'close'])
    })

    it('destroy with a chunk on loan closes both sides', async () => {
      const [a, b] = await probes()
      b.stream.pause()
      await fillUp(a)
      a.stream.destroy()
      await a.until(() => a.closes === 1)
      expect(a.closeError).toBeInstanceOf(Error)
      b.stream.resume()
      await b.until(() => b.closes === 1)
      expect(b.closeError).toBeInstanceOf(Error)
      expect(b.ends).toBe(0)
      const { drains } = a
      await turns()
      expect(a.drains).toBe(drains)
    })

    it('destroy after a half-close reaches a peer that has ended', async (context) => {
      if (flags.hasHalfClose === false) context.skip()
      const [a, b] = await probes()
      a.stream.end()
      await b.until(() => b.ends === 1)
      b.stream.destroy()
      await a.until(() => a.closes === 1)
      expect(a.closeError).toBeInstanceOf(Error)
    })

    it('hands over to a new reader from inside onData, with the head in front', async () => {
      const [a, b] = await streams()
      const bytes = pattern(150_000, 3)
      const first = new Probe(b)
      const second = new Probe(b, false)
      first.onChunk = (chunk) => {
        const cut = Math.min(3, chunk.length)
        b.attach(second, first.received.slice(cut))
      }
      await sendIn(new Probe(a), bytes, 10_000)
      await second.until(() => second.bytesRead === bytes.length - 3)
      expect(isSame(second.received, bytes.subarray(3))).toBe(true)
    })

    it('hands over while paused: head, then what waited, then what comes; all before attach returns if it is there', async () => {
      const [a, b] = await streams()
      const writer = new Probe(a)
      const first = new Probe(b)
      await writer.write(pattern(1_000, 1))
      await first.until(() => first.bytesRead === 1_000)
      b.pause()
      const sending = writer.write(pattern(1_000, 2))
      await turns()
      const second = new Probe(b, false)
      b.attach(second, first.received.slice(400))
      expect(second.bytesRead).toBe(0)
      b.resume()
      expect(second.bytesRead).toBeGreaterThanOrEqual(600)
      await sending
      await second.until(() => second.bytesRead === 1_600)
      expect(isSame(second.received, joined([pattern(1_000, 1).slice(400), pattern(1_000, 2)]))).toBe(true)
      const third = new Probe(b, false)
      b.attach(third, new Uint8Array([1, 2, 3]))
      expect([...third.received]).toEqual([1, 2, 3])
    })

    it('a reader may keep the head too', async () => {
      const [a, b] = await streams()
      const reader = new Probe(b, false)
      reader.answer = 'keep'
      b.attach(reader, pattern(100))
      const sending = new Probe(a).write(pattern(100, 2))
      await turns()
      expect(reader.bytesRead).toBe(100)
      reader.answer = 'use'
      b.resume()
      await sending
      await reader.until(() => reader.bytesRead === 200)
    })

    it('tells a reader that comes late about the end and the close', async () => {
      const [a, b] = await streams()
      const writer = new Probe(a)
      const sending = writer.write(pattern(100))
      a.end()
      await turns()
      const reader = new Probe(b)
      await reader.until(() => reader.ends === 1)
      await sending
      expect(reader.bytesRead).toBe(100)
      b.end()
      await Promise.all([reader.until(() => reader.closes === 1), writer.until(() => writer.closes === 1)])
    })

    it('pause and resume inside onData are the same as outside', async () => {
      const [a, b] = await probes()
      b.onChunk = () => {
        b.stream.pause()
        if (b.events.length % 2 === 0) setImmediate(() => b.stream.resume())
        else b.stream.resume()
      }
      const bytes = pattern(400_000, 5)
      await sendIn(a, bytes, 20_000)
      await b.until(() => b.bytesRead === bytes.length)
      expect(isSame(b.received, bytes)).toBe(true)
    })

    it('reads on after a hand-over that paused, attached and resumed inside onData', async () => {
      const [a, b] = await streams()
      const writer = new Probe(a)
      const first = new Probe(b)
      const second = new Probe(b, false)
      first.onChunk = () => {
        b.pause()
        b.attach(second)
        b.resume()
      }
      await writer.write(pattern(10, 1))
      await first.until(() => first.bytesRead === 10)
      await turns()
      await writer.write(pattern(20, 2))
      await second.until(() => second.bytesRead === 20)
    })

    it('carries any sizes to any reader, and loses and invents nothing', async () => {
      const sizes = fc.array(fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 70_000 })), {
        maxLength: 12,
        size: 'max',
      })
      const answers = fc.array(fc.constantFrom<Answer>('use', 'keep', 'take'), { minLength: 1, maxLength: 5 })
      await fc.assert(
        fc.asyncProperty(sizes, sizes, answers, async (there, back, script) => {
          const [a, b] = await probes()
          for (const probe of [a, b]) follow(probe, script)
          const [sentThere, sentBack] = await Promise.all([sendSizes(a, there), sendSizes(b, back)])
          await b.until(() => b.bytesRead >= sentThere.length)
          a.stream.end()
          if (flags.hasHalfClose === false) await a.until(() => a.bytesRead >= sentBack.length)
          b.stream.end()
          await Promise.all([a.until(() => a.closes === 1), b.until(() => b.closes === 1)])
          expect(isSame(a.received, sentBack) && isSame(b.received, sentThere)).toBe(true)
          expect([a.ends, b.ends, a.closeError, b.closeError]).toEqual([1, 1, undefined, undefined])
          expect([a.drains, b.drains]).toEqual([a.refusals, b.refusals])
        }),
        { numRuns: flags.runs ?? 20 },
      )
    })
  })
}

async function sendIn(probe: Probe, bytes: Uint8Array, chunkBytes: number): Promise<void> {
  for (let at = 0; at < bytes.length; at += chunkBytes) await probe.write(bytes.subarray(at, at + chunkBytes))
}

async function sendSizes(probe: Probe, sizes: number[]): Promise<Uint8Array> {
  const chunks = sizes.map((size, index) => pattern(size, index + 1))
  for (const [index, chunk] of chunks.entries()) await probe.write(chunk, index % 3 === 0 ? 0 : 32)
  return joined(chunks)
}

/** The probe answers each chunk by the next word of `script`. */
function follow(probe: Probe, script: Answer[]): void {
  let at = 0
  const next = () => {
    probe.answer = script[at++ % script.length] ?? 'use'
  }
  next()
  probe.onChunk = () => {
    // The answer to this chunk is settled already.
    if (probe.answer === 'keep') setImmediate(() => probe.stream.resume())
    next()
  }
}

function joined(chunks: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(chunks))
}
