import { describe, expect, it } from 'vitest'
import { Exchange } from '../../../protocol/http1/exchange.ts'
import { Fields } from '../../../protocol/http1/head.ts'
import { MAX_HTTP_INFORMATIONAL } from '../../../protocol/limits.ts'
import { pair } from '../../../protocol/stream/pair.ts'
import { begin, outgoing, Peer, Recorder } from './exchange-tools.ts'
import { bytesOf, textOf } from './tools.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'

describe('a request', () => {
  it('goes out with the framing that was computed', () => {
    const fields = Fields.of(['Host', 'a'], ['Content-Length', '0005'])
    const { exchange, peer } = begin(outgoing({ method: 'POST', fields, contentLength: 5 }))
    exchange.write(bytesOf('ab'))
    exchange.write(bytesOf('cde'))
    exchange.endBody()
    expect(peer.received).toBe('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde')
  })

  it('is put into chunks, with trailers', () => {
    const { exchange, peer } = begin(outgoing({ method: 'POST', isChunked: true }))
    exchange.write(bytesOf('abc'))
    exchange.write(new Uint8Array(0))
    exchange.write(bytesOf('de'))
    exchange.endBody(Fields.of(['X', 'y']))
    expect(peer.received).toBe(
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n',
    )
  })

  it('passes as it is when it is raw', () => {
    const { exchange, peer } = begin(outgoing({ method: 'POST', isChunked: true }), { isRequestRaw: true })
    exchange.write(bytesOf('3;x\r\nabc\r\n0\r\n\r\n'))
    exchange.endBody()
    expect(peer.received.endsWith('\r\n\r\n3;x\r\nabc\r\n0\r\n\r\n')).toBe(true)
  })

  it('longer or shorter than its length resets the connection', () => {
    const long = begin(outgoing({ contentLength: 3 }))
    long.exchange.write(bytesOf('abcd'))
    expect(long.recorder.calls).toEqual(['HTTP_BAD_REQUEST'])
    expect(long.peer.closed).toBeInstanceOf(Error)
    const short = begin(outgoing({ contentLength: 3 }))
    short.exchange.write(bytesOf('ab'))
    short.exchange.endBody()
    expect(short.recorder.calls).toEqual(['HTTP_TRUNCATED'])
    expect(short.peer.closed).toBeInstanceOf(Error)
    const none = begin()
    none.exchange.write(bytesOf('x'))
    expect(none.recorder.calls).toEqual(['HTTP_BAD_REQUEST'])
  })

  it('that waits for a slow server keeps its order and its last chunk', () => {
    const [ours, theirs] = pair()
    const recorder = new Recorder()
    const exchange = new Exchange(ours, recorder, outgoing({ method: 'POST', isChunked: true }))
    theirs.pause()
    expect(exchange.start()).toBe(false)
    const peer = new Peer(theirs)
    theirs.resume()
    expect(recorder.calls).toEqual(['drain'])
    theirs.pause()
    expect(exchange.write(bytesOf('abc'))).toBe(false)
    exchange.endBody()
    expect(exchange.canReuse).toBe(false)
    theirs.resume()
    expect(recorder.calls).toEqual(['drain', 'drain'])
    expect(peer.received.endsWith('\r\n\r\n3\r\nabc\r\n0\r\n\r\n')).toBe(true)
    peer.send('HTTP/1.1 204 No\r\n\r\n')
    expect(exchange.canReuse).toBe(true)
  })
})

