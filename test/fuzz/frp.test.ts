import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../../contract/errors.ts'
import { nodeCrypto } from '../../node/crypto.ts'
import { CipherStream, encrypt } from '../../protocol/frp/cipher.ts'
import { MessageChannel } from '../../protocol/frp/message-channel.ts'
import { decode, encode, type Message, messageTypeOfId, type Outgoing } from '../../protocol/frp/messages.ts'
import { compress } from '../../protocol/frp/snappy.ts'
import { compressBlock, decompressBlock, MAX_COMPRESSED_BYTES } from '../../protocol/frp/snappy-block.ts'
import { encodeV1 } from '../../protocol/frp/v1.ts'
import { wrap } from '../../protocol/frp/wrap.ts'
import { pair } from '../../protocol/stream/pair.ts'
import { Below, cutAt, Reader } from '../unit/frp/harness.ts'
import { utf8, vectors } from '../unit/frp/vectors.ts'

const bytes = (maxLength: number) => fc.uint8Array({ maxLength, size: 'max' })
const cuts = fc.array(fc.nat(100_000), { maxLength: 12 })
const type = fc.integer({ min: 1, max: 18 }).map((id) => messageTypeOfId(id) ?? 'Ping')
const bodies = Object.values(vectors).flatMap(({ json }) => (json === undefined ? [] : [json]))
const frames = Object.entries(vectors)
  // Its invalid character comes back as a valid one.
  .filter(([name]) => name.startsWith('v1.') && !name.includes('.obs.') && name !== 'v1.login.escape')
  .map(([, { value }]) => new Uint8Array(Buffer.from(value, 'hex')))

/** A compressible mixture: runs, repeats and noise. */
const payload = fc
  .array(fc.tuple(bytes(300), fc.integer({ min: 1, max: 400 })), { maxLength: 6 })
  .map((parts) => new Uint8Array(Buffer.concat(parts.flatMap(([part, times]) => Array(times).fill(part)))))

/** Delivers in pieces as long as somebody reads. */
function feed(below: Below, pieces: Uint8Array[]): void {
  for (const piece of pieces) if (!below.isDestroyed) below.deliver(piece)
  if (!below.isDestroyed) below.handler?.onEnd()
}

function flip(source: Uint8Array, at: number, mask: number): Uint8Array {
  const flipped = source.slice()
  if (flipped.length > 0) flipped[at % flipped.length] = (flipped[at % flipped.length] ?? 0) ^ mask
  return flipped
}

describe('messages', () => {
  it('any bytes are a message or an error of ours', () => {
    const mutated = fc
      .tuple(
        fc.constantFrom(...bodies),
        fc.array(fc.tuple(fc.nat(2_000), fc.integer({ min: 1, max: 255 })), { maxLength: 4 }),
      )
      .map(([json, flips]) => flips.reduce((body, [at, mask]) => flip(body, at, mask), utf8(json)))
    fc.assert(
      fc.property(type, fc.oneof(bytes(200), mutated, fc.json().map(utf8)), (name, body) => {
        try {
          const message = decode(name, body)
          if (message === undefined) return
          // What was read can be written, and read again to the same.
          const again = decode(name, utf8(encode(message as Outgoing)))
          expect(again).toEqual(message)
        } catch (error) {
          expect(codeOf(error)).toMatch(/^MESSAGE_(JSON|FIELD)$/)
        }
      }),
      { numRuns: 4_000 },
    )
  })

  it('JSON is taken exactly when JSON.parse takes it', () => {
    const text = fc.oneof(
      fc.json(),
      fc.string({ unit: fc.constantFrom(...'{}[]",:\\ntfue0123-.+ \n\u0001'), maxLength: 12 }),
    )
    fc.assert(
      fc.property(text, (json) => {
        let isJson = true
        try {
          JSON.parse(json)
        } catch {
          isJson = false
        }
        let code: string | undefined
        try {
          decode('Pong', utf8(`{"x":${json}}`))
        } catch (error) {
          code = codeOf(error) ?? String(error)
        }
        expect(code).toBe(isJson ? undefined : 'MESSAGE_JSON')
      }),
      // An unbalanced text may close our wrapper and open another: those are no counterexamples.
      { numRuns: 4_000, examples: [['{"a":[1]}'], ['"\\u00e9"']] },
    )
  })
})

