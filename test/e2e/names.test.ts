import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer, connect as tlsConnect } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { logIn } from '../faults/hostile-client.ts'
import { hostRelay } from '../faults/hostile-relay.ts'
import { CleanUp, converse, echoTcp, listenTcp, startClient } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'
import { quietPorts } from './rig/ports.ts'

const TOKEN = { auth: { token: 'names-token' } }
const HOST = '127.0.0.1'
const cleanUp = new CleanUp()
let certificate: { key: string; cert: string }

beforeAll(() => {
  const folder = mkdtempSync(join(tmpdir(), 'edgefrp-names-'))
  const files = ['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')]
  const kind = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  execFileSync('openssl', [...kind, '-subj', '/CN=names', ...files], { stdio: 'ignore' })
  certificate = {
    key: readFileSync(join(folder, 'key.pem'), 'utf8'),
    cert: readFileSync(join(folder, 'cert.pem'), 'utf8'),
  }
  rmSync(folder, { recursive: true })
})

afterEach(() => cleanUp.run())
afterAll(() => cleanUp.run())

/** A TLS service that says its name and then sends everything back. */
function tlsService(name: string): Promise<number> {
  const server = createTlsServer(certificate, (socket) => {
    socket.on('error', () => undefined)
    socket.write(`${name}:`)
    socket.pipe(socket)
  })
  return new Promise((resolve) => {
    server.listen(0, HOST, () => {
      const address = server.address()
      cleanUp.add(() => void server.close())
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
}

/** A TCP service that says its name and then sends everything back. */
function namedService(name: string): Promise<number> {
  return listenTcp(cleanUp, (socket) => {
    socket.write(`${name}:`)
    socket.pipe(socket)
  })
}

/** What a TLS client gets until `until` came; or the error's text. */
function askTls(port: number, servername: string | undefined, until: string): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    const socket = tlsConnect({ port, host: HOST, rejectUnauthorized: false, ...(servername && { servername }) })
    const over = (answer: string): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('secureConnect', () => socket.write('hi'))
    socket.on('data', (chunk) => {
      text += chunk.toString()
      if (text.includes(until)) over(text)
    })
    socket.on('error', (error) => over(error.message))
    socket.on('close', () => over(text))
  })
}

async function start(relay: object, proxies: object[], bindPort?: number) {
  const [free = 0] = await quietPorts(1)
  const port = bindPort ?? free
  const { server } = await startRelay(cleanUp, { bindPort: port, ...TOKEN, ...relay })
  const client = startClient(cleanUp, {
    serverAddr: HOST,
    serverPort: port,
    transport: { tls: { disableCustomTLSFirstByte: false } },
    ...TOKEN,
    proxies,
  })
  for (const proxy of proxies) {
    await client.lines.waitFor(`[${(proxy as { name: string }).name}] start proxy success`) // as the tests below write
  }
  return { server, client }
}

describe('https proxies', () => {
  it("are found by the name in the hello, through every wrapping, and TLS is the service's", async () => {
    const [vhostHTTPSPort = 0] = await quietPorts(1)
    await start({ vhostHTTPSPort, subDomainHost: 'tunnel.example.com' }, [
      { name: 'a', type: 'https', localPort: await tlsService('a'), customDomains: ['A.example.com', 'b.example.com'] },
      {
        name: 'w',
        type: 'https',
        localPort: await tlsService('w'),
        customDomains: ['*.wild.example.com'],
        transport: { useEncryption: true, useCompression: true },
      },
      { name: 's', type: 'https', localPort: await tlsService('s'), subdomain: 'shop' },
    ])
    expect(await askTls(vhostHTTPSPort, 'a.example.com', 'hi')).toBe('a:hi')
    expect(await askTls(vhostHTTPSPort, 'B.Example.com', 'hi')).toBe('a:hi')
    expect(await askTls(vhostHTTPSPort, 'x.y.wild.example.com', 'hi')).toBe('w:hi')
    expect(await askTls(vhostHTTPSPort, 'shop.tunnel.example.com', 'hi')).toBe('s:hi')
  })

  it('are not found under another name: unrecognized_name, which is what TLS has for it', async () => {
    const [vhostHTTPSPort = 0] = await quietPorts(1)
    await start({ vhostHTTPSPort }, [
      { name: 'a', type: 'https', localPort: await tlsService('a'), customDomains: ['a.example.com'] },
    ])
    expect(await askTls(vhostHTTPSPort, 'c.example.com', 'hi')).toMatch(/unrecognized[ _]name/)
    expect(await askTls(vhostHTTPSPort, undefined, 'hi')).toMatch(/unrecognized[ _]name/)
    const other = await converse(vhostHTTPSPort, Buffer.from('GET / HTTP/1.1\r\n\r\n'))
    expect(other.bytes.length).toBe(0)
  })

  it("share the bind port with clients that begin with frp's own byte", async () => {
    const [port = 0] = await quietPorts(1)
    const { server } = await start(
      { vhostHTTPSPort: port },
      [
        { name: 'a', type: 'https', localPort: await tlsService('a'), customDomains: ['a.example.com'] },
        { name: 'any', type: 'https', localPort: await tlsService('any'), customDomains: ['*'] },
      ],
      port,
    )
    expect([server.bindPort, server.vhostHttpsPort]).toEqual([port, port])
    expect(await askTls(port, 'a.example.com', 'hi')).toBe('a:hi')
    expect(await askTls(port, undefined, 'hi')).toBe('any:hi')
  })
})

/** Sends a CONNECT in pieces of `cut` bytes, then `payload` when the answer's head is there; all that comes back. */
function askTcpmux(port: number, request: string, payload: string, until: string, cut = 1_000): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    let isSent = false
    const socket: Socket = connect({ port, host: HOST, noDelay: true })
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      text += chunk.toString()
      if (!isSent && text.includes('\r\n\r\n')) socket.write(payload)
      isSent ||= text.includes('\r\n\r\n')
      if (text.includes(until)) socket.destroy()
    })
    socket.on('close', () => resolve(text))
    for (let at = 0; at < request.length; at += cut) socket.write(request.slice(at, at + cut))
  })
}

