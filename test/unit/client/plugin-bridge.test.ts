import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { CleanUp, converse, listenTcp } from '../../e2e/client-rig.ts'
import { openPlugin } from './plugin-rig.ts'
import { telling, webServer } from './plugin-web-server.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

/** One request as it is written, and all that came back. */
async function ask(port: number, lines: string[], body = ''): Promise<string> {
  const { bytes } = await converse(port, Buffer.from([...lines, 'Connection: close', '', body].join('\r\n')))
  return bytes.toString()
}

describe('http2http', () => {
  it('changes the Host, sets fields, and drops what a stranger says of himself', async () => {
    const localAddr = await webServer(cleanUp, telling)
    const { port } = await openPlugin(cleanUp, {
      type: 'http2http',
      localAddr,
      hostHeaderRewrite: 'inner.example',
      requestHeaders: { set: { 'x-from': 'frp', 'Content-Length': '7', Host: 'ignored' } },
    })
    const fields = ['X-Forwarded-For: 1.2.3.4', 'X-Forwarded-Proto: https', 'Forwarded: for=1.2.3.4', 'X-From: me']
    const text = await ask(port, ['GET /a?b=c HTTP/1.1', 'Host: outer.example', ...fields])
    expect(text).toContain('GET /a?b=c\nHost: inner.example\nX-From: frp\n')
    expect(text).not.toMatch(/forwarded|1\.2\.3\.4|ignored/i)
  })

  it('carries bodies as they come, with length or in chunks, and trailers', async () => {
    const localAddr = await webServer(cleanUp, (request, response) => {
      response.writeHead(200, { Trailer: 'X-Sum' })
      request.pipe(response, { end: false })
      request.on('end', () => {
        response.addTrailers({ 'X-Sum': request.trailers['x-check'] })
        response.end()
      })
    })
    const { port, idle } = await openPlugin(cleanUp, { type: 'http2http', localAddr })
    const withLength = await ask(port, ['POST / HTTP/1.1', 'Host: a', 'Content-Length: 5'], 'seven')
    expect(withLength).toMatch(/\r\n5\r\nseven\r\n0\r\n/)
    const chunks = '3\r\nabc\r\n2\r\nde\r\n0\r\nX-Check: sum\r\n\r\n'
    const chunked = await ask(
      port,
      ['POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked', 'Trailer: X-Check'],
      chunks,
    )
    expect(chunked).toMatch(/abc.*de.*\r\n0\r\nx-sum: sum\r\n/is)
    await idle()
  })

  it('takes the answer of a server that wants no more of the upload', async () => {
    const localAddr = await webServer(cleanUp, (_request, response) => {
      response.writeHead(413, { Connection: 'close' }).end('too much')
    })
    const { port, idle } = await openPlugin(cleanUp, { type: 'http2http', localAddr })
    const body = 'x'.repeat(4 * 1024 * 1024)
    const text = await ask(port, ['POST / HTTP/1.1', 'Host: a', `Content-Length: ${body.length}`], body)
    expect(text).toMatch(/^HTTP\/1.1 413 .*too much/s)
    await idle()
  })

  it('tells a user who ended its side the whole answer', async () => {
    // Without it Node's server takes an end for a user who is gone: next test.
    const localAddr = await webServer(
      cleanUp,
      (_request, response) => setImmediate(() => response.end('late')),
      false,
      {
        allowHalfOpen: true,
      },
    )
    const { port, idle } = await openPlugin(cleanUp, { type: 'http2http', localAddr })
    const { bytes, ended, error } = await converse(port, Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), {
      end: true,
    })
    expect(bytes.toString()).toMatch(/late$/)
    expect([ended, error]).toEqual([true, undefined])
    await idle()
  })

  const broken: [string, (response: ServerResponse) => void][] = [
    ['with a length', (response) => response.writeHead(200, { 'Content-Length': '100' })],
    ['in chunks', (response) => response.writeHead(200)],
    ['ended by the connection', (response) => response.writeHead(200, { Connection: 'close' })],
  ]
  for (const [name, begin] of broken) {
    it(`never lets a cut answer look complete: ${name}`, async () => {
      const cut: (() => void)[] = []
      const localAddr = await webServer(cleanUp, (request, response) => {
        response.useChunkedEncodingByDefault = name !== 'ended by the connection'
        begin(response)
        response.write('half')
        // It resets when the first half has arrived for sure.
        cut.push(() => request.socket.resetAndDestroy())
      })
      const { port, idle } = await openPlugin(cleanUp, { type: 'http2http', localAddr })
      const { ended, error } = await converse(port, Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), {
        onData: () => cut.pop()?.(),
      })
      expect([ended, error]).toEqual([false, expect.objectContaining({ code: 'ECONNRESET' })])
      await idle()
    })
  }

  it('lets the server know when the user is gone, while it sends and while it reads', async () => {
    const asked: IncomingMessage[] = []
    const closed: Promise<unknown>[] = []
    const localAddr = await webServer(cleanUp, (request, response) => {
      asked.push(request)
      closed.push(once(response, 'close'))
      request.on('error', () => undefined)
      response.write('first')
    })
    const { port, idle } = await openPlugin(cleanUp, { type: 'http2http', localAddr })
    const head = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
    const upload = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf'
    for (const bytes of [head, upload]) {
      const socket = connect(port, '127.0.0.1')
      socket.write(bytes)
      await once(socket, 'data')
      socket.resetAndDestroy()
    }
    await Promise.all(closed)
    expect(asked.map(({ complete }) => complete)).toEqual([true, false])
    // Of a user who ends its side the server hears as if there were nobody between.
    await converse(port, Buffer.from(head), { end: true })
    await closed[2]
    await idle()
  })

  it('asks once more when a kept connection was closed just then, and only what may be asked twice', async () => {
    let connections = 0
    const port = await listenTcp(cleanUp, (socket) => {
      connections += 1
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
        // The second request on a connection meets a reset.
        socket.once('data', () => socket.resetAndDestroy())
      })
    })
    const rig = await openPlugin(cleanUp, { type: 'http2http', localAddr: `127.0.0.1:${port}` })
    for (let i = 0; i < 2; i++) expect(await ask(rig.port, ['GET / HTTP/1.1', 'Host: a'])).toMatch(/ok$/)
    expect(connections).toBe(2)
    expect(await ask(rig.port, ['POST / HTTP/1.1', 'Host: a', 'Content-Length: 1'], 'x')).toMatch(/ok$/)
    expect(connections).toBe(3)
  })

  it('serves requests that come at once one after the other', async () => {
    const asked: string[] = []
    let open = 0
    let most = 0
    const localAddr = await webServer(cleanUp, async (request, response) => {
      asked.push(request.url ?? '')
      open += 1
      most = Math.max(most, open)
      // Time enough for another one to come.
      for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve))
      open -= 1
      response.end(request.url)
    })
    const { port } = await openPlugin(cleanUp, { type: 'http2http', localAddr })
    const first = 'POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx'
    await ask(port, [`${first}GET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1`, 'Host: a'])
    expect(asked).toEqual(['/1', '/2', '/3'])
    expect(most).toBe(1)
  })

  it('says 502 when the server is not there, and why in the log', async () => {
    const { port, lines } = await openPlugin(cleanUp, { type: 'http2http', localAddr: '127.0.0.1:1' })
    expect(await ask(port, ['GET / HTTP/1.1', 'Host: a'])).toMatch(/^HTTP\/1.1 502 /)
    await lines.waitFor('http request to [127.0.0.1:1] error: cannot connect to 127.0.0.1:1: connect ECONNREFUSED')
  })

  it('answers what is no HTTP with 400, and goes on with the others', async () => {
    const localAddr = await webServer(cleanUp, telling)
    const { port, idle } = await openPlugin(cleanUp, { type: 'http2http', localAddr })
    expect((await converse(port, Buffer.from('nonsense\r\n\r\n'))).bytes.toString()).toMatch(/^HTTP\/1.1 400 /)
    const twoWays = ['POST / HTTP/1.1', 'Host: a', 'Content-Length: 3', 'Transfer-Encoding: chunked']
    expect(await ask(port, twoWays, '0\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /)
    expect(await ask(port, ['GET /fine HTTP/1.1', 'Host: a'])).toContain('GET /fine')
    await idle()
  })
})