describe('message channel', () => {
  class Log {
    readonly messages: Message[] = []
    error: Error | undefined
    onMessage(message: Message): void {
      this.messages.push(message)
    }
    onClose(error?: Error): void {
      this.error = error
    }
  }

  it('finds the same messages at any cuts, with a snapshot at each', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...frames), { maxLength: 8 }),
        cuts,
        fc.boolean(),
        (list, places, isSleepy) => {
          const wire = new Uint8Array(Buffer.concat(list))
          const log = new Log()
          let below = new Below()
          let channel = new MessageChannel(below, log)
          for (const piece of cutAt(wire, places)) {
            below.deliver(piece)
            if (!isSleepy) continue
            // Another stream, and the head comes as the first chunk: what a wake is.
            const head = channel.snapshot()
            below = new Below()
            channel = new MessageChannel(below, log)
            if (head.length > 0) below.deliver(head)
          }
          expect(Buffer.concat(log.messages.map((message) => encodeV1(message as Outgoing))).equals(wire)).toBe(true)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('ends with a code of ours on any bytes', () => {
    const broken = fc
      .tuple(fc.constantFrom(...frames), fc.nat(1_000), fc.integer({ min: 1, max: 255 }))
      .map(([frame, at, mask]) => flip(frame, at, mask))
    fc.assert(
      fc.property(fc.oneof(bytes(100), broken), cuts, (wire, places) => {
        const below = new Below()
        const log = new Log()
        new MessageChannel(below, log)
        feed(below, cutAt(wire, places))
        if (below.isDestroyed) expect(codeOf(log.error)).toMatch(/^MESSAGE_/)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('cipher', () => {
  const key = nodeCrypto.randomBytes(16)

  it('undoes itself at any cuts on both sides, with a snapshot at each', () => {
    fc.assert(
      fc.property(bytes(3_000), cuts, cuts, (plain, writes, reads) => {
        let below = new Below()
        const wire: Uint8Array[] = []
        let writer: CipherStream = encrypt(below, key, nodeCrypto)
        for (const piece of cutAt(plain, writes)) {
          writer.write(piece.slice())
          wire.push(below.bytes)
          below = new Below()
          writer = CipherStream.restore(below, key, nodeCrypto, writer.snapshot())
        }
        const read: Uint8Array[] = []
        let reader = encrypt(below, key, nodeCrypto)
        for (const piece of cutAt(new Uint8Array(Buffer.concat(wire)), reads)) {
          const handler = new Reader()
          reader.attach(handler)
          below.deliver(piece)
          read.push(handler.bytes)
          below = new Below()
          reader = CipherStream.restore(below, key, nodeCrypto, reader.snapshot())
        }
        expect(Buffer.concat(read).equals(plain)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})

describe('snappy', () => {
  it('undoes itself at any cuts, with a slow reader too', () => {
    fc.assert(
      fc.property(payload, cuts, cuts, fc.nat(20), (plain, writes, reads, slow) => {
        const out = new Below()
        const writer = compress(out)
        writer.attach(new Reader())
        for (const piece of cutAt(plain, writes)) writer.write(piece.slice())
        const below = new Below()
        const stream = compress(below)
        const reader = new Reader()
        reader.keepNext = slow
        stream.attach(reader)
        for (const piece of cutAt(out.bytes, reads)) {
          below.deliver(piece)
          while (below.isWaiting) stream.resume()
        }
        below.handler?.onEnd()
        expect(Buffer.compare(reader.bytes, plain)).toBe(0)
        expect(reader.isEnded).toBe(true)
      }),
      { numRuns: 150 },
    )
  })

  it('never makes a damaged stream look complete', () => {
    // But for the top bit of a type, which makes a chunk one to skip: the format has no guard there.
    const damaged = fc.tuple(payload, fc.nat(), fc.integer({ min: 1, max: 127 }), cuts)
    fc.assert(
      fc.property(damaged, ([plain, at, mask, places]) => {
        const out = new Below()
        compress(out).write(plain.slice())
        if (out.bytes.length === 0) return
        const below = new Below()
        const reader = new Reader()
        compress(below).attach(reader)
        feed(below, cutAt(flip(out.bytes, at, mask), places))
        const isSame = Buffer.compare(reader.bytes, plain) === 0
        expect(isSame || codeOf(reader.error) === 'SNAPPY_CORRUPT').toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  it('any bytes are a stream or SNAPPY_CORRUPT', () => {
    const head = [0xff, 6, 0, 0, 0x73, 0x4e, 0x61, 0x50, 0x70, 0x59]
    const chunk = fc.tuple(fc.constantFrom(0, 1, 2, 0x80, 0xfe, 0xff), bytes(40)).map(([kind, body]) => {
      return Uint8Array.of(kind, body.length, 0, 0, ...body)
    })
    const stream = fc
      .array(chunk, { maxLength: 5 })
      .map((chunks) => new Uint8Array(Buffer.concat([Uint8Array.from(head), ...chunks])))
    fc.assert(
      fc.property(fc.oneof(bytes(100), stream), cuts, (wire, places) => {
        const below = new Below()
        const reader = new Reader()
        compress(below).attach(reader)
        feed(below, cutAt(wire, places))
        expect(reader.isEnded).toBe(!below.isDestroyed)
        if (below.isDestroyed) expect(codeOf(reader.error)).toBe('SNAPPY_CORRUPT')
      }),
      { numRuns: 2_000 },
    )
  })

  it('a block writes nowhere but into its room, whatever it says', () => {
    const real = payload.map((plain) => {
      const packed = new Uint8Array(MAX_COMPRESSED_BYTES)
      return packed.slice(0, compressBlock(plain.subarray(0, 65_536), packed, 0))
    })
    fc.assert(
      fc.property(fc.oneof(bytes(60), real), fc.nat(), fc.nat(255), (block, at, mask) => {
        const target = new Uint8Array(65_536 + 64).fill(0x5a)
        const end = decompressBlock(flip(block, at, mask), target, 32)
        expect(end).toBeLessThanOrEqual(32 + 65_536)
        expect(target.subarray(0, 32).every((byte) => byte === 0x5a)).toBe(true)
        expect(target.subarray(32 + 65_536).every((byte) => byte === 0x5a)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})

describe('wrapped streams', () => {
  const key = nodeCrypto.randomBytes(16)

  it('carry any writes to a reader that is slow, in both directions, and then the end', () => {
    fc.assert(
      fc.property(
        payload,
        cuts,
        fc.nat(30),
        fc.boolean(),
        fc.boolean(),
        (plain, places, slow, isEncrypted, isCompressed) => {
          const options = { ...(isEncrypted ? { key } : {}), compression: isCompressed }
          const [a, b] = pair()
          const [near, far] = [wrap(a, options, nodeCrypto), wrap(b, options, nodeCrypto)]
          const [source, sink] = [new Reader(), new Reader()]
          near.attach(source)
          far.attach(sink)
          sink.keepNext = slow
          let lent = 0
          for (const piece of cutAt(plain, places)) {
            if (!near.write(piece.slice())) lent += 1
            for (let i = 0; source.drains < lent && i < 1_000; i++) far.resume()
          }
          near.end()
          far.end()
          for (let i = 0; !sink.isEnded && i < 1_000; i++) far.resume()
          expect(Buffer.compare(sink.bytes, plain)).toBe(0)
          expect(source.drains).toBe(lent)
          expect([sink.closes, sink.error, source.closes, source.error]).toEqual([1, undefined, 1, undefined])
        },
      ),
      { numRuns: 200 },
    )
  })
})
