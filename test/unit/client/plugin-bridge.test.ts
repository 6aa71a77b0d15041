import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2'
import { createServer as createTlsServer, request as requestHttps } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import { selfSigned } from '../../../node/certificate.ts'
import { CleanUp, converse, listenTcp } from '../../e2e/client-rig.ts'
import { openPlugin } from './plugin-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

/** A web server on loopback, with TLS or without. */
async function webServer(onRequest: RequestListener, isTls = false, { allowHalfOpen = false } = {}): Promise<string> {
  const server = isTls ? createTlsServer(selfSigned(['localhost']), onRequest) : createServer(onRequest)
  Object.assign(server, { httpAllowHalfOpen: allowHalfOpen })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanUp.add(() => {
    server.closeAllConnections()
    server.close()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}` // listening on an address, not on a path
}

/** Answers with the fields of the request, one a line, and its body. */
const telling: RequestListener = (request, response) => {
  const parts: Buffer[] = []
  request.on('data', (part: Buffer) => parts.push(part))
  request.on('end', () => {
    const { rawHeaders } = request
    const lines = rawHeaders.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${rawHeaders[i + 1]}`] : []))
    response.end([`${request.method} ${request.url}`, ...lines, '', Buffer.concat(parts)].join('\n'))
  })
}

/** One request as it is written, and all that came back. */
async function ask(port: number, lines: string[], body = ''): Promise<string> {
  const { bytes } = await converse(port, Buffer.from([...lines, 'Connection: close', '', body].join('\r\n')))
  return bytes.toString()
}

interface TlsAnswer {
  status: number | undefined
  body: string
}

function askTls(port: number, path: string, options: { host?: string; servername?: string } = {}): Promise<TlsAnswer> {
  const { host = 'web.example', servername = 'web.example' } = options
  return new Promise((resolve, reject) => {
    const out = requestHttps({
      ...{ port, host: '127.0.0.1', path, servername, headers: { Host: host }, agent: false },
      rejectUnauthorized: false,
    })
    out.on('response', (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (part) => {
        body += part
      })
      response.on('end', () => resolve({ status: response.statusCode, body }))
      response.on('error', reject)
    })
    out.on('error', reject)
    out.end()
  })
}