describe('a response', () => {
  it.each([
    ['a length', `${OK}abcde`, ['head 200 length', 'body', 'end'], 'abcde', true],
    ['chunks', `${CHUNKED}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`, ['head 200 chunked', 'body', 'end'], 'abcde', true],
    ['an empty body', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', ['head 200 none', 'end'], '', true],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', ['head 204 none', 'end'], '', true],
    ['304 with a length', 'HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n', ['head 304 none', 'end'], '', true],
    [
      'early hints',
      `HTTP/1.1 103 E\r\nLink: x\r\n\r\n${OK}abcde`,
      ['103', 'head 200 length', 'body', 'end'],
      'abcde',
      true,
    ],
    [
      'a close',
      `HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na`,
      ['head 200 length', 'body', 'end'],
      'a',
      false,
    ],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na', ['head 200 length', 'body', 'end'], 'a', false],
    ['304 with a body', 'HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\nabcde', ['head 304 none', 'end'], '', false],
    [
      '204 with a body',
      'HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      ['head 204 none', 'end'],
      '',
      false,
    ],
    ['a second response glued on', `${OK}abcde${OK}fghij`, ['head 200 length', 'body', 'end'], 'abcde', false],
    ['a byte too many', `${CHUNKED}0\r\n\r\n\n`, ['head 200 chunked', 'end'], '', false],
  ])('with %s', (_name, text, calls, body, canReuse) => {
    const { exchange, recorder, peer, stream } = begin()
    peer.send(text)
    expect(recorder.calls).toEqual(calls)
    expect(recorder.body).toBe(body)
    expect(exchange.canReuse).toBe(canReuse)
    expect(exchange.release()).toBe(canReuse ? stream : undefined)
    if (!canReuse) expect(peer.ended || peer.closed instanceof Error).toBe(true)
  })

  it('to HEAD has no body, whatever its length', () => {
    const { exchange, recorder, peer } = begin(outgoing({ method: 'HEAD' }))
    peer.send(OK)
    expect(recorder.calls).toEqual(['head 200 none', 'end'])
    expect(exchange.canReuse).toBe(true)
    const bad = begin(outgoing({ method: 'HEAD' }))
    bad.peer.send(`${OK}abcde`)
    expect(bad.recorder.body).toBe('')
    expect(bad.exchange.canReuse).toBe(false)
  })

  it('that ends with the connection ends with FIN, and is never reusable', () => {
    const { exchange, recorder, peer } = begin()
    peer.send('HTTP/1.1 200 OK\r\n\r\nabc')
    expect(recorder.calls).toEqual(['head 200 close', 'body'])
    peer.link.end()
    expect(recorder.calls).toEqual(['head 200 close', 'body', 'end'])
    expect(exchange.canReuse).toBe(false)
  })

  it('that ends with the connection does not end with a reset', () => {
    const { recorder, peer } = begin()
    peer.send('HTTP/1.1 200 OK\r\n\r\nabc')
    peer.link.destroy()
    expect(recorder.calls).toEqual(['head 200 close', 'body', 'HTTP_TRUNCATED'])
  })

  it('cut short anywhere is truncated, by FIN and by reset', () => {
    const text = `HTTP/1.1 103 E\r\n\r\n${CHUNKED}3\r\nabc\r\n0\r\nX: y\r\n\r\n`
    for (let cut = 0; cut < text.length; cut++) {
      for (const how of ['end', 'destroy'] as const) {
        const { recorder, peer, exchange } = begin()
        peer.send(text.slice(0, cut))
        peer.link[how]()
        expect(recorder.calls.at(-1)).toBe('HTTP_TRUNCATED')
        expect(exchange.canReuse).toBe(false)
        expect(exchange.hasResponseBytes).toBe(cut > 0)
      }
    }
  })

  it('before the request is sent whole is passed on, and the connection not used again', () => {
    const { exchange, recorder, peer } = begin(outgoing({ method: 'POST', contentLength: 5 }))
    exchange.write(bytesOf('ab'))
    peer.send(`${OK}abcde`)
    expect(recorder.calls).toEqual(['head 200 length', 'body', 'end'])
    expect(exchange.canReuse).toBe(false)
    expect(exchange.release()).toBeUndefined()
    expect(peer.closed).toBeInstanceOf(Error)
  })

  it('before the request is sent whole leaves the connection usable once it is', () => {
    const { exchange, peer } = begin(outgoing({ method: 'POST', contentLength: 5 }))
    peer.send(`${OK}abcde`)
    exchange.write(bytesOf('abcde'))
    exchange.endBody()
    expect(exchange.canReuse).toBe(true)
  })

  it('that was there before the request is no answer to it', () => {
    const [ours, theirs] = pair()
    theirs.write(bytesOf(`${OK}abcde`))
    const recorder = new Recorder()
    const exchange = new Exchange(ours, recorder, outgoing())
    exchange.start()
    expect(recorder.calls).toEqual(['HTTP_BAD_RESPONSE'])
    expect(exchange.hasResponseBytes).toBe(false)
  })

  it('behind a complete one destroys the connection', () => {
    const { exchange, recorder, peer } = begin()
    peer.send(`${OK}abcde`)
    expect(exchange.release()).toBeDefined()
    peer.send(OK)
    expect(recorder.calls).toEqual(['head 200 length', 'body', 'end'])
    expect(peer.closed).toBeInstanceOf(Error)
    expect(exchange.canReuse).toBe(false)
  })

  it('may have only so many informational ones before it', () => {
    const { recorder, peer } = begin()
    for (let i = 0; i < MAX_HTTP_INFORMATIONAL; i++) peer.send('HTTP/1.1 102 P\r\n\r\n')
    expect(recorder.error).toBeUndefined()
    peer.send('HTTP/1.1 102 P\r\n\r\n')
    expect(recorder.calls.at(-1)).toBe('HTTP_BAD_RESPONSE')
  })

  it('passes as it is when it is raw, trailers and all', () => {
    const body = '3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n'
    const { exchange, recorder, peer } = begin()
    recorder.atHead = () => {
      exchange.isResponseRaw = true
    }
    peer.send(`${CHUNKED}${body.slice(0, 4)}`)
    peer.send(body.slice(4))
    expect(recorder.body).toBe(body)
    expect(recorder.trailers?.get('x')).toBe('y')
    expect(exchange.canReuse).toBe(true)
  })

  it('that is no HTTP destroys the connection and says so', () => {
    const { recorder, peer } = begin()
    peer.send('SSH-2.0-OpenSSH_9.2\r\n')
    expect(recorder.calls).toEqual(['HTTP_BAD_RESPONSE'])
    expect(peer.closed).toBeInstanceOf(Error)
  })
})

