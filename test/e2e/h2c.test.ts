import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectH2, constants } from 'node:http2'
import { afterEach, describe, expect, it } from 'vitest'
import { H2_PREFACE } from '../../relay-node/h2c.ts'
import { CleanUp, converse, freePorts, startClient } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'
import { dialUser } from './rig/sockets.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

type Service = (request: IncomingMessage, response: ServerResponse) => void

/** An http proxy for `service` at the host localhost, and an HTTP/2 connection to the vhost port. */
async function relayed(service: Service, keys: object = {}): Promise<{ session: ClientHttp2Session; port: number }> {
  const [bindPort = 0, port = 0, local = 0] = await freePorts(3)
  const web = createServer(service)
  await new Promise<void>((resolve) => web.listen(local, '127.0.0.1', resolve))
  cleanUp.add(() => {
    web.close()
    web.closeAllConnections()
  })
  await startRelay(cleanUp, { bindPort, vhostHTTPPort: port })
  const proxy = { name: 'h', type: 'http', localPort: local, customDomains: ['localhost'], ...keys }
  const client = startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: bindPort, proxies: [proxy] })
  await client.lines.waitFor('[h] start proxy success')
  const session = connectH2(`http://localhost:${port}`)
  session.on('error', () => undefined)
  cleanUp.add(() => session.destroy())
  return { session, port }
}

interface Answer {
  headers: Record<string, unknown>
  trailers: Record<string, unknown>
  body: string
  /** NGHTTP2 code with which the stream ended. */
  code: number
}

function answerTo(stream: ClientHttp2Stream): Promise<Answer> {
  return new Promise((resolve) => {
    const answer: Answer = { headers: {}, trailers: {}, body: '', code: 0 }
    stream.on('response', (headers) => Object.assign(answer.headers, headers))
    stream.on('trailers', (headers) => Object.assign(answer.trailers, headers))
    stream.setEncoding('utf8').on('data', (text: string) => {
      answer.body += text
    })
    stream.on('error', () => undefined)
    stream.on('close', () => resolve({ ...answer, code: stream.rstCode }))
  })
}

