import { describe, expect, it } from 'vitest'
import { codeOf } from '../../../contract/errors.ts'
import { nodeCrypto } from '../../../node/crypto.ts'
import { AeadStream, type Role, type Suite } from '../../../protocol/frp/aead.ts'
import { AeadDirection } from '../../../protocol/frp/aead-direction.ts'
import { hchacha20 } from '../../../protocol/frp/hchacha20.ts'
import { decodeV2, encodeV2 } from '../../../protocol/frp/v2.ts'
import { MAX_AEAD_TEXT_BYTES, MAX_AES_GCM_RECORDS } from '../../../protocol/limits.ts'
import { Below, cutAt, fixedRandom, Reader } from './harness.ts'
import { bytesOf, hex, toHex, utf8, vector } from './vectors.ts'

const TOKEN = '12345678'
const ALGORITHMS = ['aes-256-gcm', 'xchacha20-poly1305'] as const
type Algorithm = (typeof ALGORITHMS)[number]
const NONCE_BYTES = { 'aes-256-gcm': 12, 'xchacha20-poly1305': 24 }

function suiteOf(algorithm: Algorithm): Suite {
  return { algorithm, transcript: bytesOf(`v2.${algorithm}.transcript_hash`) }
}

function nonceOf(algorithm: Algorithm, from: number): Uint8Array {
  return Uint8Array.from({ length: NONCE_BYTES[algorithm] }, (_, i) => from + i)
}

function open(algorithm: Algorithm, role: Role, crypto = nodeCrypto) {
  const below = new Below()
  const stream = new AeadStream(below, suiteOf(algorithm), TOKEN, role, crypto)
  const reader = new Reader()
  stream.attach(reader)
  return { below, stream, reader }
}

/** What a client writes: each text as one record. */
function sealed(algorithm: Algorithm, ...texts: Uint8Array[]): Uint8Array {
  const { below, stream } = open(algorithm, 'client')
  for (const text of texts) stream.write(text.slice())
  return below.bytes
}

describe('hchacha20', () => {
  it('is that of draft-irtf-cfrg-xchacha-03, 2.2.1', () => {
    const key = Uint8Array.from({ length: 32 }, (_, i) => i)
    expect(toHex(hchacha20(key, hex('000000090000004a0000000031415927')))).toBe(
      '82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc',
    )
  })
})

describe.each(ALGORITHMS)('%s, the vectors', (algorithm) => {
  const both = (name: string) =>
    new Uint8Array(
      Buffer.concat([
        bytesOf(`v2.${algorithm}.${name}.first_message`),
        bytesOf(`v2.${algorithm}.${name}.second_message`),
      ]),
    )

  it.each([
    ['c2s', 'server', 'Ping'],
    ['s2c', 'client', 'Pong'],
  ] as const)('%s is read, cut anywhere', (name, role, type) => {
    const wire = both(name)
    const message = toHex(encodeV2({ type }))
    for (let cut = 1; cut < wire.length; cut++) {
      const { below, reader } = open(algorithm, role)
      for (const piece of cutAt(wire, [cut, cut + 1, cut + 30])) below.deliver(piece)
      expect(toHex(reader.bytes), `cut at ${cut}`).toBe(message + message)
    }
  })

  it('a message in one record is what Go reads', () => {
    const { below, stream } = open(algorithm, 'client', fixedRandom(nonceOf(algorithm, 0x40)))
    stream.write(encodeV2({ type: 'Ping' }))
    expect(toHex(below.bytes)).toBe(vector(`v2.${algorithm}.c2s.one_record`).value)
    const server = open(algorithm, 'server')
    server.below.deliver(below.bytes)
    expect(decodeV2(server.reader.bytes)).toMatchObject({ type: 'Ping' })
  })

  it('a message in two records is written to the bytes of Go', () => {
    const { below, stream } = open(algorithm, 'client', fixedRandom(nonceOf(algorithm, 0x40)))
    const frame = encodeV2({ type: 'Ping' })
    for (let i = 0; i < 2; i++) for (const part of [frame.slice(0, 8), frame.slice(8)]) stream.write(part)
    expect(toHex(below.bytes)).toBe(toHex(both('c2s')))
  })

  it('the nonce carries into the next byte', () => {
    const wire = bytesOf(`v2.${algorithm}.nonce_carry`)
    const nonce = wire.slice(0, NONCE_BYTES[algorithm])
    const { below, reader } = open(algorithm, 'server')
    below.deliver(wire)
    expect(reader.error).toBeUndefined()
    expect(reader.bytes.length).toBe(2)
    const again = open(algorithm, 'client', fixedRandom(nonce))
    for (const byte of reader.bytes) again.stream.write(Uint8Array.of(byte))
    expect(toHex(again.below.bytes)).toBe(toHex(wire))
  })
})

