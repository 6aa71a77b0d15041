import { gzipSync } from 'node:zlib'
import { fieldValue, type RawAnswer, type RawMessage } from './raw-http.ts'

/** One row of the table: what is sent, what the service answers, and what is looked at afterwards. */
export interface Case {
  what: string
  method?: string
  target?: string
  fields?: string[]
  body?: string
  /** The service's answer, byte for byte. */
  answer: string
  /** Its end is that of the connection. */
  endsConnection?: boolean
  /** What it means when nothing came back at all. */
  unanswered?: string
  /** What came of it, in a few words; the same words mean the same thing. */
  look(answer: RawAnswer, request: RawMessage): string
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const GZIPPED = gzipSync('text '.repeat(50), { level: 9 }).toString('latin1')
const names = (message: Pick<RawMessage, 'fields'>, name: string): string[] =>
  message.fields.filter(([one]) => one.toLowerCase() === name).map(([one]) => one)
const isSame = (isSo: boolean, otherwise: string): string => (isSo ? 'as sent' : otherwise)
const shown = (value: string | undefined): string => (value === undefined ? 'absent' : `\`${value}\``)

export const CASES: readonly Case[] = [
  {
    what: 'status and reason of a response: `299 Very Fine`',
    answer: 'HTTP/1.1 299 Very Fine\r\nContent-Length: 0\r\n\r\n',
    look: ({ final }) => isSame(final.start === 'HTTP/1.1 299 Very Fine', shown(final.start)),
  },
  {
    what: 'status beyond 599: `700 Odd`',
    answer: 'HTTP/1.1 700 Odd\r\nContent-Length: 0\r\n\r\n',
    look: ({ final }) => isSame(final.start === 'HTTP/1.1 700 Odd', shown(final.start)),
  },
  {
    what: 'case of a request field’s name: `X-MiXeD`',
    fields: ['X-MiXeD: 1'],
    answer: OK,
    look: (_, request) => isSame(names(request, 'x-mixed')[0] === 'X-MiXeD', shown(names(request, 'x-mixed')[0])),
  },
  {
    what: 'case of a response field’s name: `X-MiXeD`',
    answer: 'HTTP/1.1 200 OK\r\nX-MiXeD: 1\r\nContent-Length: 2\r\n\r\nok',
    look: ({ final }) => isSame(names(final, 'x-mixed')[0] === 'X-MiXeD', shown(names(final, 'x-mixed')[0])),
  },
  {
    what: 'order of request fields: `X-B`, `X-A`',
    fields: ['X-B: 1', 'X-A: 2'],
    answer: OK,
    look: (_, request) => {
      const order = request.fields.map(([name]) => name.toLowerCase()).filter((name) => /^x-[ab]$/.test(name))
      return isSame(order.join() === 'x-b,x-a', 'sorted')
    },
  },
  {
    what: 'several request fields of one name',
    fields: ['X-Many: 1', 'X-Many: 2'],
    answer: OK,
    look: (_, request) =>
      isSame(fieldValue(request, 'x-many') === '1\n2', `joined: ${shown(fieldValue(request, 'x-many'))}`),
  },
  {
    what: 'several `Cookie` fields of a request',
    fields: ['Cookie: a=1', 'Cookie: b=2'],
    answer: OK,
    look: (_, request) =>
      isSame(fieldValue(request, 'cookie') === 'a=1\nb=2', `joined: ${shown(fieldValue(request, 'cookie'))}`),
  },
  {
    what: 'several `Set-Cookie` fields of a response',
    answer: 'HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok',
    look: ({ final }) =>
      isSame(fieldValue(final, 'set-cookie') === 'a=1; Path=/\nb=2', shown(fieldValue(final, 'set-cookie'))),
  },
  {
    what: 'several other response fields of one name',
    answer: 'HTTP/1.1 200 OK\r\nX-Many: 1\r\nX-Many: 2\r\nContent-Length: 2\r\n\r\nok',
    look: ({ final }) =>
      isSame(fieldValue(final, 'x-many') === '1\n2', `joined: ${shown(fieldValue(final, 'x-many'))}`),
  },
  {
    what: 'a value outside ASCII (UTF-8)',
    answer: 'HTTP/1.1 200 OK\r\nX-Name: caf\u00c3\u00a9\r\nContent-Length: 2\r\n\r\nok',
    look: ({ final }) => isSame(fieldValue(final, 'x-name') === 'caf\u00c3\u00a9', 'changed'),
  },
  {
    what: 'a request’s target: `/a/../b//c?q=%7e`',
    target: '/a/../b//c?q=%7e',
    answer: OK,
    look: (_, request) =>
      isSame(request.start.split(' ')[1] === '/a/../b//c?q=%7e', shown(request.start.split(' ')[1])),
  },
  {
    what: 'a method of its own: `BREW`',
    method: 'BREW',
    answer: OK,
    look: ({ final }, request) => isSame(request.start.startsWith('BREW '), shown(final.start)),
  },
  {
    what: '`Content-Encoding: gzip` of a response',
    fields: ['Accept-Encoding: gzip'],
    answer: `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${GZIPPED.length}\r\n\r\n${GZIPPED}`,
    look: ({ final }) => isSame(final.body === GZIPPED && fieldValue(final, 'content-encoding') === 'gzip', 'changed'),
  },
  {
    what: 'no encoding, though the client takes gzip',
    fields: ['Accept-Encoding: gzip'],
    answer: 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok',
    look: ({ final }) =>
      isSame(final.body === 'ok' && fieldValue(final, 'content-encoding') === undefined, 'compressed'),
  },
  {
    what: '`Content-Length` of a response',
    answer: OK,
    look: ({ final }) => isSame(fieldValue(final, 'content-length') === '2' && !final.isChunked, 'chunked'),
  },
  {
    what: 'a chunked response',
    answer: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    look: ({ final }) => isSame(final.isChunked && final.body === 'ok', 'changed'),
  },
  {
    what: 'a response that ends with its connection',
    answer: 'HTTP/1.0 200 OK\r\n\r\nok',
    endsConnection: true,
    look: ({ final }) => (final.body !== 'ok' ? 'changed' : final.isChunked ? 'chunked' : 'as sent'),
  },
  {
    what: 'a response cut short: 2 of 10 bytes',
    answer: 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok',
    endsConnection: true,
    // The edge may break the connection before the head has left.
    unanswered: 'cut, and seen as such',
    look: ({ isCut }) => (isCut ? 'cut, and seen as such' : 'looks whole'),
  },
  {
    what: 'HEAD, with the length of what GET would send',
    method: 'HEAD',
    answer: 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n',
    look: ({ final }) => isSame(fieldValue(final, 'content-length') === '1234' && final.body === '', 'changed'),
  },
  {
    what: '204 without a body',
    answer: 'HTTP/1.1 204 No Content\r\nX-Left: 1\r\n\r\n',
    look: ({ final }) => isSame(final.start.includes('204') && fieldValue(final, 'x-left') === '1', shown(final.start)),
  },
  {
    what: '304 with its `ETag`',
    fields: ['If-None-Match: "v1"'],
    answer: 'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n',
    look: ({ final }) =>
      isSame(final.start.includes('304') && fieldValue(final, 'etag') === '"v1"', shown(final.start)),
  },
  {
    what: 'a range: 206 with `Content-Range`',
    fields: ['Range: bytes=2-3'],
    answer: 'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-3/10\r\nContent-Length: 2\r\n\r\nok',
    look: ({ final }, request) =>
      isSame(
        fieldValue(request, 'range') === 'bytes=2-3' && fieldValue(final, 'content-range') === 'bytes 2-3/10',
        'changed',
      ),
  },
  {
    what: '103 Early Hints before the response',
    answer: `HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n${OK}`,
    look: ({ informational }) =>
      isSame(
        informational.some(({ start }) => start.includes('103')),
        'lost',
      ),
  },
  {
    what: '`Expect: 100-continue`',
    method: 'POST',
    fields: ['Expect: 100-continue', 'Content-Length: 4'],
    body: 'body',
    answer: OK,
    look: ({ informational }, request) =>
      `${informational.some(({ start }) => start.includes('100')) ? 'answered by 100' : 'no 100'}, body ${isSame(request.body === 'body', 'changed')}`,
  },
  {
    what: 'a chunked request',
    method: 'POST',
    fields: ['Transfer-Encoding: chunked'],
    body: '4\r\nbody\r\n0\r\n\r\n',
    answer: OK,
    look: (_, request) => isSame(request.isChunked && request.body === 'body', 'changed'),
  },
  {
    what: 'trailers of a response',
    answer: 'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n',
    look: ({ final }) =>
      isSame(
        final.trailers.some(([name, value]) => /x-sum/i.test(name) && value === '7'),
        'lost',
      ),
  },
  {
    what: 'trailers of a request',
    method: 'POST',
    fields: ['Trailer: X-Sum', 'Transfer-Encoding: chunked'],
    body: '4\r\nbody\r\n0\r\nX-Sum: 7\r\n\r\n',
    answer: OK,
    look: (_, request) =>
      isSame(
        request.trailers.some(([name]) => /x-sum/i.test(name)),
        'lost',
      ),
  },
  {
    what: 'an upgrade to WebSocket',
    fields: [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ],
    answer:
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: *\r\n\r\n',
    look: ({ final }) => isSame(final.start.startsWith('HTTP/1.1 101'), shown(final.start)),
  },
  {
    what: 'an upgrade to something else',
    fields: ['Connection: Upgrade', 'Upgrade: chat'],
    answer: 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n',
    look: ({ final }) =>
      final.start === 'HTTP/1.1 200 OK'
        ? 'ignored'
        : isSame(final.start.startsWith('HTTP/1.1 101'), shown(final.start)),
  },
]