const CONNECTED = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'

function connectTo(host: string, credential?: string): string {
  const field = credential === undefined ? '' : `Proxy-Authorization: Basic ${btoa(credential)}\r\n`
  return `CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n${field}\r\n`
}

describe('tcpmux proxies', () => {
  const tcpmux = { type: 'tcpmux', multiplexer: 'httpconnect', customDomains: ['a.example.com'] }

  it('are reached with CONNECT, with or without a port, and by user', async () => {
    const [port = 0] = await quietPorts(1)
    const { server } = await start({ tcpmuxHTTPConnectPort: port }, [
      { ...tcpmux, name: 'all', localPort: await namedService('all') },
      { ...tcpmux, name: 'one', localPort: await namedService('one'), routeByHTTPUser: 'one' },
    ])
    expect(server.tcpmuxPort).toBe(port)
    for (const cut of [1, 7, 1_000]) {
      const answer = await askTcpmux(port, connectTo('A.example.com:443'), 'hi', 'hi', cut)
      expect(answer).toBe(`${CONNECTED}all:hi`)
    }
    expect(await askTcpmux(port, connectTo('a.example.com', 'one:'), 'hi', 'hi')).toBe(`${CONNECTED}one:hi`)
    expect(await askTcpmux(port, connectTo('a.example.com', 'two:'), 'hi', 'hi')).toBe(`${CONNECTED}all:hi`)
    // What comes right behind the request is payload.
    expect(await askTcpmux(port, `${connectTo('a.example.com')}early`, '', 'early')).toBe(`${CONNECTED}all:early`)
  })

  it('ask for their password before they say that anything is connected', async () => {
    const [port = 0] = await quietPorts(1)
    const password = { httpUser: 'u', httpPassword: 'p' }
    await start({ tcpmuxHTTPConnectPort: port }, [
      { ...tcpmux, name: 'a', localPort: await namedService('a'), ...password },
    ])
    for (const credential of [undefined, 'u:', 'u:wrong', 'v:p']) {
      const answer = await askTcpmux(port, connectTo('a.example.com', credential), 'hi', 'never')
      expect(answer).toMatch(/^HTTP\/1\.1 407 .*\r\nProxy-Authenticate: Basic realm="Restricted"\r\n/)
      expect(answer).not.toContain('a:')
    }
    expect(await askTcpmux(port, connectTo('a.example.com', 'u:p'), 'hi', 'hi')).toBe(`${CONNECTED}a:hi`)
  })

  it('pass the request itself on when told so', async () => {
    const [port = 0] = await quietPorts(1)
    await start({ tcpmuxHTTPConnectPort: port, tcpmuxPassthrough: true }, [
      { ...tcpmux, name: 'a', localPort: await echoTcp(cleanUp) },
    ])
    const request = connectTo('a.example.com:22')
    expect(await askTcpmux(port, request, 'hi', 'hi')).toBe(`${request}hi`)
  })

  it('are not found under another name, and take nothing but CONNECT', async () => {
    const [port = 0] = await quietPorts(1)
    await start({ tcpmuxHTTPConnectPort: port }, [{ ...tcpmux, name: 'a', localPort: await namedService('a') }])
    const answer = await askTcpmux(port, connectTo('b.example.com:1'), '', 'never')
    expect(answer).toMatch(/^HTTP\/1\.1 404 Not Found\r\nContent-Length: \d+\r\n/)
    expect(Number(/Content-Length: (\d+)/.exec(answer)?.[1])).toBe(answer.split('\r\n\r\n')[1]?.length)
    expect((await converse(port, Buffer.from('GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n'))).bytes.length).toBe(0)
  })
})

