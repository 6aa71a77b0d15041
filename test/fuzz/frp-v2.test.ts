import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../../contract/errors.ts'
import { nodeCrypto } from '../../node/crypto.ts'
import { AeadStream, type Role } from '../../protocol/frp/aead.ts'
import type { WireProtocol } from '../../protocol/frp/codec.ts'
import { answerHello, clientHello, readServerHello } from '../../protocol/frp/hello.ts'
import { MessageChannel } from '../../protocol/frp/message-channel.ts'
import type { Message, Outgoing } from '../../protocol/frp/messages.ts'
import { codecOf, Opening } from '../../protocol/frp/opening.ts'
import { ReframedStream } from '../../protocol/frp/reframe.ts'
import { udpPacket } from '../../protocol/frp/udp.ts'
import { CLIENT_HELLO, encodeV2, frameV2, V2_MAGIC, v2 } from '../../protocol/frp/v2.ts'
import { MAX_V2_PAYLOAD_BYTES } from '../../protocol/limits.ts'
import { Below, cutAt, Reader } from '../unit/frp/harness.ts'
import { utf8, vectors } from '../unit/frp/vectors.ts'

const bytes = (maxLength: number) => fc.uint8Array({ maxLength, size: 'max' })
const cuts = fc.array(fc.nat(200_000), { maxLength: 12 })
const flips = fc.array(fc.tuple(fc.nat(2_000), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 3 })
const frames = Object.entries(vectors)
  .filter(([name]) => name.startsWith('v2.full.'))
  .map(([, { value }]) => new Uint8Array(Buffer.from(value, 'hex')))
const algorithm = fc.constantFrom('aes-256-gcm' as const, 'xchacha20-poly1305' as const)
const TOKEN = 'fuzz-token'
const OURS = /^(MESSAGE|WIRE)_/

