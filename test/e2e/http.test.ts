import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { CleanUp } from './client-rig.ts'
import { ask, basic, exchangeRaw, telling, webServer } from './rig/http.ts'
import { startTunnel } from './rig/tunnel.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const GOOD = 'HTTP/1.1 200 OK'

/** One http proxy for each row of fields; each leads to a server that says the proxy's name. */
async function startProxies(rows: Record<string, object>, relay: object = {}) {
  const proxies = await Promise.all(
    Object.entries(rows).map(async ([name, fields]) => ({
      name,
      type: 'http',
      localPort: (await webServer(cleanUp, telling(name))).port,
      ...fields,
    })),
  )
  const { vhostPort } = await startTunnel(cleanUp, { proxies, relay })
  return {
    port: vhostPort,
    /** The name of the proxy that answers, or the status. */
    who: async (host: string, path = '/', headers: Record<string, string> = {}): Promise<string | number> => {
      const { status, text } = await ask(vhostPort, { path, headers: { host, ...headers } })
      return status === 200 ? JSON.parse(text).word : status
    },
  }
}

describe('vhost HTTP', () => {
  it('finds a proxy by host, exact before wildcard before everything, in any case and with any port', async () => {
    const { port, who } = await startProxies(
      {
        exact: { customDomains: ['a.example.com'] },
        wild: { customDomains: ['*.example.com'] },
        sub: { subdomain: 'test' },
        all: { customDomains: ['*'] },
      },
      { subDomainHost: 'tunnels.example' },
    )
    expect(await who('a.example.com')).toBe('exact')
    expect(await who('A.Example.COM:1234')).toBe('exact')
    expect(await who('b.example.com')).toBe('wild')
    expect(await who('x.b.example.com')).toBe('wild')
    expect(await who('test.tunnels.example')).toBe('sub')
    expect(await who('other.tunnels.example')).toBe('all')
    expect(await who('example.org')).toBe('all')
    expect(
      await exchangeRaw(
        cleanUp,
        port,
        'GET http://a.example.com/x HTTP/1.1\r\nHost: b.org\r\nConnection: close\r\n\r\n',
      ),
    ).toContain('"word":"exact"')
  })

  it('finds a proxy by the longest location, and by the user of the credentials', async () => {
    const hosts = { customDomains: ['one.example.com'] }
    const { who } = await startProxies({
      root: { ...hosts },
      deep: { ...hosts, locations: ['/api', '/api/v2'] },
      ann: { ...hosts, routeByHTTPUser: 'ann' },
      closed: { ...hosts, locations: ['/closed'], httpUser: 'bob', httpPassword: 'pässword' },
    })
    expect(await who('one.example.com', '/')).toBe('root')
    expect(await who('one.example.com', '/ap')).toBe('root')
    expect(await who('one.example.com', '/api/v2/x?y=/')).toBe('deep')
    expect(await who('one.example.com', '/', { authorization: basic('ann', 'whatever') })).toBe('ann')
    expect(await who('one.example.com', '/', { authorization: basic('eve', 'x') })).toBe('root')
    expect(await who('one.example.com', '/closed')).toBe(401)
    expect(await who('one.example.com', '/closed', { authorization: basic('bob', 'password') })).toBe(401)
    expect(await who('one.example.com', '/closed', { authorization: basic('bob', 'pässword') })).toBe('closed')
  })

  it('gives the service every path that is not the relay’s own', async () => {
    const { who } = await startProxies({ p: { customDomains: ['h'] } })
    expect(await who('h', '/~!frpx')).toBe('p')
    expect(await who('h', '/~!frp.txt?a=/')).toBe('p')
    expect(await who('h', '/~!frp/nothing')).toBe(404)
    // The WebSocket's path, without an upgrade.
    expect(await who('h', '/~!frp?x')).toBe(400)
  })

  it('asks for a password in words of HTTP', async () => {
    const { port } = await startProxies({ p: { customDomains: ['h'], httpUser: 'u', httpPassword: 'p' } })
    const refused = await ask(port, { headers: { host: 'h' } })
    expect([refused.status, refused.headers['www-authenticate']]).toEqual([401, 'Basic realm="Restricted"'])
  })

  it('changes header fields as the proxy says, and tells the service who the user is', async () => {
    const web = await webServer(cleanUp, (request, response) => {
      response.setHeader('X-From-Service', 'kept')
      response.setHeader('X-Over', 'service')
      telling()(request, response)
    })
    const { vhostPort } = await startTunnel(cleanUp, {
      proxies: [
        {
          name: 'h',
          type: 'http',
          localPort: web.port,
          customDomains: ['public.example.com'],
          hostHeaderRewrite: 'internal.lan',
          requestHeaders: { set: { 'x-from-where': 'frp', 'X-Mine': 'replaced' } },
          responseHeaders: { set: { 'X-Over': 'proxy', 'X-New': 'yes' } },
        },
      ],
    })
    const headers = { host: 'public.example.com', 'X-Mine': 'users', 'X-Forwarded-For': '9.9.9.9', 'X-CaSe': 'stays' }
    const answer = await ask(vhostPort, { path: '/a%20b?c=d', headers })
    const told = JSON.parse(answer.text)
    expect(told.url).toBe('/a%20b?c=d')
    expect(told.rawHeaders).toContain('X-CaSe')
    expect(told.headers).toMatchObject({
      host: 'internal.lan',
      'x-from-where': 'frp',
      'x-mine': 'replaced',
      'x-forwarded-for': '9.9.9.9, 127.0.0.1',
      'x-forwarded-host': 'public.example.com',
      'x-forwarded-proto': 'http',
    })
    expect(answer.headers).toMatchObject({ 'x-from-service': 'kept', 'x-over': 'proxy', 'x-new': 'yes' })
  })

  it('answers 404 for a host without a proxy and for a service that is not there, and tells them apart', async () => {
    const { vhostPort } = await startTunnel(cleanUp, {
      proxies: [{ name: 'h', type: 'http', localPort: 1, customDomains: ['dead'] }],
    })
    const nobody = await ask(vhostPort, { headers: { host: 'nobody' } })
    expect([nobody.status, nobody.headers['edgefrp-error']]).toEqual([404, 'NO_ROUTE'])
    expect(nobody.text).toContain('The page you requested was not found')
    const dead = await ask(vhostPort, { headers: { host: 'dead' } })
    expect(dead.status).toBe(404)
    expect(dead.headers['edgefrp-error']).not.toBe('NO_ROUTE')
  })

  it('answers 404 with the page of custom404Page, read anew each time', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'edgefrp-404-'))
    cleanUp.add(() => rm(folder, { recursive: true }))
    const custom404Page = join(folder, '404.html')
    writeFileSync(custom404Page, '<p>not hére</p>')
    const { vhostPort } = await startTunnel(cleanUp, {
      relay: { custom404Page },
      proxies: [{ name: 'h', type: 'http', localPort: 1, customDomains: ['dead'] }],
    })
    expect(await ask(vhostPort, { headers: { host: 'x' } })).toMatchObject({ status: 404, text: '<p>not hére</p>' })
    expect(await ask(vhostPort, { headers: { host: 'dead' } })).toMatchObject({ status: 404, text: '<p>not hére</p>' })
    writeFileSync(custom404Page, 'second')
    expect((await ask(vhostPort, { headers: { host: 'x' } })).text).toBe('second')
    await rm(custom404Page)
    expect((await ask(vhostPort, { headers: { host: 'x' } })).text).toContain('The page you requested was not found')
  })

  it('answers 504 to who waits longer than vhostHTTPTimeout for a head, and cuts the request', async () => {
    let cut: () => void
    const wasCut = new Promise<void>((resolve) => {
      cut = resolve
    })
    const web = await webServer(cleanUp, (request, response) => {
      if (request.url === '/slow') response.on('close', () => cut())
      else telling('fast')(request, response)
    })
    const { vhostPort } = await startTunnel(cleanUp, {
      relay: { vhostHTTPTimeout: 1 },
      proxies: [{ name: 'h', type: 'http', localPort: web.port, customDomains: ['h'] }],
    })
    const slow = await ask(vhostPort, { path: '/slow', headers: { host: 'h' } })
    expect([slow.status, slow.headers['edgefrp-error']]).toEqual([504, 'TIMEOUT'])
    await wasCut
    expect((await ask(vhostPort, { headers: { host: 'h' } })).status).toBe(200)
  })

  it('an upload may take longer than vhostHTTPTimeout, which counts from the whole request on', async () => {
    const web = await webServer(cleanUp, (request, response) => {
      if (request.url === '/silent') return
      request.resume().on('end', () => response.end('got it'))
    })
    const { vhostPort } = await startTunnel(cleanUp, {
      relay: { vhostHTTPTimeout: 1 },
      proxies: [{ name: 'h', type: 'http', localPort: web.port, customDomains: ['h'] }],
    })
    const upload = request({ port: vhostPort, host: '127.0.0.1', method: 'POST', headers: { host: 'h' } })
    const answered = once(upload, 'response')
    upload.write('the first part')
    const silent = ask(vhostPort, { path: '/silent', headers: { host: 'h' } })
    const dripping = setInterval(() => upload.write('more'), 200)
    // When this one was given up, the upload is older than the timeout.
    expect((await silent).status).toBe(504)
    clearInterval(dripping)
    upload.end('the last part')
    const [response] = await answered
    expect(response.statusCode).toBe(200)
    response.resume()
  })

  it('an upload of which nothing more comes is cut after vhostHTTPTimeout', async () => {
    const web = await webServer(cleanUp, (request) => request.resume().on('error', () => undefined))
    const { vhostPort } = await startTunnel(cleanUp, {
      relay: { vhostHTTPTimeout: 1 },
      proxies: [{ name: 'h', type: 'http', localPort: web.port, customDomains: ['h'] }],
    })
    const headers = { host: 'h', 'content-length': 100 }
    const upload = request({ port: vhostPort, host: '127.0.0.1', method: 'POST', headers })
    upload.write('the first part')
    await expect(once(upload, 'response')).rejects.toThrow(/hang up|ECONNRESET/)
  })
})