describe('an upgrade', () => {
  const asked = () =>
    outgoing({
      fields: Fields.of(['Host', 'a'], ['Connection', 'Upgrade'], ['Upgrade', 'websocket']),
      upgrade: 'websocket',
    })
  const switching = 'HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n'

  it('hands the stream over with what came behind the 101', () => {
    const { recorder, peer } = begin(asked())
    let tail = ''
    recorder.atUpgrade = (stream, rest) => {
      const onData = (chunk: Uint8Array) => {
        tail += textOf(chunk)
        return true
      }
      stream.attach({ onData, onEnd() {}, onDrain() {}, onClose() {} }, rest)
      stream.write(bytesOf('ping'))
    }
    peer.send(`${switching}frame1`)
    peer.send('frame2')
    expect(recorder.calls).toEqual(['upgraded'])
    expect(tail).toBe('frame1frame2')
    expect(peer.received.endsWith('\r\n\r\nping')).toBe(true)
  })

  it('that is answered with another status is an exchange like any other', () => {
    const { exchange, recorder, peer } = begin(asked())
    peer.send(`${OK}abcde`)
    expect(recorder.calls).toEqual(['head 200 length', 'body', 'end'])
    expect(exchange.canReuse).toBe(true)
  })

  it.each([
    ['was not asked for', outgoing(), switching],
    ['is to another protocol', asked(), switching.replace('WebSocket', 'h2c')],
    ['does not say to what', asked(), 'HTTP/1.1 101 S\r\n\r\n'],
  ])('that %s is refused', (_name, request, text) => {
    const { recorder, peer } = begin(request)
    peer.send(text)
    expect(recorder.calls).toEqual(['HTTP_BAD_RESPONSE'])
  })
})