describe('groups', () => {
  const loadBalancer = { group: 'g', groupKey: 'k' }

  /** Who serves the next `count` users. */
  async function turns(count: number, ask: () => Promise<string>): Promise<string> {
    let names = ''
    for (let i = 0; i < count; i++) names += /([xyz]):/.exec(await ask())?.[1] ?? '?'
    return names
  }

  it('of tcp share a port in turn, also with a port that the relay chose, and the last one gives it back', async () => {
    const [port = 0] = await quietPorts(1)
    const member = async (name: string, remotePort: number, group = 'g') => ({
      name: `${group}-${name}`,
      type: 'tcp',
      localPort: await namedService(name),
      remotePort,
      loadBalancer: { group, groupKey: 'k' },
    })
    const proxies = [await member('x', port), await member('y', port)]
    const [anyX, anyY] = [await member('x', 0, 'any'), await member('y', 0, 'any')]
    const { server, client } = await start({}, [...proxies, anyX, anyY])
    const ask = (at: number) => async () => (await converse(at, Buffer.from('hi'), { until: 4 })).bytes.toString()
    expect(await turns(6, ask(port))).toMatch(/^(xyxyxy|yxyxyx)$/)
    const chosen = ['any-x', 'any-y'].map((name) => {
      return server.relay.registry.list().find((proxy) => proxy.name === name)?.message?.remote_port
    })
    expect(chosen[0]).toBe(chosen[1])
    expect(await turns(4, ask(chosen[0] ?? 0))).toMatch(/^(xyxy|yxyx)$/)
    client.service.close()
    await client.over
    await expect.poll(async () => (await converse(port, Buffer.from('hi'))).error?.message).toContain('ECONNREFUSED')
    await startClient(cleanUp, {
      serverAddr: HOST,
      serverPort: server.bindPort,
      ...TOKEN,
      proxies: [{ name: 'alone', type: 'tcp', localPort: await namedService('z'), remotePort: port }],
    }).lines.waitFor('[alone] start proxy success')
    expect(await turns(1, ask(port))).toBe('z')
  })

  it("answer with frp's texts who may not join, and what a proxy is reached by", async () => {
    const [vhostHTTPPort = 0] = await quietPorts(1)
    const vhost = { vhostHTTPPort, vhostHTTPSPort: 0, tcpmuxHTTPConnectPort: 0 }
    const relay = await hostRelay(cleanUp, {}, { ...vhost, subDomainHost: 'tunnel.example.com' })
    const client = await logIn(cleanUp, relay.port)
    const http = { proxy_type: 'http', custom_domains: ['a.example.com'], group: 'g', group_key: 'k' }
    const register = async (proxy: Record<string, unknown>) => {
      const { error, remote_addr } = await client.register(proxy)
      return error === '' ? remote_addr : error
    }
    expect(await register({ ...http, proxy_name: 'a' })).toBe(`a.example.com:${vhostHTTPPort}`)
    expect(await register({ ...http, proxy_name: 'b', group_key: 'other' })).toBe('group auth failed')
    expect(await register({ ...http, proxy_name: 'b', custom_domains: ['b.example.com'] })).toBe('group params invalid')
    expect(await register({ ...http, proxy_name: 'b', locations: ['/x', '/y'] })).toBe('group params invalid')
    expect(await register({ ...http, proxy_name: 'b', group: '' })).toBe('router config conflict')
    expect(await register({ ...http, proxy_name: 'b', group: 'other' })).toBe('router config conflict')
    expect(await register({ ...http, proxy_name: 'b' })).toBe(`a.example.com:${vhostHTTPPort}`)
    const [port = 0, other = 0] = await quietPorts(2)
    const tcp = { group: 'g', group_key: 'k', remote_port: port }
    expect(await register({ ...tcp, proxy_name: 't' })).toBe(`:${port}`)
    expect(await register({ ...tcp, proxy_name: 'u', remote_port: other })).toBe('group should have same remote port')
    expect(await register({ ...tcp, proxy_name: 'u', group: '' })).toBe('port already used')
    expect(await register({ ...tcp, proxy_name: 'u' })).toBe(`:${port}`)
    expect(await register({ proxy_name: 'h', proxy_type: 'https' })).toContain('vhost https port is not set')
    const mux = { proxy_name: 'm', proxy_type: 'tcpmux', multiplexer: 'httpconnect' }
    expect(await register(mux)).toContain('not supported because this feature is not enabled in server')
    expect(await register({ ...mux, multiplexer: 'x' })).toBe('unknown multiplexer [x]')
    // Everything that a refused member claimed is free again.
    client.send({ type: 'CloseProxy', proxy_name: 't' })
    client.send({ type: 'CloseProxy', proxy_name: 'u' })
    expect(await register({ proxy_name: 'v', remote_port: port })).toBe(`:${port}`)
  })

  it('count against the ports of a client, and a member that leaves is not asked any more', async () => {
    const [port = 0] = await quietPorts(1)
    const relay = await hostRelay(cleanUp, {}, { maxPortsPerClient: 2 })
    const client = await logIn(cleanUp, relay.port)
    const served: string[] = []
    client.serve((work) => {
      const [start] = work.messages
      if (start?.type === 'StartWorkConn') served.push(start.proxy_name)
      work.channel.end()
    })
    const tcp = { group: 'g', remote_port: port }
    await client.register({ ...tcp, proxy_name: 'a' })
    await client.register({ ...tcp, proxy_name: 'b' })
    expect((await client.register({ ...tcp, proxy_name: 'c' })).error).toBe('exceed the max_ports_per_client')
    const user = () => converse(port, Buffer.from('hi'))
    for (let i = 0; i < 4; i++) await user()
    expect(served.join('')).toBe('abab')
    client.send({ type: 'CloseProxy', proxy_name: 'a' })
    await client.pong()
    for (let i = 0; i < 2; i++) await user()
    expect(served.join('')).toBe('ababbb')
  })

  it('of https and tcpmux take their users in turn', async () => {
    const [vhostHTTPSPort = 0, tcpmuxHTTPConnectPort = 0] = await quietPorts(2)
    const customDomains = ['a.example.com']
    const mux = { type: 'tcpmux', multiplexer: 'httpconnect', customDomains, loadBalancer }
    await start({ vhostHTTPSPort, tcpmuxHTTPConnectPort }, [
      { name: 'x', type: 'https', localPort: await tlsService('x'), customDomains, loadBalancer },
      { name: 'y', type: 'https', localPort: await tlsService('y'), customDomains, loadBalancer },
      { ...mux, name: 'mx', localPort: await namedService('x') },
      { ...mux, name: 'my', localPort: await namedService('y') },
    ])
    const https = () => askTls(vhostHTTPSPort, 'a.example.com', 'hi')
    expect(await turns(4, https)).toMatch(/^(xyxy|yxyx)$/)
    const tcpmux = () => askTcpmux(tcpmuxHTTPConnectPort, connectTo('a.example.com'), 'hi', 'hi')
    expect(await turns(4, tcpmux)).toMatch(/^(xyxy|yxyx)$/)
  })
})