/** Each with the status it has to get; after it the connection is closed. */
const BAD: readonly [string, string, number][] = [
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n', 400],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['a Host with a path', 'GET / HTTP/1.1\r\nHost: h/x\r\n\r\n', 400],
  ['CL and TE', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
  ['two lengths', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd', 400],
  ['a signed length', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc', 400],
  ['an unknown coding', 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked, x\r\n\r\n', 400],
  ['a bare LF', 'GET / HTTP/1.1\nHost: h\r\n\r\n', 400],
  ['a bare LF between fields', 'GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n', 400],
  ['a bare CR', 'GET / HTTP/1.1\r\nHost: h\r\nX: y\rZ: z\r\n\r\n', 400],
  ['a folded field', 'GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n z\r\n\r\n', 400],
  ['a space before the colon', 'GET / HTTP/1.1\r\nHost : h\r\n\r\n', 400],
  ['a NUL', 'GET / HTTP/1.1\r\nHost: h\r\nX: \0\r\n\r\n', 400],
  ['a head without end', `GET / HTTP/1.1\r\nHost: h\r\nX: ${'y'.repeat(70_000)}\r\n\r\n`, 431],
  ['a thousand fields', `GET / HTTP/1.1\r\nHost: h\r\n${'X: y\r\n'.repeat(1_000)}\r\n`, 431],
]

/** In the body: the head has gone on to the service already, so there is nothing but a cut. */
const BAD_CHUNKS = [
  'x\r\nabc\r\n0\r\n\r\n',
  '3\nabc\r\n',
  '3\r\nabcd\r\n',
  '-1\r\n\r\n',
  'fffffffffffffffff\r\n',
  '3 \r\nabc\r\n0\r\n\r\n',
]

describe('a request that can be read in two ways', () => {
  it('is answered 400 and its connection closed, while others go on', async () => {
    const { port, who } = await startProxies({ p: { customDomains: ['h'] } })
    await Promise.all(
      BAD.map(async ([what, text, status]) => {
        // The same as the first request of a connection and as a later one.
        const first = await exchangeRaw(cleanUp, port, text)
        expect([what, first.slice(0, 12)]).toEqual([what, `HTTP/1.1 ${status}`])
        const later = await exchangeRaw(cleanUp, port, `GET / HTTP/1.1\r\nHost: h\r\n\r\n${text}`)
        expect([what, later.slice(0, GOOD.length)]).toEqual([what, GOOD])
        expect([what, later.includes(`HTTP/1.1 ${status}`)]).toEqual([what, true])
        expect(await who('h')).toBe('p')
      }),
    )
  })

  it('is cut when the chunks of its body are bad, and never answered as if it were whole', async () => {
    const bodies: string[] = []
    const web = await webServer(cleanUp, (request, response) => {
      request.on('end', () => {
        bodies.push('whole')
        response.end('whole')
      })
      request.on('error', () => bodies.push('cut'))
      request.resume()
    })
    const { vhostPort } = await startTunnel(cleanUp, {
      proxies: [{ name: 'h', type: 'http', localPort: web.port, customDomains: ['h'] }],
    })
    for (const chunk of BAD_CHUNKS) {
      const head = 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n'
      const answer = await exchangeRaw(cleanUp, vhostPort, head + chunk).catch((error: Error) => error.message)
      expect([chunk, answer.includes('200')]).toEqual([chunk, false])
    }
    expect(bodies).not.toContain('whole')
    expect((await ask(vhostPort, { headers: { host: 'h' } })).text).toBe('whole')
  })
})
