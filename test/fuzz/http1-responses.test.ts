import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Exchange } from '../../protocol/http1/exchange.ts'
import { pair } from '../../protocol/stream/pair.ts'
import { outgoing, Peer, Recorder } from '../unit/http1/exchange-tools.ts'
import { opinionOf } from '../unit/http1/llhttp.ts'
import { bytesOf, textOf } from '../unit/http1/tools.ts'

const status = fc.constantFrom('200', '200', '200', '204', '304', '404', '500', '205')
const early = fc.constantFrom('', '', '', 'HTTP/1.1 100 C\r\n\r\n', 'HTTP/1.1 103 E\r\nX: y\r\n\r\n')
const framing = fc.constantFrom(
  'Content-Length: 7\r\n',
  'Content-Length: 7\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: chunked\r\n',
  '',
  'Content-Length: 0\r\n',
  'Content-Length: 7\r\nTransfer-Encoding: chunked\r\n',
  'Content-Length: 7\r\nConnection: close\r\n',
)
const end = fc.oneof(
  { weight: 9, arbitrary: fc.constant('') },
  { weight: 1, arbitrary: fc.constantFrom('x', '\r\n', 'HTTP/1.1 200 O\r\n\r\n') },
)
/** A response in which every byte of the payload is the visitor's letter. */
const response = fc
  .tuple(early, status, framing, fc.constantFrom('right', 'right', 'right', 'short', 'none'), end)
  .map(([before, code, fields, how, behind]) => (letter: string) => {
    const payload = letter.repeat(7)
    const whole = fields.includes('chunked') ? `7\r\n${payload}\r\n0\r\n\r\n` : fields.includes('7') ? payload : ''
    const body = how === 'right' ? whole : how === 'short' ? whole.slice(0, whole.length >> 1) : ''
    return `${before}HTTP/1.1 ${code} r\r\n${fields}\r\n${body}${behind}`
  })

describe('responses made at random', { timeout: 30_000 }, () => {
  it('never give a visitor what belongs to the one before, on connections that are used again', () => {
    let reused = 0
    fc.assert(
      fc.property(
        fc.array(response, { minLength: 2, maxLength: 5 }),
        fc.nat(),
        fc.boolean(),
        (responses, cut, isHead) => {
          let [stream, theirs] = pair()
          let peer = new Peer(theirs)
          for (const [i, make] of responses.entries()) {
            const letter = 'abcdefg'[i] as string
            const recorder = new Recorder()
            const exchange = new Exchange(
              stream,
              recorder,
              outgoing({ method: isHead && i % 2 === 1 ? 'HEAD' : 'GET' }),
            )
            exchange.start()
            const text = make(letter)
            const at = cut % (text.length + 1)
            peer.send(text.slice(0, at))
            peer.send(text.slice(at))
            const isComplete = recorder.calls.includes('end')
            expect(recorder.body.replaceAll(letter, '').replace(/[^a-g]/g, '')).toBe('')
            const next = isComplete ? exchange.release() : undefined
            if (next !== undefined) {
              reused += 1
              stream = next as typeof stream
              continue
            }
            exchange.destroy()
            ;[stream, theirs] = pair()
            peer = new Peer(theirs)
          }
        },
      ),
      { numRuns: 3_000 },
    )
    // A run has two to five responses: 10,000 of them.
    expect(reused).toBeGreaterThan(1_500)
  })

  it('with flipped bytes fail with our own errors only, and what is accepted llhttp reads the same', () => {
    let compared = 0
    fc.assert(
      fc.property(
        response,
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 2 }),
        (make, flips) => {
          const bytes = bytesOf(make('a'))
          for (const [at, byte] of flips) bytes[at % bytes.length] = byte
          const [stream, theirs] = pair()
          const recorder = new Recorder()
          const exchange = new Exchange(stream, recorder, outgoing())
          const peer = new Peer(theirs)
          exchange.start()
          peer.send(textOf(bytes))
          const isDone = recorder.calls.at(-1) === 'end'
          // A bare LF as line end is taken from a service, as Go and nginx do; llhttp takes it from nobody.
          if (!isDone || !exchange.canReuse || /(^|[^\r])\n/.test(textOf(bytes)) || recorder.calls.length > 3) return
          if (recorder.calls[0]?.startsWith('1')) return
          const opinion = opinionOf('response', bytes)
          if (opinion instanceof Error)
            throw new Error(`llhttp refuses ${JSON.stringify(textOf(bytes))}`, { cause: opinion })
          compared += 1
          expect(opinion.status).toBe(recorder.head?.status)
          expect(opinion.fields).toEqual([...(recorder.head?.fields ?? [])])
          expect(textOf(opinion.body)).toBe(recorder.body)
          expect(opinion.isComplete).toBe(true)
        },
      ),
      { numRuns: 10_000 },
    )
    expect(compared).toBeGreaterThan(400)
  })
})