describe('HTTP/2 without TLS on the port of vhost HTTP', () => {
  it('carries requests side by side, with the fields that HTTP/1.1 would have', async () => {
    const { session } = await relayed(
      (request, response) => {
        const { 'x-one': one, 'x-forwarded-for': via, cookie, host } = request.headers
        response.setHeader('set-cookie', ['a=1', 'b=2'])
        response.setHeader('connection', 'close')
        response.end(JSON.stringify({ method: request.method, url: request.url, one, via, cookie, host }))
      },
      { requestHeaders: { set: { 'x-one': 'set' } } },
    )
    const streams = Array.from({ length: 20 }, (_, i) => {
      return answerTo(session.request({ ':path': `/${i}`, cookie: ['x=1', 'y=2'] }))
    })
    const answers = await Promise.all(streams)
    expect(answers.map(({ body }) => JSON.parse(body).url)).toEqual(answers.map((_, i) => `/${i}`))
    const [first] = answers
    expect(first?.headers).toMatchObject({ ':status': 200, 'set-cookie': ['a=1', 'b=2'] })
    expect(first?.headers).not.toHaveProperty('connection')
    expect(JSON.parse(first?.body ?? '')).toMatchObject({
      method: 'GET',
      one: 'set',
      via: '127.0.0.1',
      cookie: 'x=1; y=2',
      host: expect.stringMatching(/^localhost:\d+$/),
    })
  })

  it('carries bodies both ways, of known and unknown length, and trailers', async () => {
    const { session } = await relayed((request, response) => {
      response.writeHead(200, { trailer: 'x-sum' })
      request.on('data', (chunk) => response.write(chunk))
      request.on('end', () => {
        response.addTrailers({ 'x-sum': String(request.trailers['x-note'] ?? request.headers['content-length']) })
        response.end()
      })
    })
    const big = 'abcdefgh'.repeat(200_000)
    const open = session.request({ ':method': 'POST', ':path': '/' }, { waitForTrailers: true })
    open.on('wantTrailers', () => open.sendTrailers({ 'x-note': 'noted' }))
    open.end(big)
    const known = session.request({ ':method': 'POST', ':path': '/', 'content-length': big.length })
    known.end(big)
    const [one, two] = await Promise.all([answerTo(open), answerTo(known)])
    expect([one.body === big, one.trailers, one.code]).toMatchObject([true, { 'x-sum': 'noted' }, 0])
    expect([two.body === big, two.trailers, two.code]).toMatchObject([true, { 'x-sum': String(big.length) }, 0])
  })

  it('resets the stream when the service breaks off, and nothing else', async () => {
    const { session } = await relayed((request, response) => {
      if (request.url === '/whole') response.end('whole')
      else response.write('half of', () => setImmediate(() => response.destroy()))
    })
    const half = await answerTo(session.request({ ':path': '/half' }))
    expect([half.body, half.code]).toEqual(['half of', constants.NGHTTP2_INTERNAL_ERROR])
    expect(await answerTo(session.request({ ':path': '/whole' }))).toMatchObject({ body: 'whole', code: 0 })
  })

  it('resets a stream whose answer HTTP/2 cannot say, and nothing else', async () => {
    const { session } = await relayed((request, response) => {
      if (request.url === '/two') response.setHeader('content-location', ['/a', '/b'])
      response.end('said')
    })
    const two = await answerTo(session.request({ ':path': '/two' }))
    expect([two.body, two.code]).toEqual(['', constants.NGHTTP2_INTERNAL_ERROR])
    expect(await answerTo(session.request({ ':path': '/one' }))).toMatchObject({ body: 'said', code: 0 })
  })

  it('ends the request at the service when the user resets its stream', async () => {
    let onCut: () => void = () => undefined
    const cut = new Promise<void>((resolve) => {
      onCut = resolve
    })
    const { session } = await relayed((request, response) => {
      request.on('error', () => undefined).on('close', () => onCut())
      response.write('begun')
    })
    const stream = session.request({ ':path': '/' })
    stream.once('data', () => stream.close(constants.NGHTTP2_CANCEL))
    await cut
  })

  it('stops a service whose user does not read', async () => {
    const total = 24_000_000
    let written = 0
    const { session } = await relayed((_, response) => {
      const more = (): void => {
        let isFree = true
        while (isFree && written < total) {
          isFree = response.write(Buffer.alloc(100_000))
          written += 100_000
        }
        if (written < total) response.once('drain', more)
        else response.end()
      }
      more()
    })
    const stream = session.request({ ':path': '/' })
    stream.pause()
    await new Promise((resolve) => stream.once('response', resolve))
    let [last, since] = [written, Date.now()]
    while (Date.now() - since < 300) {
      await new Promise((resolve) => setImmediate(resolve))
      if (written !== last) [last, since] = [written, Date.now()]
    }
    expect(written).toBeLessThan(total * 0.7)
    let length = 0
    stream.on('data', (chunk: Buffer) => {
      length += chunk.length
    })
    stream.resume()
    await new Promise((resolve) => stream.once('end', resolve))
    expect(length).toBe(total)
  })

  it('has the answers of the relay itself, its own paths and passwords', async () => {
    const { session } = await relayed((_, response) => response.end('in'), { httpUser: 'u', httpPassword: 'p' })
    expect((await answerTo(session.request({ ':path': '/' }))).headers[':status']).toBe(401)
    const authorization = `Basic ${Buffer.from('u:p').toString('base64')}`
    expect((await answerTo(session.request({ ':path': '/', authorization }))).body).toBe('in')
    const unknown = await answerTo(session.request({ ':path': '/', ':authority': 'nobody.test' }))
    expect(unknown.headers).toMatchObject({ ':status': 404, 'edgefrp-error': 'NO_ROUTE' })
    expect((await answerTo(session.request({ ':path': '/~!frp/healthz' }))).headers[':status']).toBe(200)
    expect((await answerTo(session.request({ ':method': 'CONNECT', ':authority': 'a:1' }))).headers[':status']).toBe(
      400,
    )
  })

  it('is told from HTTP/1.1 however its preface is cut, and from what only begins like it', async () => {
    const { port } = await relayed((_, response) => response.end('hello'))
    const socket = dialUser(cleanUp, port).setNoDelay()
    const first = new Promise<Buffer>((resolve) => socket.once('data', resolve))
    const emptySettings = Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 0, 0)
    for (const byte of [...H2_PREFACE, ...emptySettings]) {
      await new Promise((resolve) => socket.write(Uint8Array.of(byte), resolve))
    }
    // The relay's own settings: frame type 4 on stream 0.
    expect([...(await first).subarray(3, 9)]).toEqual([4, 0, 0, 0, 0, 0])
    for (const method of ['PUT', 'PROPFIND']) {
      const lines = [`${method} / HTTP/1.1`, 'Host: localhost', 'Connection: close', '', '']
      const { bytes } = await converse(port, Buffer.from(lines.join('\r\n')))
      expect(bytes.toString('latin1')).toMatch(/^HTTP\/1\.1 200 /)
    }
  })
})
