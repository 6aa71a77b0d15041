import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type BodyFraming,
  BodyReader,
  ChunkEncoder,
  requestFraming,
  responseFraming,
} from '../../../protocol/http1/body.ts'
import { Fields, parseResponseHead } from '../../../protocol/http1/head.ts'
import { HEAD_ROOM, MAX_HTTP_CHUNK_LINE_BYTES, MAX_HTTP_TRAILER_BYTES } from '../../../protocol/limits.ts'
import { READ_ONLY } from '../../../protocol/stream/byte-stream.ts'
import { opinionOf } from './llhttp.ts'
import { bytesOf, codeThrown, singles, textOf } from './tools.ts'

const CHUNKED: BodyFraming = { type: 'chunked' }

function payloadOf(reader: BodyReader, pieces: Uint8Array[]): string {
  let text = ''
  for (const piece of pieces) {
    reader.consume(piece, 0, (slice) => {
      text += textOf(slice)
      return true
    })
  }
  return text
}

describe('framing', () => {
  it('of a request', () => {
    expect(requestFraming({ isChunked: true, contentLength: -1 })).toEqual(CHUNKED)
    expect(requestFraming({ isChunked: false, contentLength: 5 })).toEqual({ type: 'length', length: 5 })
    expect(requestFraming({ isChunked: false, contentLength: 0 })).toEqual({ type: 'none' })
    expect(requestFraming({ isChunked: false, contentLength: -1 })).toEqual({ type: 'none' })
  })

  const length = 'Content-Length: 5\r\n'
  const chunked = 'Transfer-Encoding: chunked\r\n'
  it.each([
    ['GET', 200, length, 'length'],
    ['GET', 200, chunked, 'chunked'],
    ['GET', 200, '', 'close'],
    ['GET', 200, 'Content-Length: 0\r\n', 'none'],
    ['HEAD', 200, length, 'none'],
    ['HEAD', 200, chunked, 'none'],
    ['HEAD', 200, '', 'none'],
    ['GET', 100, length, 'none'],
    ['GET', 103, '', 'none'],
    ['GET', 204, chunked, 'none'],
    ['GET', 304, length, 'none'],
    ['CONNECT', 200, length, 'none'],
    ['CONNECT', 407, length, 'length'],
    ['POST', 205, '', 'close'],
  ])('of a response to %s: %i with %j is %s', (method, status, field, type) => {
    const head = parseResponseHead(bytesOf(`HTTP/1.1 ${status} x\r\n${field}\r\n`))
    expect(responseFraming(head, method).type).toBe(type)
  })
})

describe('a body', () => {
  it('of a length ends there and leaves the rest', () => {
    const reader = new BodyReader({ type: 'length', length: 5 }, 'HTTP_BAD_REQUEST')
    expect(reader.consume(bytesOf('..abc'), 2)).toBe(5)
    expect(reader.isDone).toBe(false)
    expect(codeThrown(() => reader.finish())).toBe('HTTP_TRUNCATED')
    expect(reader.consume(bytesOf('deGET /'), 0)).toBe(2)
    expect(reader.isDone).toBe(true)
    expect(reader.consume(bytesOf('GET /'), 0)).toBe(0)
    reader.finish()
  })

  it('without one is done at once', () => {
    expect(new BodyReader({ type: 'none' }, 'HTTP_BAD_REQUEST').isDone).toBe(true)
  })

  it('until close ends with the stream', () => {
    const reader = new BodyReader({ type: 'close' }, 'HTTP_BAD_RESPONSE')
    expect(payloadOf(reader, [bytesOf('ab'), bytesOf('cd')])).toBe('abcd')
    expect(reader.isDone).toBe(false)
    reader.finish()
    expect(reader.isDone).toBe(true)
  })

  it('stops behind a slice that is kept, wherever the chunks end', () => {
    const bytes = bytesOf('3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nrest')
    const reader = new BodyReader(CHUNKED, 'HTTP_BAD_RESPONSE')
    const slices: string[] = []
    let at = 0
    let stops = 0
    while (!reader.isDone) {
      at = reader.consume(bytes, at, (slice, start) => {
        slices.push(`${start}:${textOf(slice)}`)
        return false
      })
      stops += 1
    }
    expect(slices).toEqual(['3:abc', '11:de'])
    expect(stops).toBe(3)
    expect(textOf(bytes.subarray(at))).toBe('rest')
  })

  const body = '3;x="a\\"b";y=z\r\nabc\r\n00B\r\n0123456789x\r\n0\r\nX-Sum: 1\r\nx-b: caf\xe9\r\n\r\n'

  it('in chunks gives payload and trailers, however it is cut', () => {
    const bytes = bytesOf(body)
    const cuts = [singles(bytes), [bytes]]
    for (let i = 1; i < bytes.length; i++) cuts.push([bytes.subarray(0, i), bytes.subarray(i)])
    for (const pieces of cuts) {
      const reader = new BodyReader(CHUNKED, 'HTTP_BAD_REQUEST')
      expect(payloadOf(reader, pieces)).toBe('abc0123456789x')
      expect([...(reader.trailers ?? [])]).toEqual([
        ['X-Sum', '1'],
        ['x-b', 'caf\xe9'],
      ])
      reader.finish()
    }
  })

  it('that ends anywhere before its last byte is truncated', () => {
    const bytes = bytesOf(body)
    for (let i = 0; i < bytes.length; i++) {
      const reader = new BodyReader(CHUNKED, 'HTTP_BAD_RESPONSE')
      reader.consume(bytes.subarray(0, i), 0)
      expect(codeThrown(() => reader.finish())).toBe('HTTP_TRUNCATED')
    }
  })

  it('in chunks of up to 2^52 is not believed and not kept', () => {
    const reader = new BodyReader(CHUNKED, 'HTTP_BAD_REQUEST')
    const chunk = bytesOf('FFFFFFFFFFFFF\r\nabc')
    expect(reader.consume(chunk, 0)).toBe(chunk.length)
    expect(codeThrown(() => reader.finish())).toBe('HTTP_TRUNCATED')
  })

  it('with endless extensions or trailers is refused at the limit', () => {
    const line = new BodyReader(CHUNKED, 'HTTP_BAD_REQUEST')
    expect(codeThrown(() => line.consume(bytesOf(`1;${'a'.repeat(MAX_HTTP_CHUNK_LINE_BYTES - 2)}`), 0))).toBe('none')
    expect(codeThrown(() => line.consume(bytesOf('a'), 0))).toBe('HTTP_BAD_REQUEST')
    const trailers = new BodyReader(CHUNKED, 'HTTP_BAD_RESPONSE')
    expect(codeThrown(() => trailers.consume(bytesOf(`0\r\nX: ${'a'.repeat(MAX_HTTP_TRAILER_BYTES - 3)}`), 0))).toBe(
      'none',
    )
    expect(codeThrown(() => trailers.consume(bytesOf('a'), 0))).toBe('HTTP_BAD_RESPONSE')
  })
})

