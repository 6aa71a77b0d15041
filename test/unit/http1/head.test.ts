import { describe, expect, it } from 'vitest'
import {
  Fields,
  HeadReader,
  normalizeFraming,
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  readRequestHead,
  readResponseHead,
  removeHopByHop,
  serializeRequestHead,
  serializeResponseHead,
  utf8AsLatin1,
} from '../../../protocol/http1/head.ts'
import { HEAD_ROOM, MAX_HTTP_HEAD_BYTES } from '../../../protocol/limits.ts'
import { opinionOf } from './llhttp.ts'
import { bytesOf, codeThrown, singles, textOf } from './tools.ts'

const request = (text: string): RequestHead => parseRequestHead(bytesOf(text))
const withFields = (fields: string) => request(`GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`)

describe('a request head', () => {
  it('keeps order, spelling and latin-1', () => {
    const head = withFields('X-b: caf\xe9\r\nx-A:  1 \r\nX-B: 2\r\n')
    expect([...head.fields]).toEqual([
      ['Host', 'a'],
      ['X-b', 'caf\xe9'],
      ['x-A', '1'],
      ['X-B', '2'],
    ])
    expect(head.fields.get('x-b')).toBe('caf\xe9')
    expect(head.fields.getAll('X-B')).toEqual(['caf\xe9', '2'])
    expect(textOf(serializeRequestHead(head))).toBe(
      'GET / HTTP/1.1\r\nHost: a\r\nX-b: caf\xe9\r\nx-A: 1\r\nX-B: 2\r\n\r\n',
    )
  })

  it.each([
    ['GET /x?y HTTP/1.1\r\nHost: a:80\r\n\r\n', 'a:80', '/x?y', false],
    ['GET http://b:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n', 'b:81', '/x?y', true],
    ['GET http://b HTTP/1.1\r\nHost: a\r\n\r\n', 'b', '/', true],
    ['GET HTTPS://b?q HTTP/1.1\r\nHost: a\r\n\r\n', 'b', '/?q', true],
    ['OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n', 'b', '*', true],
    ['OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 'a', '*', false],
    ['CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n', 'b:443', '', false],
    ['GET / HTTP/1.0\r\n\r\n', '', '/', false],
  ])('%j is for %s', (text, authority, path, isAbsoluteForm) => {
    expect(request(text)).toMatchObject({ authority, path, isAbsoluteForm })
  })

  it.each([
    ['', true, undefined],
    ['Connection: close\r\n', false, undefined],
    ['Connection: Keep-Alive, Close\r\n', false, undefined],
    ['Connection: keep-alive\r\nConnection: close\r\n', false, undefined],
    ['Connection: x, Upgrade\r\nUpgrade: WebSocket\r\n', true, 'WebSocket'],
    ['Upgrade: websocket\r\n', true, undefined],
    ['Connection: upgrade\r\n', true, undefined],
    ['Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n', true, 'h2c, websocket'],
  ])('with %j: keepAlive %s, upgrade %s', (fields, keepAlive, upgrade) => {
    const head = withFields(fields)
    expect(head.keepAlive).toBe(keepAlive)
    expect(head.upgrade).toBe(upgrade)
  })

  it('of HTTP/1.0 closes unless it says keep-alive', () => {
    expect(request('GET / HTTP/1.0\r\n\r\n').keepAlive).toBe(false)
    expect(request('GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n').keepAlive).toBe(true)
  })

  it('of HTTP/1.0 asks for no upgrade', () => {
    expect(request('GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n').upgrade).toBe(undefined)
  })

  it('says whether the body waits for a 100', () => {
    expect(withFields('Expect: 100-Continue\r\n').expectsContinue).toBe(true)
    expect(withFields('').expectsContinue).toBe(false)
  })

  it('names what is wrong', () => {
    expect(() => withFields('Content-Length: +5\r\n')).toThrow(/Content-Length "\+5"/)
    expect(() => withFields('X Y: 1\r\n')).toThrow(/field 2 'X': white space before the colon/)
    expect(() => request('GET / HTTP/1.1\r\nHost: a@b\r\n\r\n')).toThrow(/Host "a@b"/)
  })

  it('that is not complete is an error for parse', () => {
    expect(codeThrown(() => request('GET / HTTP/1.1\r\nHost: a\r\n'))).toBe('HTTP_TRUNCATED')
  })
})

describe('a response head', () => {
  const response = (text: string) => parseResponseHead(bytesOf(text))

  it.each([
    ['HTTP/1.1 200 OK\r\n\r\n', 200, 'OK'],
    ['HTTP/1.1 200 \r\n\r\n', 200, ''],
    ['HTTP/1.1 200\r\n\r\n', 200, ''],
    ['HTTP/1.0 404 Not  Found \r\n\r\n', 404, 'Not  Found '],
    ['HTTP/1.1 999 caf\xe9\r\n\r\n', 999, 'caf\xe9'],
    ['HTTP/1.1 200 OK\nX: y\n\n', 200, 'OK'],
  ])('%j', (text, status, reason) => {
    expect(response(text)).toMatchObject({ status, reason })
  })

  it.each([
    'HTTP/1.1 99 OK\r\n\r\n',
    'HTTP/1.1 099 OK\r\n\r\n',
    'HTTP/1.1 2000 OK\r\n\r\n',
    'HTTP/1.1  200 OK\r\n\r\n',
    'HTTP/1.1 +20 OK\r\n\r\n',
    'HTTP/2 200 OK\r\n\r\n',
    'HTTP/1.2 200 OK\r\n\r\n',
    'ICY 200 OK\r\n\r\n',
    'SSH-2.0-OpenSSH_9.2\r\n',
    '\r\nHTTP/1.1 200 OK\r\n\r\n',
    'HTTP/1.1 200 O\rK\r\n\r\n',
    'HTTP/1.1 200 O\0K\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX : y\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n',
    'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  ])('%j is refused', (text) => {
    expect(codeThrown(() => response(text))).toBe('HTTP_BAD_RESPONSE')
  })

  it('is written with an empty reason, too', () => {
    const head = response('HTTP/1.1 200\r\nX: y\r\n\r\n')
    expect(textOf(serializeResponseHead(head))).toBe('HTTP/1.1 200 \r\nX: y\r\n\r\n')
    expect(opinionOf('response', serializeResponseHead(head))).toMatchObject({ status: 200, fields: [['X', 'y']] })
  })
})

describe('HeadReader', () => {
  const text = 'POST /x HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n'

  it('says how much of the chunk was used, and is ready for the next head', () => {
    const reader = new HeadReader(readRequestHead)
    const bytes = bytesOf(`${text}body`)
    expect(reader.feed(bytes)).toMatchObject({ bytesUsed: text.length, head: { target: '/x' } })
    for (let round = 0; round < 2; round++) {
      expect(reader.feed(bytes.subarray(0, 20))).toBeUndefined()
      expect(reader.isInside).toBe(true)
      expect(reader.feed(bytes.subarray(20))).toMatchObject({ bytesUsed: text.length - 20, head: { target: '/x' } })
      expect(reader.isInside).toBe(false)
    }
  })

  it('copies what it keeps', () => {
    const reader = new HeadReader(readRequestHead)
    const bytes = bytesOf(text)
    for (const piece of singles(bytes)) {
      const found = reader.feed(piece)
      piece.fill(0xff)
      if (found !== undefined) expect(found.head.fields.get('x')).toBe('y')
    }
    expect(reader.isInside).toBe(false)
  })

  it('takes a head of exactly the limit and refuses one more byte, whole or in bytes', () => {
    const start = 'GET / HTTP/1.1\r\nHost: a\r\nX: '
    const fits = bytesOf(`${start}${'a'.repeat(MAX_HTTP_HEAD_BYTES - start.length - 4)}\r\n\r\n`)
    const tooLong = bytesOf(`${start}${'a'.repeat(MAX_HTTP_HEAD_BYTES - start.length - 3)}\r\n\r\n`)
    const feedAll = (pieces: Uint8Array[]) => {
      const reader = new HeadReader(readRequestHead)
      return pieces.map((piece) => reader.feed(piece)).at(-1)?.head.byteLength
    }
    expect(fits.length).toBe(MAX_HTTP_HEAD_BYTES)
    expect(feedAll([fits])).toBe(fits.length)
    expect(feedAll(singles(fits))).toBe(fits.length)
    expect(codeThrown(() => feedAll([tooLong]))).toBe('HTTP_HEAD_TOO_LARGE')
    expect(codeThrown(() => feedAll(singles(tooLong)))).toBe('HTTP_HEAD_TOO_LARGE')
  })

  it('keeps no more than the limit of a head that never ends', () => {
    const reader = new HeadReader(readResponseHead)
    const piece = bytesOf('HTTP/1.1 200 OK\r\nX: ')
    reader.feed(piece)
    let fed = 0
    const code = codeThrown(() => {
      for (; fed < 1e7; fed += 100) reader.feed(bytesOf('a'.repeat(100)))
    })
    expect(code).toBe('HTTP_HEAD_TOO_LARGE')
    expect(fed).toBeLessThanOrEqual(MAX_HTTP_HEAD_BYTES)
  })
})

describe('removing what belongs to one hop', () => {
  const passed = (fields: string, upgrades?: string[]) => {
    const head = withFields(fields)
    removeHopByHop(head.fields, { upgrade: head.upgrade, ...(upgrades && { upgrades }) })
    return [...head.fields].slice(1).map(([name, value]) => `${name}: ${value}`)
  }

  it.each([
    [
      'the fixed list',
      'Connection: close\r\nKeep-Alive: 5\r\nTE: gzip\r\nTransfer-Encoding: chunked\r\nX: y\r\n',
      ['X: y'],
    ],
    ['Proxy-*', 'Proxy-Connection: a\r\nProxy-Authorization: b\r\nproxy-x: c\r\nX: y\r\n', ['X: y']],
    ['what Connection names', 'Connection: X-Secret , x-other\r\nX-Secret: 1\r\nX-Other: 2\r\nX: y\r\n', ['X: y']],
    [
      'not X-Forwarded-For',
      'Connection: X-Forwarded-For, x-real-ip\r\nX-Forwarded-For: 1\r\nX-Real-IP: 2\r\n',
      ['X-Forwarded-For: 1', 'X-Real-IP: 2'],
    ],
    ['not the framing', 'Connection: Content-Length\r\nContent-Length: 0\r\n', ['Content-Length: 0']],
    ['not our own', 'Connection: edgefrp-error\r\nedgefrp-error: 1\r\n', ['edgefrp-error: 1']],
    [
      'not an upgrade to WebSocket',
      'Connection: upgrade\r\nUpgrade: websocket\r\n',
      ['Connection: Upgrade', 'Upgrade: websocket'],
    ],
    ['an upgrade to h2c', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n', []],
    ['a list with h2c', 'Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n', []],
    ['Upgrade without Connection', 'Upgrade: websocket\r\n', []],
    ['not TE: trailers', 'Connection: TE\r\nTE: gzip, trailers\r\n', ['TE: trailers', 'Connection: TE']],
  ])('%s', (_name, fields, expected) => {
    expect(passed(fields)).toEqual(expected)
  })

  it('keeps Host, whatever Connection says', () => {
    const head = withFields('Connection: host\r\n')
    removeHopByHop(head.fields)
    expect([...head.fields]).toEqual([['Host', 'a']])
  })

  it('lets other protocols pass where they are named', () => {
    expect(passed('Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n', ['spdy/3.1'])).toEqual([
      'Connection: Upgrade',
      'Upgrade: SPDY/3.1',
    ])
  })

  it('is followed by one framing field', () => {
    const fields = Fields.of(['Content-Length', '0005'], ['X', 'y'])
    normalizeFraming(fields, { isChunked: false, contentLength: 5 })
    expect([...fields]).toEqual([
      ['Content-Length', '5'],
      ['X', 'y'],
    ])
    normalizeFraming(fields, { isChunked: true, contentLength: -1 })
    expect([...fields]).toEqual([
      ['X', 'y'],
      ['Transfer-Encoding', 'chunked'],
    ])
    normalizeFraming(fields, { isChunked: true, contentLength: -1, status: 204 })
    expect([...fields]).toEqual([['X', 'y']])
  })
})

describe('fields', () => {
  it('set one value at the first place', () => {
    const fields = Fields.of(['A', '1'], ['b', '2'], ['a', '3'])
    fields.set('a', '4')
    expect([...fields]).toEqual([
      ['A', '4'],
      ['b', '2'],
    ])
    fields.delete('B')
    fields.prepend('C', '5')
    expect([...fields]).toEqual([
      ['C', '5'],
      ['A', '4'],
    ])
  })

  it.each([
    ['A\r\nB', 'x'],
    ['A B', 'x'],
    ['', 'x'],
    ['A', 'x\r\nB: y'],
    ['A', 'x\0'],
    ['A', '日本'],
  ])('refuse %j: %j', (name, value) => {
    expect(codeThrown(() => new Fields().append(name, value))).toBe('CONFIG_FIELD')
    expect(codeThrown(() => new Fields().set(name, value))).toBe('CONFIG_FIELD')
    expect(codeThrown(() => new Fields().prepend(name, value))).toBe('CONFIG_FIELD')
  })

  it('carry UTF-8 as its bytes', () => {
    const fields = Fields.of(['A', utf8AsLatin1('日本')])
    const bytes = serializeRequestHead({ method: 'GET', target: '/', fields })
    expect(Buffer.from(bytes).toString('utf8')).toContain('A: 日本\r\n')
  })
})

describe('a head to send', () => {
  it('has room in front, and does not touch the head before', () => {
    const first = serializeRequestHead({ method: 'GET', target: '/1', fields: new Fields() })
    const second = serializeRequestHead({ method: 'GET', target: '/2', fields: new Fields() })
    expect(second.byteOffset).toBeGreaterThanOrEqual(HEAD_ROOM)
    new Uint8Array(second.buffer, second.byteOffset - HEAD_ROOM, HEAD_ROOM).fill(0xff)
    expect(textOf(first)).toBe('GET /1 HTTP/1.1\r\n\r\n')
  })

  it('cannot have a line smuggled into it', () => {
    const fields = new Fields()
    expect(codeThrown(() => serializeRequestHead({ method: 'GET', target: '/\r\nX: y', fields }))).toBe(
      'HTTP_BAD_REQUEST',
    )
    expect(codeThrown(() => serializeResponseHead({ status: 200, reason: 'a\nb', fields }))).toBe('HTTP_BAD_RESPONSE')
  })
})