describe('an upgrade', () => {
  /** Agrees to anything, and sends back what comes. */
  async function upgradingServer(): Promise<string> {
    const server = createServer(telling).on('upgrade', (request, socket, head) => {
      if (request.url === '/refused') {
        socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno')
        return
      }
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n\r\n`,
      )
      socket.write(head)
      socket.pipe(socket)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    cleanUp.add(() => {
      server.close()
    })
    return `127.0.0.1:${(server.address() as AddressInfo).port}` // as above
  }
  const head = (path: string, protocol = 'websocket'): string =>
    `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`

  it('joins both sides, with what was sent without waiting, and the half-close', async () => {
    const { port, idle } = await openPlugin(cleanUp, { type: 'http2http', localAddr: await upgradingServer() })
    const { bytes, ended, error } = await converse(port, Buffer.from(`${head('/')}early bytes`), { end: true })
    expect(bytes.toString()).toMatch(/^HTTP\/1.1 101 .*Upgrade: websocket\r\n\r\nearly bytes$/s)
    expect([ended, error]).toEqual([true, undefined])
    await idle()
  })

  it('gives the user the server’s answer when that is no', async () => {
    const { port, idle } = await openPlugin(cleanUp, { type: 'http2http', localAddr: await upgradingServer() })
    expect((await converse(port, Buffer.from(head('/refused')))).bytes.toString()).toMatch(/^HTTP\/1.1 403 .*no$/s)
    await idle()
  })

  it('to h2c is ignored, as is one with a body: the request is served', async () => {
    const { port } = await openPlugin(cleanUp, { type: 'http2http', localAddr: await upgradingServer() })
    const h2c = await converse(port, Buffer.from(head('/h2c', 'h2c')), { end: true })
    expect(h2c.bytes.toString()).toMatch(/^HTTP\/1.1 200 .*GET \/h2c/s)
    const post = `POST /p HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 4\r\n\r\nbody`
    const { bytes } = await converse(port, Buffer.from(post), { end: true })
    expect(bytes.toString()).toMatch(/^HTTP\/1.1 200 .*POST \/p.*body$/s)
  })
})

describe('http2https', () => {
  it('speaks TLS to a server whose certificate nobody signed, and passes X-Forwarded on', async () => {
    const localAddr = await webServer(cleanUp, telling, true)
    const { port } = await openPlugin(cleanUp, { type: 'http2https', localAddr })
    const text = await ask(port, ['GET / HTTP/1.1', 'Host: a', 'X-Forwarded-For: 1.2.3.4', 'X-Forwarded-Proto: https'])
    expect(text).toContain('X-Forwarded-For: 1.2.3.4\nX-Forwarded-Proto: https')
  })
})

describe('a bridge that cannot be', () => {
  it('names the field', async () => {
    const open = (more: object): Promise<unknown> =>
      openPlugin(cleanUp, { type: 'https2http', localAddr: '127.0.0.1:80', ...more })
    await expect(open({ crtPath: '/none.crt', keyPath: '/none.key' })).rejects.toThrow(
      /^plugin.crtPath \/none.crt: ENOENT/,
    )
    await expect(open({ localAddr: 'no host' })).rejects.toThrow(/^plugin.localAddr/)
    await expect(open({ hostHeaderRewrite: 'a\r\nb' })).rejects.toThrow(/^plugin.hostHeaderRewrite/)
    await expect(open({ requestHeaders: { set: { 'a b': 'c' } } })).rejects.toThrow(/^plugin.requestHeaders.set.*a b/)
  })
})
