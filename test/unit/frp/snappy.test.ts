import { describe, expect, it } from 'vitest'
import { codeOf } from '../../../contract/errors.ts'
import { crc32c } from '../../../protocol/frp/crc32c.ts'
import { compress, SnappyStream } from '../../../protocol/frp/snappy.ts'
import { compressBlock, decompressBlock, MAX_COMPRESSED_BYTES } from '../../../protocol/frp/snappy-block.ts'
import { Below, Reader } from './harness.ts'
import { bytesOf, hex, toHex, utf8, vector } from './vectors.ts'

const IDENTIFIER = hex('ff060000734e61507059')

function open() {
  const below = new Below()
  const stream = compress(below)
  const reader = new Reader()
  stream.attach(reader)
  return { below, stream, reader }
}

/** Bytes as another stream would write them. */
function framed(...writes: Uint8Array[]): Uint8Array {
  const { below, stream } = open()
  for (const bytes of writes) stream.write(bytes)
  return below.bytes
}

const prose = utf8(
  'It is a truth universally acknowledged, that a relay in possession of a port must be in want. '.repeat(900),
)
const noise = Uint8Array.from({ length: 70_000 }, (_, i) => (Math.imul(i ^ (i >>> 3), 0x9e3779b1) >>> 13) & 255)

describe('crc32c', () => {
  it('is Castagnoli (RFC 3720, B.4)', () => {
    expect(crc32c(new Uint8Array(32)).toString(16)).toBe('8a9136aa')
    expect(crc32c(new Uint8Array(32).fill(0xff)).toString(16)).toBe('62a8ab43')
    expect(crc32c(utf8('123456789')).toString(16)).toBe('e3069283')
  })
})

describe('writing', () => {
  it.each([
    ['snappy.go_frp', [utf8(Array(16).fill('frp').join(' '))]],
    ['snappy.block_split', [new Uint8Array(65_541)]],
    ['snappy.raw_hello', [utf8('hello')]],
    ['snappy.empty_write', [new Uint8Array(0)]],
  ])('%s: the same bytes as Go', (name, writes) => {
    expect(toHex(framed(...writes))).toBe(vector(name).value)
  })

  it('names the stream once', () => {
    expect(toHex(framed(utf8('hello'), utf8('world')))).toBe(
      vector('snappy.raw_hello').value + vector('snappy.raw_hello_second').value,
    )
  })

  it('keeps a long write until all its chunks are sent', () => {
    const { below, stream, reader } = open()
    below.keepNext = 2
    const long = new Uint8Array(Buffer.concat([noise, noise]))
    expect(stream.write(long.slice())).toBe(false)
    stream.end()
    expect(below.isEnded).toBe(false)
    below.drain()
    expect(reader.drains).toBe(0)
    below.drain()
    expect(reader.drains).toBe(1)
    expect(below.isEnded).toBe(true)
    const other = open()
    other.below.deliver(below.bytes)
    expect(Buffer.compare(other.reader.bytes, long)).toBe(0)
  })
})