describe.each(ALGORITHMS)('%s', (algorithm) => {
  const head = NONCE_BYTES[algorithm]
  const record = (text: number) => 4 + text + 16

  it('sends nothing until something is written, and the nonce once', () => {
    const { below, stream } = open(algorithm, 'client')
    stream.write(new Uint8Array(0))
    expect(below.written).toEqual([])
    stream.write(utf8('a'))
    stream.write(utf8('bc'))
    expect(below.bytes.length).toBe(head + record(1) + record(2))
    stream.end()
    expect(stream.write(utf8('late'))).toBe(true)
    expect(below.isEnded).toBe(true)
  })

  it('leaves the memory of the writer alone', () => {
    const { stream } = open(algorithm, 'client')
    const text = utf8('mine')
    stream.write(text)
    expect(toHex(text)).toBe(toHex(utf8('mine')))
  })

  it('cuts a long write into records and puts it together again', () => {
    const text = nodeCrypto.randomBytes(2 * MAX_AEAD_TEXT_BYTES + 5)
    const wire = sealed(algorithm, text)
    expect(wire.length).toBe(head + 2 * record(MAX_AEAD_TEXT_BYTES) + record(5))
    const { below, reader } = open(algorithm, 'server')
    for (const piece of cutAt(wire, [1, 70_000, 70_001])) below.deliver(piece)
    expect(Buffer.compare(reader.bytes, text)).toBe(0)
  })

  it('skips an empty record', () => {
    const wire = new Uint8Array(head + record(0) + record(1))
    const nonce = nonceOf(algorithm, 1)
    const direction = new AeadDirection(algorithm, bytesOf(`v2.${algorithm}.key.c2s`), nodeCrypto)
    direction.start(nonce)
    wire.set(nonce)
    direction.seal(new Uint8Array(0), wire.subarray(head, head + record(0)))
    direction.seal(utf8('x'), wire.subarray(head + record(0)))
    const { below, reader } = open(algorithm, 'server')
    below.deliver(wire)
    expect(toHex(reader.bytes)).toBe(toHex(utf8('x')))
  })

  it.each([
    ['a length of 15', '0000000f', 'record 1: length 15, expected 16 to 65552'],
    ['a length of 65553', '00010011', 'record 1: length 65553, expected 16 to 65552'],
    ['a length of 4 GiB', 'ffffffff', 'length 4294967295'],
  ])('%s ends it at once, after what was whole', (_name, bytes, text) => {
    const { below, reader } = open(algorithm, 'server')
    below.deliver(new Uint8Array(Buffer.concat([sealed(algorithm, utf8('whole')), hex(bytes)])))
    expect(toHex(reader.bytes)).toBe(toHex(utf8('whole')))
    expect(codeOf(reader.error)).toBe('CIPHER_RECORD')
    expect(reader.error?.message).toContain(text)
  })

  it('a record that comes twice, in another order, changed or of another token ends it', () => {
    const wire = sealed(algorithm, utf8('one'), utf8('two'))
    const nonce = wire.subarray(0, head)
    const first = wire.subarray(head, head + record(3))
    const second = wire.subarray(head + record(3))
    const changed = second.slice()
    changed[changed.length - 1] = (changed[changed.length - 1] ?? 0) ^ 1
    for (const pieces of [
      [nonce, first, first, second],
      [nonce, second, first],
      [nonce, first, changed],
    ]) {
      const { below, reader } = open(algorithm, 'server')
      below.deliver(new Uint8Array(Buffer.concat(pieces)))
      expect(codeOf(reader.error)).toBe('CIPHER_RECORD')
      expect(reader.error?.message).toMatch(/^record [01]: 19 bytes do not verify/)
    }
    const other = new Below()
    const reader = new Reader()
    new AeadStream(other, suiteOf(algorithm), 'other', 'server', nodeCrypto).attach(reader)
    other.deliver(wire.slice())
    expect(codeOf(reader.error)).toBe('CIPHER_RECORD')
  })

  it('what a client wrote does not pass for what the relay writes', () => {
    const { below, reader } = open(algorithm, 'client')
    below.deliver(sealed(algorithm, utf8('reflected')))
    expect(codeOf(reader.error)).toBe('CIPHER_RECORD')
  })

  it('an end between records is an end, one inside anything is a cut', () => {
    const wire = sealed(algorithm, utf8('one'))
    for (let cut = 0; cut <= wire.length; cut++) {
      const { below, reader } = open(algorithm, 'server')
      if (cut > 0) below.deliver(wire.subarray(0, cut))
      below.handler?.onEnd()
      const isClean = cut === 0 || cut === head || cut === wire.length
      expect(reader.isEnded, `cut at ${cut}`).toBe(isClean)
      if (!isClean) expect(codeOf(reader.error)).toBe('CIPHER_TRUNCATED')
    }
  })

  it('passes the loan on, once for each write', () => {
    const { below, stream, reader } = open(algorithm, 'client')
    below.keepNext = 1
    expect(stream.write(utf8('one'))).toBe(false)
    below.drain()
    expect(reader.drains).toBe(1)
  })

  it('waits for a reader that keeps a chunk', () => {
    const { below, stream, reader } = open(algorithm, 'server')
    reader.keepNext = 1
    expect(below.deliver(sealed(algorithm, utf8('one')))).toBe(false)
    stream.resume()
    expect(below.isWaiting).toBe(false)
  })

  it('ends when no nonce is left', () => {
    const { below, stream, reader } = open(algorithm, 'client', fixedRandom(new Uint8Array(head).fill(0xff)))
    stream.write(utf8('a'))
    expect(below.bytes.length).toBe(head + record(1))
    stream.write(utf8('b'))
    expect(below.bytes.length).toBe(head + record(1))
    expect(reader.error?.message).toBe('record 1: the nonces of this direction are used up')
  })

  it('a snapshot between any two events changes nothing, in either direction', () => {
    const text = Uint8Array.from({ length: 3_000 }, (_, i) => (i * 7 + (i >> 8)) & 255)
    const crypto = fixedRandom(nonceOf(algorithm, 9), nonceOf(algorithm, 9))
    const straight = open(algorithm, 'client', fixedRandom(nonceOf(algorithm, 9)))
    const pieces: Uint8Array[] = []
    for (let at = 0, size = 1; at < text.length; size = (size * 5) % 97) {
      pieces.push(text.slice(at, at + size))
      at += size
    }
    for (const piece of pieces) straight.stream.write(piece.slice())
    const wire = straight.below.bytes
    let sleepy: AeadStream | undefined
    let reading: AeadStream | undefined
    const written: Uint8Array[] = []
    const read: Uint8Array[] = []
    for (const piece of pieces) {
      const below = new Below()
      sleepy = sleepy
        ? AeadStream.restore(below, TOKEN, 'client', crypto, sleepy.snapshot())
        : new AeadStream(below, suiteOf(algorithm), TOKEN, 'client', crypto)
      sleepy.attach(new Reader())
      sleepy.write(piece)
      written.push(below.bytes)
    }
    for (let at = 0, size = 1; at < wire.length; size = 1 + ((size * 5) % 61)) {
      const below = new Below()
      reading = reading
        ? AeadStream.restore(below, TOKEN, 'server', crypto, reading.snapshot())
        : new AeadStream(below, suiteOf(algorithm), TOKEN, 'server', crypto)
      const reader = new Reader()
      reading.attach(reader)
      below.deliver(wire.subarray(at, at + size))
      read.push(reader.bytes)
      at += size
    }
    expect(toHex(new Uint8Array(Buffer.concat(written)))).toBe(toHex(wire))
    expect(toHex(new Uint8Array(Buffer.concat(read)))).toBe(toHex(text))
  })

  it('a snapshot has no key in it, and one of another kind is refused', () => {
    const { below, stream } = open(algorithm, 'server')
    below.deliver(sealed(algorithm, utf8('one')))
    const snapshot = stream.snapshot()
    expect(snapshot.length).toBeLessThan(110)
    for (const name of ['c2s', 's2c']) {
      expect(toHex(snapshot)).not.toContain(vector(`v2.${algorithm}.key.${name}`).value)
    }
    for (const [at, value] of [
      [0, 2],
      [2, 7],
    ] as const) {
      const other = snapshot.slice()
      other[at] = value
      expect(() => AeadStream.restore(new Below(), TOKEN, 'server', nodeCrypto, other)).toThrow(RangeError)
    }
    expect(() => AeadStream.restore(new Below(), TOKEN, 'server', nodeCrypto, snapshot.subarray(0, 50))).toThrow()
  })
})

describe('aes-256-gcm', () => {
  it('seals 2^32 records and no more', () => {
    const direction = new AeadDirection('aes-256-gcm', new Uint8Array(32), nodeCrypto)
    direction.start(new Uint8Array(12))
    const out = new Uint8Array(21)
    direction.records = MAX_AES_GCM_RECORDS - 1
    direction.seal(utf8('a'), out)
    expect(direction.records).toBe(2 ** 32)
    expect(() => direction.seal(utf8('a'), out)).toThrow('record 4294967296: the nonces of this direction are used up')
    const again = new AeadDirection('aes-256-gcm', new Uint8Array(32), nodeCrypto)
    again.load(direction.save())
    expect(again.records).toBe(2 ** 32)
  })
})
