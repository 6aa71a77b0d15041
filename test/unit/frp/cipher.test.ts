import { createCipheriv, createDecipheriv } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../../../contract/errors.ts'
import { nodeCrypto } from '../../../node/crypto.ts'
import { AesBlock } from '../../../protocol/frp/aes.ts'
import { CipherStream, deriveKey, encrypt } from '../../../protocol/frp/cipher.ts'
import { READ_ONLY } from '../../../protocol/stream/byte-stream.ts'
import { Below, cutAt, fixedRandom, Reader } from './harness.ts'
import { bytesOf, hex, toHex, utf8, vector } from './vectors.ts'

const key = deriveKey(nodeCrypto, '12345678')
const iv = hex('000102030405060708090a0b0c0d0e0f')
const text = Uint8Array.from({ length: 3_000 }, (_, i) => (i * 7 + (i >> 8)) & 255)

function native(plain: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([iv, createCipheriv('aes-128-cfb', key, iv).update(plain)]))
}

function open(crypto = fixedRandom(iv)) {
  const below = new Below()
  const stream = encrypt(below, key, crypto)
  const reader = new Reader()
  stream.attach(reader)
  return { below, stream, reader }
}

describe('AesBlock', () => {
  it('is AES-128 (FIPS 197, appendix C.1)', () => {
    const out = new Uint8Array(16)
    new AesBlock(iv).encrypt(hex('00112233445566778899aabbccddeeff'), 0, out, 0)
    expect(toHex(out)).toBe('69c4e0d86a7b0430d8cdb78070b4c55a')
  })

  it('equals the native one', () => {
    for (let i = 0; i < 500; i++) {
      const [k, block, out] = [nodeCrypto.randomBytes(16), nodeCrypto.randomBytes(16), new Uint8Array(16)]
      new AesBlock(k).encrypt(block, 0, out, 0)
      expect(toHex(out)).toBe(toHex(nodeCrypto.aesEcbEncrypt(k, block)))
    }
  })
})

describe('the vectors', () => {
  it('writes the start vector, then the messages of one stream', () => {
    const { below, stream } = open()
    stream.write(bytesOf('v1.ping'))
    expect(toHex(below.bytes)).toBe(vector('cfb.stream.first_write').value)
    stream.write(bytesOf('v1.ping'))
    expect(toHex(below.bytes)).toBe(vector('cfb.stream.first_write').value + vector('cfb.stream.second_write').value)
  })

  it('reads the other direction', () => {
    const { below, reader } = open()
    below.deliver(bytesOf('cfb.stream.other_direction'))
    expect(toHex(reader.bytes)).toBe(vector('v1.pong').value)
  })

  it('sends the start vector alone for an empty write', () => {
    const { below, stream } = open()
    stream.write(new Uint8Array(0))
    expect(toHex(below.bytes)).toBe(vector('cfb.stream.empty_write').value)
  })

  it('sends nothing at all until something is written', () => {
    const { below, stream } = open()
    stream.end()
    expect(below.written).toEqual([])
    expect(below.isEnded).toBe(true)
  })
})

describe('writing', () => {
  const rooms = [READ_ONLY, 0, 15, 16, 64]
  it.each(rooms)('equals the native cipher with head room %i, at any cut', (room) => {
    for (let cut = 0; cut <= 700; cut += 7) {
      const { below, stream } = open()
      for (const piece of [text.slice(0, cut), text.slice(cut)]) {
        const buffer = new Uint8Array(Math.max(room, 0) + piece.length)
        buffer.set(piece, Math.max(room, 0))
        stream.write(buffer.subarray(Math.max(room, 0)), room)
        if (room === READ_ONLY) expect(toHex(buffer)).toBe(toHex(piece))
      }
      expect(toHex(below.bytes), `cut at ${cut}`).toBe(toHex(native(text)))
    }
  })

  it('passes the loan on, once for each write', () => {
    const { below, stream, reader } = open()
    below.keepNext = 2
    expect(stream.write(utf8('one'))).toBe(false)
    below.drain()
    expect(reader.drains).toBe(1)
    expect(stream.write(utf8('two'))).toBe(false)
    stream.end()
    below.drain()
    expect(reader.drains).toBe(2)
    expect(stream.write(utf8('late'))).toBe(true)
    expect(toHex(below.bytes)).toBe(toHex(native(utf8('onetwo'))))
  })
})

