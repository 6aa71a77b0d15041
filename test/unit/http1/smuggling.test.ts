import { describe, expect, it } from 'vitest'
import { KNOWN_METHODS, opinionOf } from './llhttp.ts'
import { CORPUS } from './request-corpus.ts'
import { bytesOf, codeThrown, readRequest, singles, textOf } from './tools.ts'

const CASES = CORPUS.map(([name, text, verdict, body]) => ({ name, text, verdict, body }))

const CODES = { ok: 'none', bad: 'HTTP_BAD_REQUEST', large: 'HTTP_HEAD_TOO_LARGE' }

describe('requests that parsers disagree about', () => {
  it('has at least 120 of them', () => {
    expect(CORPUS.length).toBeGreaterThanOrEqual(120)
  })

  it.each(CASES)('$name', ({ text, verdict, body }) => {
    const bytes = bytesOf(text)
    expect(codeThrown(() => readRequest([bytes]))).toBe(CODES[verdict])
    if (verdict !== 'ok') return
    const request = readRequest([bytes])
    expect(request).toBeDefined()
    expect(request?.isComplete).toBe(true)
    if (body !== undefined) expect(request?.body).toBe(body)
  })

  it.each(CASES)('$name: the same verdict for every cut', ({ text, verdict }) => {
    const bytes = bytesOf(text)
    const whole = verdict === 'ok' ? JSON.stringify(readRequest([bytes])) : ''
    const check = (pieces: Uint8Array[]) => {
      let result = ''
      expect(codeThrown(() => (result = JSON.stringify(readRequest(pieces))))).toBe(CODES[verdict])
      if (verdict === 'ok') expect(result).toBe(whole)
    }
    check(singles(bytes))
    const step = bytes.length > 2_000 ? 997 : 1
    for (let cut = 1; cut < bytes.length; cut += step) check([bytes.subarray(0, cut), bytes.subarray(cut)])
  })

  it.each(CASES.filter((entry) => entry.verdict === 'ok'))('$name: llhttp reads the same', ({ text }) => {
    const request = readRequest([bytesOf(text)])
    if (request === undefined || !KNOWN_METHODS.includes(request.head.method)) return
    const opinion = opinionOf('request', bytesOf(text).subarray(0, request.used))
    if (opinion instanceof Error) throw opinion
    expect(opinion.method).toBe(request.head.method)
    expect(opinion.url).toBe(request.head.target)
    expect(opinion.fields).toEqual([...request.head.fields])
    expect(textOf(opinion.body)).toBe(request.body)
    expect(opinion.trailers).toEqual(request.trailers)
  })
})
