import { describe, expect, it } from 'vitest'
import { codeOf } from '../../../contract/errors.ts'
import { nodeCrypto } from '../../../node/crypto.ts'
import { deriveKey } from '../../../protocol/frp/cipher.ts'
import { wrap } from '../../../protocol/frp/wrap.ts'
import { pair } from '../../../protocol/stream/pair.ts'
import { TokenBucket } from '../../../protocol/stream/throttle.ts'
import { Below, fixedRandom, ManualRuntime, Reader } from './harness.ts'
import { bytesOf, hex, toHex, utf8, vector } from './vectors.ts'

const key = deriveKey(nodeCrypto, '12345678')
const iv = hex('000102030405060708090a0b0c0d0e0f')

function wrapped(options: Parameters<typeof wrap>[1], crypto = nodeCrypto) {
  const below = new Below()
  const stream = wrap(below, options, crypto)
  const reader = new Reader()
  stream.attach(reader)
  return { below, stream, reader }
}

describe('wrap', () => {
  it('without options is the stream itself', () => {
    const below = new Below()
    expect(wrap(below, {}, nodeCrypto)).toBe(below)
  })

  it('compresses, then encrypts', () => {
    const { below, stream } = wrapped({ key, compression: true }, fixedRandom(iv))
    stream.write(utf8('hello'))
    expect(toHex(below.bytes)).toBe(vector('snappy.then_cfb').value)
  })

  it.each([
    ['capture.work_conn.enc.s2c', 'hi'],
    ['capture.work_conn.enc.c2s', 're:hi'],
  ])('reads what frp 0.70.1 wrote: %s', (name, text) => {
    const { below, reader } = wrapped({ key, compression: true })
    below.deliver(bytesOf(name))
    expect(Buffer.from(reader.bytes).toString()).toBe(text)
  })

  it('counts plain bytes above the wrapping, wire bytes below it', () => {
    const zeros = new Uint8Array(60_000)
    const above = new ManualRuntime()
    wrapped({ key, compression: true, bucket: new TokenBucket(10_000, above) }).stream.write(zeros.slice())
    while (above.step());
    expect(above.now).toBe(5_000)
    const below = new ManualRuntime()
    const bucket = new TokenBucket(10_000, below)
    const { stream } = wrapped({ key, compression: true, bucket, bucketBelow: true })
    expect(stream.write(zeros.slice())).toBe(true)
    expect(below.now).toBe(0)
  })

  const kinds = [
    ['encryption', { key }],
    ['compression', { compression: true }],
    ['both', { key, compression: true }],
  ] as const

  it.each(kinds)('%s keeps half-close: an answer may follow the end', (_kind, options) => {
    const [a, b] = pair()
    const [near, far] = [wrap(a, options, nodeCrypto), wrap(b, options, nodeCrypto)]
    const [nearReader, farReader] = [new Reader(), new Reader()]
    near.attach(nearReader)
    far.attach(farReader)
    near.write(utf8('question'))
    near.end()
    expect(farReader.isEnded).toBe(true)
    expect(nearReader.isEnded).toBe(false)
    far.write(utf8('answer'))
    far.end()
    expect(Buffer.from(nearReader.bytes).toString()).toBe('answer')
    expect([nearReader.closes, farReader.closes]).toEqual([1, 1])
    expect([nearReader.error, farReader.error]).toEqual([undefined, undefined])
  })

  it.each(kinds)('%s lets a reset be no end', (_kind, options) => {
    const [a, b] = pair()
    const reader = new Reader()
    const near = wrap(a, options, nodeCrypto)
    near.attach(reader)
    wrap(b, options, nodeCrypto).destroy()
    expect(reader.isEnded).toBe(false)
    expect(codeOf(reader.error)).toBe('STREAM_RESET')
  })

  it.each(kinds)('%s delivers a head that was read before first', (_kind, options) => {
    const [a, b] = pair()
    const near = wrap(a, options, nodeCrypto)
    const far = wrap(b, options, nodeCrypto)
    const second = new Reader()
    const first = new Reader()
    first.onChunk = (chunk) => near.attach(second, chunk.slice(3))
    near.attach(first)
    far.write(utf8('onetwo'))
    far.write(utf8('three'))
    expect(Buffer.from(second.bytes).toString()).toBe('twothree')
  })
})