describe('reading', () => {
  it('equals the native cipher, cut anywhere and at both ends of a block', () => {
    const wire = native(text)
    for (let cut = 1; cut < 100; cut++) {
      const { below, reader } = open()
      for (const piece of cutAt(wire, [cut, cut + 17, cut + 600])) below.deliver(piece, cut % 3)
      expect(toHex(reader.bytes), `cut at ${cut}`).toBe(toHex(text))
    }
  })

  it('leaves memory alone that is not to be changed', () => {
    const { below, reader } = open()
    const wire = native(text)
    below.handler?.onData(wire, READ_ONLY)
    expect(toHex(wire)).toBe(toHex(native(text)))
    expect(toHex(reader.bytes)).toBe(toHex(text))
  })

  it('waits for a reader that keeps a chunk', () => {
    const { below, stream, reader } = open()
    reader.keepNext = 1
    expect(below.deliver(native(text).subarray(0, 100))).toBe(false)
    expect(below.resumes).toBe(0)
    stream.resume()
    expect(below.resumes).toBe(1)
  })

  it('delivers nothing while paused, and the end after it', () => {
    const { below, stream, reader } = open()
    below.deliver(native(text))
    stream.pause()
    expect(below.isPaused).toBe(true)
    below.handler?.onEnd()
    expect(reader.isEnded).toBe(false)
    below.isEnded = true
    below.handler?.onClose()
    expect(reader.closes).toBe(0)
    stream.resume()
    expect(below.isPaused).toBe(false)
    expect(reader.isEnded).toBe(true)
    expect(reader.closes).toBe(1)
    expect(reader.error).toBeUndefined()
  })

  it('gives a reader that takes memory for good more', () => {
    const { below, stream, reader } = open()
    reader.keepNext = 1
    reader.onChunk = () => stream.resume()
    expect(below.deliver(native(text).subarray(0, 100))).toBe(true)
    expect(below.resumes).toBeGreaterThan(0)
  })

  it('takes an end inside the start vector for a cut, one before it for an end', () => {
    const cut = open()
    cut.below.deliver(iv.subarray(0, 15))
    cut.below.handler?.onEnd()
    expect(codeOf(cut.reader.error)).toBe('CIPHER_TRUNCATED')
    expect(cut.reader.isEnded).toBe(false)
    const clean = open()
    clean.below.handler?.onEnd()
    expect(clean.reader.isEnded).toBe(true)
  })
})

describe('a snapshot', () => {
  it('between any two events changes nothing, in either direction', () => {
    const wire = native(text)
    const plain = createDecipheriv('aes-128-cfb', key, iv).update(wire.subarray(16))
    let stream: CipherStream | undefined
    let below = new Below()
    const read: Uint8Array[] = []
    const written: Uint8Array[] = []
    const crypto = fixedRandom(iv)
    let at = 0
    for (let size = 1; at < wire.length; size = (size * 5) % 97) {
      stream = stream ? CipherStream.restore(below, key, crypto, stream.snapshot()) : encrypt(below, key, crypto)
      const reader = new Reader()
      stream.attach(reader)
      below.deliver(wire.subarray(at, at + size))
      stream.write(text.slice(at, at + size))
      at += size
      read.push(reader.bytes)
      written.push(below.bytes)
      expect(stream.snapshot().length).toBeLessThan(100)
      below = new Below()
    }
    expect(toHex(new Uint8Array(Buffer.concat(read)))).toBe(plain.toString('hex'))
    expect(toHex(new Uint8Array(Buffer.concat(written)))).toBe(toHex(native(text)))
  })
})