describe('the chunk encoder', { timeout: 30_000 }, () => {
  const HEAD = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'

  it('writes what ours and llhttp read back, with and without head room', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(fc.uint8Array({ maxLength: 300, size: 'max' }), fc.constantFrom(READ_ONLY, 0, 5, 7, HEAD_ROOM)),
        ),
        fc.boolean(),
        (payloads, hasTrailers) => {
          const encoder = new ChunkEncoder()
          const wire: Uint8Array[] = []
          for (const [payload, room] of payloads) {
            const memory = new Uint8Array(HEAD_ROOM + payload.length).fill(0xee)
            memory.set(payload, HEAD_ROOM)
            const framed = encoder.frame(memory.subarray(HEAD_ROOM), room)
            // Nothing before the room that was given is written.
            expect(memory.subarray(0, HEAD_ROOM - Math.max(room, 0)).every((byte) => byte === 0xee)).toBe(true)
            if (room === READ_ONLY) expect(framed.length === 0 || framed.buffer !== memory.buffer).toBe(true)
            wire.push(framed.slice())
          }
          wire.push(encoder.last(hasTrailers ? Fields.of(['X-Sum', '1']) : undefined).slice())
          const bytes = Buffer.concat(wire)
          const expected = Buffer.concat(payloads.map(([payload]) => payload)).toString('latin1')
          const reader = new BodyReader(CHUNKED, 'HTTP_BAD_RESPONSE')
          expect(payloadOf(reader, [bytes])).toBe(expected)
          expect(reader.isDone).toBe(true)
          expect(reader.trailers?.get('x-sum')).toBe(hasTrailers ? '1' : undefined)
          const opinion = opinionOf('response', Buffer.concat([bytesOf(HEAD), bytes]))
          if (opinion instanceof Error) throw opinion
          expect(textOf(opinion.body)).toBe(expected)
          expect(opinion.isComplete).toBe(true)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('puts the size line into the room before the payload', () => {
    const memory = new Uint8Array(HEAD_ROOM + 20)
    const encoder = new ChunkEncoder()
    expect(textOf(encoder.frame(memory.subarray(HEAD_ROOM).fill(120), HEAD_ROOM))).toBe(`14\r\n${'x'.repeat(20)}`)
    expect(encoder.headRoom).toBe(HEAD_ROOM - 4)
    const second = encoder.frame(memory.subarray(HEAD_ROOM), HEAD_ROOM)
    expect(second.buffer).toBe(memory.buffer)
    expect(textOf(second)).toBe(`\r\n14\r\n${'x'.repeat(20)}`)
    expect(textOf(encoder.last())).toBe('\r\n0\r\n\r\n')
  })
})