describe('reading', () => {
  const observed = [
    'bad_crc',
    'no_stream_id',
    'padding_chunk',
    'reserved_unskippable',
    'second_stream_id',
    'skippable_chunk',
    'truncated',
  ]
  it.each(observed)('snappy.obs.%s: as Go reads it, cut anywhere', (name) => {
    const { value, note } = vector(`snappy.obs.${name}`)
    const input = hex(note.replace('input ', ''))
    for (let cut = 0; cut <= input.length; cut++) {
      const { below, reader } = open()
      for (const piece of [input.subarray(0, cut), input.subarray(cut)]) {
        if (piece.length > 0 && !below.isDestroyed) below.deliver(piece)
      }
      if (!below.isDestroyed) below.handler?.onEnd()
      const [, text = '', isError] = /^"(.*)" err=(?:<nil>|(.*))$/.exec(value) ?? []
      expect(Buffer.from(reader.bytes).toString()).toBe(text)
      expect(codeOf(reader.error)).toBe(isError ? 'SNAPPY_CORRUPT' : undefined)
      expect(reader.isEnded).toBe(!isError)
    }
  })

  it('undoes writing, cut anywhere', () => {
    const wire = framed(prose, noise.slice(0, 100), utf8('end'))
    const plain = Buffer.concat([prose, noise.subarray(0, 100), utf8('end')])
    for (const size of [1, 2, 3, 7, 100, 4_096, wire.length]) {
      const { below, reader } = open()
      for (let at = 0; at < wire.length; at += size) below.deliver(wire.subarray(at, at + size))
      below.handler?.onEnd()
      expect(Buffer.compare(reader.bytes, plain)).toBe(0)
      expect(reader.isEnded).toBe(true)
    }
  })

  it('gives one piece at a time to a reader that is slow, whatever expands', () => {
    const zeros = new Uint8Array(20 * 65_536)
    const wire = framed(zeros)
    expect(wire.length).toBeLessThan(100_000)
    const { below, stream, reader } = open()
    reader.keepNext = 100
    expect(below.deliver(wire)).toBe(false)
    for (let pieces = 1; pieces < 20; pieces++) {
      expect(reader.chunks.length).toBe(pieces)
      expect(below.resumes).toBe(0)
      stream.resume()
    }
    expect(reader.bytes.length).toBe(zeros.length)
    stream.resume()
    expect(below.resumes).toBe(1)
  })

  it('stops between two pieces for a reader that pauses', () => {
    const wire = framed(prose)
    const { below, stream, reader } = open()
    reader.onChunk = () => stream.pause()
    expect(below.deliver(wire)).toBe(false)
    expect(reader.chunks.length).toBe(1)
    for (let i = 0; i < 5; i++) stream.resume()
    expect(reader.bytes.length).toBe(prose.length)
    expect(below.isPaused).toBe(false)
    expect(below.isWaiting).toBe(false)
  })

  it('lets the stream below wait while a reader that paused keeps a piece', () => {
    const { below, stream, reader } = open()
    reader.onChunk = () => stream.pause()
    expect(below.deliver(framed(prose, prose))).toBe(false)
    reader.onChunk = undefined
    reader.keepNext = 1
    stream.resume()
    expect(reader.chunks.length).toBe(2)
    expect(below.resumes).toBe(0)
    stream.resume()
    expect(reader.bytes.length).toBe(2 * prose.length)
    expect(below.isWaiting || below.isPaused).toBe(false)
  })

  it('gives a reader that takes memory for good other memory', () => {
    const wire = framed(prose, prose)
    const { below, stream, reader } = open()
    reader.keepNext = 100
    const taken: Uint8Array[] = []
    reader.onChunk = (chunk) => {
      taken.push(chunk)
      stream.resume()
    }
    expect(below.deliver(wire)).toBe(true)
    expect(Buffer.compare(Buffer.concat(taken), Buffer.concat([prose, prose]))).toBe(0)
  })

  it('never takes an end inside a chunk for an end', () => {
    const wire = framed(utf8('hello'), utf8('world'))
    const between = [0, IDENTIFIER.length, IDENTIFIER.length + 13, wire.length]
    for (let cut = 0; cut <= wire.length; cut++) {
      const { below, reader } = open()
      if (cut > 0) below.deliver(wire.subarray(0, cut))
      below.handler?.onEnd()
      expect(reader.isEnded, `after ${cut} bytes`).toBe(between.includes(cut))
      expect(codeOf(reader.error)).toBe(between.includes(cut) ? undefined : 'SNAPPY_CORRUPT')
    }
  })

  it.each([
    ['a chunk above 64 KiB', '01050001000000000000', /uncompressed chunk of 65537/],
    ['a chunk of any type above the buffer', '00ffffff', /chunk of 16777215 bytes/],
    ['a skippable one above it', '80ffffff', /chunk of 16777215 bytes/],
    ['a chunk without a checksum', '00030000', /no checksum/],
    ['a stream identifier of another length', 'ff050000734e615070', /identifier of 5 bytes/],
    ['another identifier', 'ff060000734e6150705a', /wrong stream identifier/],
    ['a block longer than 64 KiB', '000700000000000081800400', /cannot be read/],
  ])('refuses %s', (_what, chunk, message) => {
    const { below, reader } = open()
    below.deliver(IDENTIFIER)
    below.deliver(hex(chunk))
    expect(codeOf(reader.error)).toBe('SNAPPY_CORRUPT')
    expect(reader.error?.message).toMatch(message)
  })
})

describe('blocks', () => {
  const room = () => new Uint8Array(MAX_COMPRESSED_BYTES + 10)

  it('come back the same at every length around the limits of the format', () => {
    for (const length of [0, 1, 16, 17, 18, 59, 60, 61, 62, 255, 256, 257, 1_000, 65_535, 65_536]) {
      for (const source of [new Uint8Array(length), noise.slice(0, length), prose.slice(0, length)]) {
        const packed = room()
        const end = compressBlock(source, packed, 3)
        const out = new Uint8Array(65_536 + 5)
        expect(decompressBlock(packed.subarray(3, end), out, 5)).toBe(5 + length)
        expect(Buffer.compare(out.subarray(5, 5 + length), source)).toBe(0)
      }
    }
  })

  it.each([
    ['no length', ''],
    ['a length without end', 'ffffff'],
    ['a copy before any byte', '04' + '0104'],
    ['a copy with offset 0', '05' + '0061' + '0100'],
    ['a copy from before the start', '05' + '0061' + '0102'],
    ['a literal that is cut', '05' + '1061'],
    ['a literal longer than the block', '01' + '046162'],
    ['fewer bytes than announced', '02' + '0061'],
    ['a copy that is cut', '05' + '0061' + '02'],
    ['a literal of 4 GiB', '01' + 'fcffffffff61'],
    ['a copy from 4 GiB before', '05' + '0061' + '0fffffffff'],
  ])('refuse %s', (_what, block) => {
    expect(decompressBlock(hex(block), new Uint8Array(65_536), 0)).toBe(-1)
  })
})

describe('a snapshot', () => {
  it('between any two events changes nothing, in either direction', () => {
    const wire = bytesOf('snappy.go_frp')
    const plain = Array(16).fill('frp').join(' ')
    for (let cut = 0; cut <= wire.length; cut++) {
      const first = open()
      if (cut > 0) first.below.deliver(wire.subarray(0, cut))
      first.stream.write(utf8('hello'))
      const below = new Below()
      const stream = SnappyStream.restore(below, first.stream.snapshot())
      const reader = new Reader()
      stream.attach(reader)
      if (cut < wire.length) below.deliver(wire.subarray(cut))
      stream.write(utf8('world'))
      expect(Buffer.from([...first.reader.bytes, ...reader.bytes]).toString(), `cut at ${cut}`).toBe(plain)
      expect(toHex(below.bytes)).toBe(vector('snappy.raw_hello_second').value)
    }
  })
})
