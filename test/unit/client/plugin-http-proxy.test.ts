import { createServer, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { CleanUp, converse, echoTcp, listenTcp } from '../../e2e/client-rig.ts'
import { openPlugin } from './plugin-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const OPEN = { type: 'http_proxy' }
const CLOSED = { type: 'http_proxy', httpUser: 'me', httpPassword: 'sécret' }
const CREDENTIALS = `Basic ${Buffer.from('me:sécret').toString('base64')}`

/** A web server that tells what it was asked. */
async function webServer(): Promise<{ port: number; asked: IncomingMessage[] }> {
  const asked: IncomingMessage[] = []
  const server = createServer((incoming, response) => {
    asked.push(incoming)
    const parts: Buffer[] = []
    incoming.on('data', (part: Buffer) => parts.push(part))
    incoming.on('end', () => response.end(`${incoming.method} ${incoming.url} ${Buffer.concat(parts)}`))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanUp.add(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, asked }
}

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

function ask(port: number, path: string, headers: Record<string, string> = {}, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST'
    const out = request({ port, host: '127.0.0.1', method, path, headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part) => {
        text += part
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }))
      response.on('error', reject)
    })
    out.on('error', reject)
    out.end(body)
  })
}

function connectHead(port: number, fields = ''): string {
  return `CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${fields}\r\n`
}

describe('CONNECT', () => {
  it('leads to the target, and what the client sends without waiting arrives', async () => {
    const echo = await echoTcp(cleanUp)
    const { port, idle } = await openPlugin(cleanUp, OPEN)
    const { bytes } = await converse(port, Buffer.from(`${connectHead(echo)}early`), { end: true })
    expect(bytes.toString()).toBe('HTTP/1.1 200 OK\r\n\r\nearly')
    await idle()
  })

  it('is understood in single bytes', async () => {
    const echo = await echoTcp(cleanUp)
    const { port } = await openPlugin(cleanUp, OPEN)
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    const over = new Promise<string>((resolve) => {
      let text = ''
      socket.on('data', (part) => {
        text += part
      })
      socket.on('end', () => resolve(text))
    })
    for (const byte of Buffer.from(`${connectHead(echo)}late`)) {
      await new Promise((sent) => socket.write(Uint8Array.of(byte), sent))
    }
    socket.end()
    expect(await over).toBe('HTTP/1.1 200 OK\r\n\r\nlate')
  })

  it('passes half-close and reset on', async () => {
    const patient = await listenTcp(cleanUp, (socket) => socket.resume().once('end', () => socket.end('after the end')))
    const rude = await listenTcp(cleanUp, (socket) => {
      socket.once('data', () => socket.write('half', () => socket.resetAndDestroy()))
    })
    const { port, idle } = await openPlugin(cleanUp, OPEN)
    const kept = await converse(port, Buffer.from(`${connectHead(patient)}ask`), { end: true })
    expect(kept.bytes.toString()).toMatch(/after the end$/)
    const cut = await converse(port, Buffer.from(`${connectHead(rude)}ask`))
    expect(cut.ended).toBe(false)
    expect(cut.error).toMatchObject({ code: 'ECONNRESET' })
    await idle()
  })

  it('wants user and password where they are set', async () => {
    const echo = await echoTcp(cleanUp)
    const { port, idle } = await openPlugin(cleanUp, CLOSED)
    const wrong = `Basic ${Buffer.from('me:secret').toString('base64')}`
    for (const fields of ['', `Proxy-Authorization: ${wrong}\r\n`, 'Proxy-Authorization: Bearer x\r\n']) {
      const { bytes, ended } = await converse(port, Buffer.from(connectHead(echo, fields)))
      expect(bytes.toString()).toMatch(/^HTTP\/1.1 407 .*\r\nProxy-Authenticate: Basic realm=/)
      expect(ended).toBe(true)
    }
    const { bytes } = await converse(port, Buffer.from(connectHead(echo, `Proxy-Authorization: ${CREDENTIALS}\r\n`)), {
      end: true,
    })
    expect(bytes.toString()).toMatch(/^HTTP\/1.1 200 OK\r\n/)
    await idle()
  })

  it('says 502 where nobody listens, and 400 to what is no head', async () => {
    const { port, idle } = await openPlugin(cleanUp, OPEN)
    expect((await converse(port, Buffer.from(connectHead(1)))).bytes.toString()).toMatch(/^HTTP\/1.1 502 /)
    const bad = await converse(port, Buffer.from('CONNECT nowhere:99999 HTTP/1.1\r\nHost: a\r\n\r\n'))
    expect(bad.bytes.toString()).toMatch(/^HTTP\/1.1 400 /)
    await idle()
  })

  it('comes after the answer to the request before it, on the same connection', async () => {
    const echo = await echoTcp(cleanUp)
    const { port: web } = await webServer()
    const { port, idle } = await openPlugin(cleanUp, OPEN)
    const first = `GET http://127.0.0.1:${web}/first HTTP/1.1\r\nHost: x\r\n\r\n`
    const { bytes } = await converse(port, Buffer.from(`${first}${connectHead(echo)}tunnelled`), { end: true })
    expect(bytes.toString()).toMatch(/GET \/first HTTP\/1.1 200 OK\r\n\r\ntunnelled$/)
    await idle()
  })
})

describe('a plain request', () => {
  it('goes to the server that its URL names, without what is the proxy’s', async () => {
    const { port: web, asked } = await webServer()
    const { port } = await openPlugin(cleanUp, CLOSED)
    const fields = {
      'Proxy-Authorization': CREDENTIALS,
      'Proxy-Connection': 'keep-alive',
      Connection: 'close, X-Hop',
      'X-Hop': '1',
      'X-End': '2',
      Host: 'another.example',
    }
    const { status, body } = await ask(port, `http://127.0.0.1:${web}/path?q=1`, fields, 'payload')
    expect([status, body]).toEqual([200, 'POST /path?q=1 payload'])
    expect(asked[0]?.headers).toMatchObject({ host: `127.0.0.1:${web}`, 'x-end': '2' })
    expect(Object.keys(asked[0]?.headers ?? {})).not.toEqual(expect.arrayContaining(['x-hop']))
    expect(JSON.stringify(asked[0]?.rawHeaders)).not.toMatch(/proxy-/i)
  })

  it('wants user and password where they are set', async () => {
    const { port: web, asked } = await webServer()
    const { port } = await openPlugin(cleanUp, CLOSED)
    const { status, headers } = await ask(port, `http://127.0.0.1:${web}/`)
    expect([status, headers['proxy-authenticate']]).toEqual([407, 'Basic realm="Restricted"'])
    const authorization = { Authorization: CREDENTIALS }
    expect((await ask(port, `http://127.0.0.1:${web}/`, authorization)).status).toBe(407)
    expect(asked).toHaveLength(0)
  })

  it('is answered 400 without a whole URL, and 502 where nobody listens', async () => {
    const { port, lines } = await openPlugin(cleanUp, OPEN)
    expect((await ask(port, '/path')).status).toBe(400)
    expect((await ask(port, 'http://127.0.0.1:1/')).status).toBe(502)
    await lines.waitFor('http request to [127.0.0.1:1] error: cannot connect to 127.0.0.1:1: connect ECONNREFUSED')
  })
})