describe('http2http', () => {
  it('changes the Host, sets fields, and drops what a stranger says of himself', async () => {
    const localAddr = await webServer(telling)
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
    const localAddr = await webServer((request, response) => {
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
    const localAddr = await webServer((_request, response) => {
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
    const localAddr = await webServer((_request, response) => setImmediate(() => response.end('late')), false, {
      allowHalfOpen: true,
    })
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
      const localAddr = await webServer((request, response) => {
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
    const localAddr = await webServer((request, response) => {
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

  it('says 502 when the server is not there, and why in the log', async () => {
    const { port, lines } = await openPlugin(cleanUp, { type: 'http2http', localAddr: '127.0.0.1:1' })
    expect(await ask(port, ['GET / HTTP/1.1', 'Host: a'])).toMatch(/^HTTP\/1.1 502 /)
    await lines.waitFor('http request to [127.0.0.1:1] error: cannot connect to 127.0.0.1:1: connect ECONNREFUSED')
  })

  it('answers what is no HTTP with 400, and goes on with the others', async () => {
    const localAddr = await webServer(telling)
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
    const localAddr = await webServer(telling, true)
    const { port } = await openPlugin(cleanUp, { type: 'http2https', localAddr })
    const text = await ask(port, ['GET / HTTP/1.1', 'Host: a', 'X-Forwarded-For: 1.2.3.4', 'X-Forwarded-Proto: https'])
    expect(text).toContain('X-Forwarded-For: 1.2.3.4\nX-Forwarded-Proto: https')
  })
})

describe('https2http and https2https', () => {
  it('end TLS with a certificate of their own, and tell the server who came', async () => {
    for (const [type, isTls] of [
      ['https2http', false],
      ['https2https', true],
    ] as const) {
      const { port, idle } = await openPlugin(cleanUp, { type, localAddr: await webServer(telling, isTls) })
      const { status, body } = await askTls(port, '/x', { host: 'web.example:8443' })
      expect(status).toBe(200)
      expect(body).toContain('Host: web.example:8443')
      expect(body).toContain('X-Forwarded-For: 192.0.2.7\nX-Forwarded-Host: web.example:8443\nX-Forwarded-Proto: https')
      await idle()
    }
  })

  it('answer 421 to a Host that is not the name of the TLS', async () => {
    const { port } = await openPlugin(cleanUp, { type: 'https2http', localAddr: await webServer(telling) })
    expect((await askTls(port, '/', { host: 'other.example' })).status).toBe(421)
    expect((await askTls(port, '/', { host: 'WEB.example.' })).status).toBe(200)
    expect((await askTls(port, '/', { servername: '' })).status).toBe(200)
  })

  it('speak HTTP/2, with cookies in one piece and repeated fields of answers', async () => {
    const localAddr = await webServer((request, response) => {
      response.writeHead(200, ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'Keep-Alive', 'timeout=5'])
      telling(request, response)
    })
    const { port, idle } = await openPlugin(cleanUp, { type: 'https2http', localAddr })
    const session = connectHttp2(`https://127.0.0.1:${port}`, { servername: 'web.example', rejectUnauthorized: false })
    const stream = session.request({
      ':method': 'PUT',
      ':path': '/two',
      ':authority': 'web.example',
      cookie: ['c=3', 'd=4'],
    })
    stream.end('payload')
    const headers = new Promise<IncomingHttpHeaders>((resolve) => stream.once('response', resolve))
    let text = ''
    for await (const part of stream.setEncoding('utf8')) text += part
    expect(text).toMatch(/^PUT \/two\nHost: web\.example\n.*cookie: c=3; d=4.*payload$/s)
    expect(await headers).toMatchObject({ ':status': 200, 'set-cookie': ['a=1', 'b=2'] })
    expect(await headers).not.toHaveProperty('keep-alive')
    session.close()
    await idle()
  })

  it('reset an HTTP/2 stream whose answer was cut, and serve the others on', async () => {
    const localAddr = await webServer((request, response) => {
      if (request.url === '/cut') response.write('half', () => request.socket.destroy())
      else response.end('whole')
    })
    const { port } = await openPlugin(cleanUp, { type: 'https2http', localAddr })
    const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
    cleanUp.add(() => session.destroy())
    const get = async (path: string): Promise<string> => {
      let text = ''
      for await (const part of session.request({ ':path': path }).setEncoding('utf8')) text += part
      return text
    }
    await expect(get('/cut')).rejects.toThrow(/INTERNAL_ERROR/)
    expect(await get('/whole')).toBe('whole')
  })

  it('speak HTTP/1.1 alone when enableHTTP2 is off', async () => {
    const protocolOf = async (options: object): Promise<unknown> => {
      const { port } = await openPlugin(cleanUp, { localAddr: '127.0.0.1:1', ...options })
      const socket = connectTls({
        port,
        host: '127.0.0.1',
        ALPNProtocols: ['h2', 'http/1.1'],
        rejectUnauthorized: false,
      })
      await once(socket, 'secureConnect')
      socket.destroy()
      return socket.alpnProtocol
    }
    expect(await protocolOf({ type: 'https2http' })).toBe('h2')
    expect(await protocolOf({ type: 'https2https', enableHTTP2: false })).toBe('http/1.1')
  })

  it('never let a cut answer look complete', async () => {
    const localAddr = await webServer((request, response) => {
      response.writeHead(200, { 'Content-Length': '100' })
      response.write('half', () => request.socket.destroy())
    })
    const { port, idle } = await openPlugin(cleanUp, { type: 'https2http', localAddr })
    await expect(askTls(port, '/')).rejects.toMatchObject({ code: 'ECONNRESET' })
    await idle()
  })

  it('close on what is no TLS, and say so', async () => {
    const { port, lines, idle } = await openPlugin(cleanUp, { type: 'https2http', localAddr: '127.0.0.1:1' })
    const socket = connect(port, '127.0.0.1')
    const over = new Promise((resolve) => socket.once('close', resolve))
    socket.on('error', () => undefined).write('GET / HTTP/1.1\r\n\r\n')
    await over
    await lines.waitFor('tls handshake error')
    await idle()
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
