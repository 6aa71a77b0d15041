import { once } from 'node:events'
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2'
import { request as requestHttps } from 'node:https'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import { CleanUp } from '../../e2e/client-rig.ts'
import { openPlugin } from './plugin-rig.ts'
import { telling, webServer } from './plugin-web-server.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

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

describe('https2http and https2https', () => {
  it('end TLS with a certificate of their own, and tell the server who came', async () => {
    for (const [type, isTls] of [
      ['https2http', false],
      ['https2https', true],
    ] as const) {
      const { port, idle } = await openPlugin(cleanUp, { type, localAddr: await webServer(cleanUp, telling, isTls) })
      const { status, body } = await askTls(port, '/x', { host: 'web.example:8443' })
      expect(status).toBe(200)
      expect(body).toContain('Host: web.example:8443')
      expect(body).toContain('X-Forwarded-For: 192.0.2.7\nX-Forwarded-Host: web.example:8443\nX-Forwarded-Proto: https')
      await idle()
    }
  })

  it('answer 421 to a Host that is not the name of the TLS', async () => {
    const { port } = await openPlugin(cleanUp, { type: 'https2http', localAddr: await webServer(cleanUp, telling) })
    expect((await askTls(port, '/', { host: 'other.example' })).status).toBe(421)
    expect((await askTls(port, '/', { host: 'WEB.example.' })).status).toBe(200)
    expect((await askTls(port, '/', { servername: '' })).status).toBe(200)
  })

  it('speak HTTP/2, with cookies in one piece and repeated fields of answers', async () => {
    const localAddr = await webServer(cleanUp, (request, response) => {
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
    const localAddr = await webServer(cleanUp, (request, response) => {
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
    const localAddr = await webServer(cleanUp, (request, response) => {
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