class Log {
  readonly messages: Message[] = []
  error: Error | undefined
  isClosed = false
  onMessage(message: Message): void {
    this.messages.push(message)
  }
  onClose(error?: Error): void {
    this.isClosed = true
    this.error = error
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

function flipped(source: Uint8Array, places: readonly (readonly [number, number])[]): Uint8Array {
  const out = source.slice()
  for (const [at, mask] of places) if (out.length > 0) out[at % out.length] = (out[at % out.length] ?? 0) ^ mask
  return out
}

/** Delivers in pieces as long as somebody reads, then ends. */
function feed(below: Below, pieces: Uint8Array[]): void {
  for (const piece of pieces) if (!below.isDestroyed) below.deliver(piece)
  if (!below.isDestroyed) below.handler?.onEnd()
}

describe('v2 frames', () => {
  it('are the same messages at any cuts, with a snapshot at each', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...frames), { maxLength: 8 }),
        cuts,
        fc.boolean(),
        (list, places, isSleepy) => {
          const wire = joined(list)
          const log = new Log()
          let below = new Below()
          let channel = new MessageChannel(below, log, { codec: v2 })
          for (const piece of cutAt(wire, places)) {
            below.deliver(piece)
            if (!isSleepy) continue
            const head = channel.snapshot()
            below = new Below()
            channel = new MessageChannel(below, log, { codec: v2 })
            if (head.length > 0) below.deliver(head)
          }
          expect(joined(log.messages.map((message) => encodeV2(message as Outgoing)))).toEqual(wire)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('that begin a stream: any bytes are messages or an error of ours, and never a wait for more than a frame', () => {
    const start = fc.constantFrom(
      V2_MAGIC,
      V2_MAGIC.subarray(0, 4),
      joined([V2_MAGIC, frameV2(CLIENT_HELLO, utf8('{}'))]),
      new Uint8Array(0),
    )
    const head = fc
      .tuple(fc.constantFrom(1, 2, 16, 3), fc.constantFrom(0, 0, 0, 1), fc.integer({ min: 0, max: 0xffff_ffff }))
      .map(([type, flags, length]) => {
        const out = new Uint8Array(8)
        const view = new DataView(out.buffer)
        view.setUint16(0, type)
        view.setUint16(2, flags)
        view.setUint32(4, length)
        return out
      })
    const broken = fc.tuple(fc.constantFrom(...frames), flips).map(([frame, places]) => flipped(frame, places))
    const wire = fc.tuple(start, fc.oneof(bytes(100), broken, fc.tuple(head, bytes(60)).map(joined))).map(joined)
    fc.assert(
      fc.property(wire, cuts, (all, places) => {
        const below = new Below()
        const log = new Log()
        const opening = new Opening((payload) => void answerHello(payload, nodeCrypto))
        const channel = new MessageChannel(below, log, { codec: opening })
        feed(below, cutAt(all, places))
        expect(channel.snapshot().length).toBeLessThanOrEqual(8 + MAX_V2_PAYLOAD_BYTES)
        if (below.isDestroyed) expect(codeOf(log.error)).toMatch(OURS)
      }),
      { numRuns: 3_000 },
    )
  })
})

describe('hellos', () => {
  const bootstrap = { transport: 'tcp', tls: true, tcpMux: true }
  const sent = clientHello(bootstrap, nodeCrypto)

  it('any bytes are agreed on, refused with an answer, or an error of ours', () => {
    const payload = fc.oneof(
      bytes(200),
      fc.json().map(utf8),
      flips.map((places) => flipped(sent, places)),
    )
    fc.assert(
      fc.property(payload, (hello) => {
        try {
          const answer = answerHello(hello, nodeCrypto)
          if ('suite' in answer) expect(readServerHello(answer.payload, sent, nodeCrypto).algorithm).toBeDefined()
          else expect(answer.error.code).toBe('WIRE_HELLO')
        } catch (error) {
          expect(codeOf(error)).toMatch(OURS)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it('of a relay: any bytes are a suite or an error of ours', () => {
    const answer = answerHello(sent, nodeCrypto)
    const payload = fc.oneof(
      bytes(200),
      fc.json().map(utf8),
      flips.map((places) => flipped(answer.payload, places)),
    )
    fc.assert(
      fc.property(payload, (hello) => {
        try {
          expect(readServerHello(hello, sent, nodeCrypto).transcript.length).toBe(32)
        } catch (error) {
          expect(codeOf(error)).toMatch(/^(MESSAGE_|WIRE_HELLO|LOGIN_REFUSED)/)
        }
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('AEAD records', () => {
  const transcript = nodeCrypto.randomBytes(32)
  const stream = (below: Below, name: 'aes-256-gcm' | 'xchacha20-poly1305', role: Role) =>
    new AeadStream(below, { algorithm: name, transcript }, TOKEN, role, nodeCrypto)

  it('undo themselves at any cuts on both sides, with a snapshot at each', () => {
    fc.assert(
      fc.property(algorithm, bytes(3_000), cuts, cuts, (name, plain, writes, reads) => {
        let below = new Below()
        const wire: Uint8Array[] = []
        let writer = stream(below, name, 'server')
        for (const piece of cutAt(plain, writes)) {
          writer.write(piece.slice())
          wire.push(below.bytes)
          below = new Below()
          writer = AeadStream.restore(below, TOKEN, 'server', nodeCrypto, writer.snapshot())
        }
        const read: Uint8Array[] = []
        let reader = stream(below, name, 'client')
        for (const piece of cutAt(joined(wire), reads)) {
          const handler = new Reader()
          reader.attach(handler)
          below.deliver(piece)
          read.push(handler.bytes)
          below = new Below()
          reader = AeadStream.restore(below, TOKEN, 'client', nodeCrypto, reader.snapshot())
        }
        expect(joined(read)).toEqual(plain)
      }),
      { numRuns: 300 },
    )
  })

  it('flipped, cut short, repeated or left out give a prefix of the text and an error, or a clean end between two', () => {
    const piece = bytes(60).filter(({ length }) => length > 0)
    const harm = fc.oneof(
      fc.record({ kind: fc.constant('flip' as const), at: fc.nat(2_000), mask: fc.integer({ min: 1, max: 255 }) }),
      fc.record({ kind: fc.constantFrom('cut', 'repeat', 'omit', 'swap'), at: fc.nat(2_000), mask: fc.constant(0) }),
    )
    fc.assert(
      fc.property(
        algorithm,
        fc.array(piece, { minLength: 1, maxLength: 6 }),
        harm,
        cuts,
        (name, texts, { kind, at, mask }, places) => {
          const out = new Below()
          const writer = stream(out, name, 'client')
          for (const text of texts) writer.write(text.slice())
          const records = out.written.map((record) => record.slice())
          const nonceBytes = name === 'aes-256-gcm' ? 12 : 24
          const [first = new Uint8Array(0)] = records
          records.splice(0, 1, first.subarray(0, nonceBytes), first.subarray(nonceBytes))
          // 0 is the nonce, which is clear and checked with each record.
          const i = 1 + (at % (records.length - 1))
          const record = records[i] ?? new Uint8Array(0)
          if (kind === 'repeat') records.splice(i, 0, record)
          if (kind === 'omit') records.splice(i, 1)
          if (kind === 'swap') records.splice(i, 2, ...records.slice(i, i + 2).reverse())
          let wire = joined(records)
          if (kind === 'flip') wire = flipped(wire, [[at, mask]])
          if (kind === 'cut') wire = wire.subarray(0, at % wire.length)
          const below = new Below()
          const reader = new Reader()
          stream(below, name, 'server').attach(reader)
          feed(below, cutAt(wire, places))
          const text = joined(texts)
          expect(text.subarray(0, reader.bytes.length)).toEqual(reader.bytes)
          if (below.isDestroyed) expect(codeOf(reader.error)).toMatch(/^CIPHER_(RECORD|TRUNCATED)$/)
          else if (kind === 'flip' || kind === 'repeat') throw new Error('harm that nobody noticed')
        },
      ),
      { numRuns: 1_000 },
    )
  })

  it('any bytes are text or an error of ours, and never a wait for more than a record', () => {
    fc.assert(
      fc.property(algorithm, bytes(300), cuts, (name, wire, places) => {
        const below = new Below()
        const reader = new Reader()
        const read = stream(below, name, 'server')
        read.attach(reader)
        feed(below, cutAt(wire, places))
        if (below.isDestroyed) expect(codeOf(reader.error)).toMatch(/^CIPHER_(RECORD|TRUNCATED)$/)
        expect(reader.bytes.length).toBe(0)
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('a sudp connection between two versions', () => {
  const address = { ip: '203.0.113.9', port: 50_000 }
  const message = fc.oneof(
    bytes(2_000).map((payload) => udpPacket(payload, address)),
    fc.constant<Outgoing>({ type: 'Ping' }),
  )
  const wires = fc.constantFrom<WireProtocol>('v1', 'v2')

  it('carries the same messages both ways at any cuts, with a snapshot at each', () => {
    fc.assert(
      fc.property(wires, fc.array(message, { maxLength: 6 }), cuts, cuts, (inner, list, reads, writes) => {
        const outer: WireProtocol = inner === 'v1' ? 'v2' : 'v1'
        const [within, without] = [inner, outer].map((wire) => joined(list.map((one) => codecOf(wire).encode(one))))
        let below = new Below()
        let stream = new ReframedStream(below, inner)
        const [read, written]: Uint8Array[][] = [[], []]
        const sleep = (reader: Reader) => {
          read?.push(reader.bytes)
          written?.push(below.bytes)
          below = new Below()
          stream = ReframedStream.restore(below, inner, stream.snapshot())
        }
        for (const piece of cutAt(within ?? new Uint8Array(0), reads)) {
          const reader = new Reader()
          stream.attach(reader)
          below.deliver(piece)
          sleep(reader)
        }
        for (const piece of cutAt(without ?? new Uint8Array(0), writes)) {
          const reader = new Reader()
          stream.attach(reader)
          expect(stream.write(piece)).toBe(true)
          sleep(reader)
        }
        expect(joined(read ?? [])).toEqual(without)
        expect(joined(written ?? [])).toEqual(within)
      }),
      { numRuns: 200 },
    )
  })

  it('ends with a code of ours on any bytes, from either side', () => {
    const broken = fc.tuple(fc.constantFrom(...frames), flips).map(([frame, places]) => flipped(frame, places))
    fc.assert(
      fc.property(wires, fc.oneof(bytes(100), broken), cuts, fc.boolean(), (inner, wire, places, isReading) => {
        const below = new Below()
        const reader = new Reader()
        const stream = new ReframedStream(below, inner)
        stream.attach(reader)
        if (isReading) feed(below, cutAt(wire, places))
        else for (const piece of cutAt(wire, places)) stream.write(piece)
        if (below.isDestroyed) expect(codeOf(reader.error)).toMatch(OURS)
      }),
      { numRuns: 1_000 },
    )
  })
})
