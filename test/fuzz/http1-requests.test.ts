import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KNOWN_METHODS, opinionOf } from '../unit/http1/llhttp.ts'
import { CORPUS } from '../unit/http1/request-corpus.ts'
import { bytesOf, codeThrown, type ReadRequest, readRequest, singles, textOf } from '../unit/http1/tools.ts'

const ODD = [
  '\0',
  '\t',
  '\n',
  '\r',
  '\r\n',
  ' ',
  ':',
  ';',
  ',',
  '"',
  '\x0b',
  '\x7f',
  '\x80',
  '\xff',
  '0',
  '-',
  '+',
  '@',
  '/',
]
const odd = fc.oneof({ weight: 40, arbitrary: fc.constant('') }, { weight: 1, arbitrary: fc.constantFrom(...ODD) })
const end = fc.oneof(
  { weight: 40, arbitrary: fc.constant('\r\n') },
  { weight: 1, arbitrary: fc.constantFrom('\n', '\r', '\r\r\n', '\r\n ') },
)
const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD', 'CONNECT', 'PROPFIND', 'get')
const target = fc.constantFrom('/', '/x', '/a?b=c', '*', 'http://b/x', 'b:80', '/\xe9', '/a b', '/%2e%2e/', '//', '/#')
const version = fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'http/1.1')
const name = fc.constantFrom(
  'Host',
  'Content-Length',
  'Transfer-Encoding',
  'Connection',
  'Upgrade',
  'X-Y',
  'content-length',
  'Expect',
  'Trailer',
)
const value = fc.constantFrom(
  'a',
  'b.example:80',
  '0',
  '3',
  '5',
  '0x3',
  '3, 3',
  'chunked',
  'Chunked',
  'gzip, chunked',
  'close',
  'keep-alive',
  'Upgrade',
  'websocket',
  'h2c',
  '',
  '100-continue',
  'caf\xe9',
)
const usual = fc.constantFrom(
  'Content-Length: 3',
  'Transfer-Encoding: chunked',
  'Connection: close',
  'X-Y: a',
  'Expect: b',
)
const anyField = fc.tuple(name, odd, odd, value, odd).map(([n, o, p, v, q]) => `${n}${o}: ${p}${v}${q}`)
const field = fc
  .tuple(fc.oneof({ weight: 3, arbitrary: usual }, { weight: 1, arbitrary: anyField }), end)
  .map((parts) => parts.join(''))
const line = fc.tuple(method, odd, target, odd, version, end).map(([m, o, t, p, v, e]) => `${m} ${o}${t}${p} ${v}${e}`)
const chunk = fc
  .tuple(
    fc.constantFrom('3', '03', 'a', '0', '1;x=y', '2;"', 'x', '3 ', '2;a="b"'),
    end,
    fc.constantFrom('abc', 'a', 'ab', ''),
    end,
  )
  .map((parts) => parts.join(''))
const bodies = fc.oneof(
  fc.constantFrom(
    '',
    'abc',
    'abcde',
    '0\r\n\r\n',
    '3\r\nabc\r\n0\r\n\r\n',
    '0\r\nX: y\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\n',
  ),
  fc.array(chunk, { maxLength: 4 }).map((chunks) => `${chunks.join('')}0\r\n\r\n`),
)
const request = fc
  .tuple(line, fc.constantFrom(true, true, true, false), fc.array(field, { maxLength: 3 }), end, bodies)
  .map(
    ([first, hasHost, fields, last, body]) => `${first}${hasHost ? 'Host: h\r\n' : ''}${fields.join('')}${last}${body}`,
  )

/** What ours reads, or undefined when it refuses or needs more; anything but our own errors is thrown on. */
function accepted(bytes: Uint8Array): ReadRequest | undefined {
  let result: ReadRequest | undefined
  codeThrown(() => {
    result = readRequest([bytes])
  })
  return result?.isComplete ? result : undefined
}

/** Throws unless llhttp reads the same message in the same bytes. */
function compare(bytes: Uint8Array, ours: ReadRequest): void {
  const { head } = ours
  if (!KNOWN_METHODS.includes(head.method)) return
  const opinion = opinionOf('request', bytes.subarray(0, ours.used))
  if (opinion instanceof Error) {
    // RFC 9110 5.5: blanks around a value are no part of it, a tab too; llhttp takes only spaces behind these two.
    if (/(transfer-encoding|content-length)[^\n]*\t *\r\n/i.test(textOf(bytes))) return
    throw new Error(`llhttp refuses ${JSON.stringify(textOf(bytes))}`, { cause: opinion })
  }
  expect(opinion.method).toBe(head.method)
  expect(opinion.url).toBe(head.target)
  expect(opinion.fields).toEqual([...head.fields])
  expect(textOf(opinion.body)).toBe(ours.body)
  expect(opinion.trailers).toEqual(ours.trailers)
  // CONNECT and upgrades: llhttp stops and leaves the rest to the caller.
  if (!opinion.upgrade) expect(opinion.isComplete).toBe(true)
}

describe('requests made at random', { timeout: 30_000 }, () => {
  it('are accepted only if llhttp accepts them, with the same fields and body', () => {
    let count = 0
    fc.assert(
      fc.property(request, (text) => {
        const bytes = bytesOf(text)
        const ours = accepted(bytes)
        if (ours === undefined) return
        count += 1
        compare(bytes, ours)
      }),
      { numRuns: 10_000 },
    )
    // A generator whose every request is refused would prove nothing.
    expect(count).toBeGreaterThan(400)
  })

  it('with flipped bytes throw nothing but our own errors, and are still read as llhttp reads them', () => {
    const sources = CORPUS.filter((entry) => entry[2] === 'ok' && entry[1].length < 1_000).map((entry) => entry[1])
    fc.assert(
      fc.property(
        fc.constantFrom(...sources),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 3 }),
        (text, flips) => {
          const bytes = bytesOf(text)
          for (const [at, byte] of flips) bytes[at % bytes.length] = byte
          const ours = accepted(bytes)
          if (ours !== undefined) compare(bytes, ours)
        },
      ),
      { numRuns: 10_000 },
    )
  })

  it('are read the same however they are cut', () => {
    const read = (pieces: Uint8Array[]) => {
      let result: ReadRequest | undefined
      const code = codeThrown(() => {
        result = readRequest(pieces)
      })
      return JSON.stringify([code, code === 'none' ? result : undefined])
    }
    fc.assert(
      fc.property(request, fc.nat(), (text, cut) => {
        const bytes = bytesOf(text)
        const at = cut % bytes.length
        const cutInTwo = read([bytes.subarray(0, at), bytes.subarray(at)])
        const cutInBytes = read(singles(bytes))
        // Whole and cut may differ only in when they refuse: a head that never ends is refused early if it is whole.
        const whole = read([bytes])
        if (cutInBytes.startsWith('["none",null') || cutInTwo.startsWith('["none",null')) return
        expect(cutInTwo).toBe(whole)
        expect(cutInBytes).toBe(whole)
      }),
      { numRuns: 3_000 },
    )
  })
})
