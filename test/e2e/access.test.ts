import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { askUdp, CleanUp, converse, echoTcp, echoUdp, freePorts, startClient } from './client-rig.ts'
import { FakeRelay } from './fake-relay.ts'
import { startRelay } from './frps-rig.ts'
import { ask, basic, telling, webServer } from './rig/http.ts'
import { startTunnel } from './rig/tunnel.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const HOST = { host: 'web.example.com' }
const web = (localPort: number, more: object = {}) => ({
  name: 'web',
  type: 'http',
  localPort,
  customDomains: ['web.example.com'],
  ...more,
})
const tcp = (localPort: number, more: object = {}) => ({ name: 'echo', type: 'tcp', localPort, ...more })

describe('addresses of users', () => {
  it('that a proxy denies are turned away, and those that it allows are not', async () => {
    const local = await echoTcp(cleanUp)
    const only = (allowIPs: string) => ({ metadatas: { 'edgefrp.allowIPs': allowIPs } })
    const { relayLines, portOf, vhostPort } = await startTunnel(cleanUp, {
      proxies: [
        { ...tcp(local, only('192.0.2.0/24, 2001:db8::/32')), name: 'no' },
        { ...tcp(local, only('127.0.0.0/8')), name: 'yes' },
        web((await webServer(cleanUp, telling())).port, { metadatas: { 'edgefrp.denyIPs': '127.0.0.1' } }),
      ],
    })
    expect((await converse(portOf('no'), Buffer.from('hello'))).bytes.length).toBe(0)
    await relayLines.waitFor('connection of [127.0.0.1] closed: this address is not allowed for proxy [no]')
    expect((await converse(portOf('yes'), Buffer.from('hello'), { end: true })).bytes.toString()).toBe('hello')
    const answer = await ask(vhostPort, { headers: HOST })
    expect([answer.status, answer.headers['edgefrp-error']]).toEqual([403, 'USER_REFUSED'])
  })

  it('that the relay denies reach nothing, over udp neither', async () => {
    const { relayLines, portOf } = await startTunnel(cleanUp, {
      relay: { edgefrp: { denyIPs: ['127.0.0.1'] } },
      proxies: [{ name: 'dns', type: 'udp', localPort: await echoUdp(cleanUp) }],
    })
    await expect(
      Promise.race([askUdp(portOf('dns'), Buffer.from('x')), relayLines.waitFor('not allowed for proxy [dns]')]),
    ).resolves.toContain('closed')
  })

  it('are those that a trusted proxy tells of, for http', async () => {
    const { vhostPort } = await startTunnel(cleanUp, {
      relay: { edgefrp: { trustedProxies: ['127.0.0.1'], denyIPs: ['192.0.2.8'] } },
      proxies: [web((await webServer(cleanUp, telling())).port)],
    })
    const from = async (ip: string) => (await ask(vhostPort, { headers: { ...HOST, 'X-Forwarded-For': ip } })).status
    expect([await from('192.0.2.7'), await from('192.0.2.8'), await from('192.0.2.8, 127.0.0.1')]).toEqual([
      200, 403, 403,
    ])
  })

  it('stand beside the proxy in the client’s file; a relay that does not know them gets no such proxy', async () => {
    const localPort = await echoTcp(cleanUp)
    const { portOf, relayLines } = await startTunnel(cleanUp, {
      proxies: [
        { ...tcp(localPort, { edgefrp: { denyIPs: ['127.0.0.0/8'] } }), name: 'no' },
        { ...tcp(localPort, { edgefrp: { allowIPs: ['127.0.0.1'], denyIPs: ['127.0.0.2'] } }), name: 'yes' },
      ],
    })
    expect((await converse(portOf('no'), Buffer.from('hello'))).bytes.length).toBe(0)
    await relayLines.waitFor('connection of [127.0.0.1] closed: this address is not allowed for proxy [no]')
    expect((await converse(portOf('yes'), Buffer.from('hello'), { end: true })).bytes.toString()).toBe('hello')

    const stock = await FakeRelay.start(cleanUp)
    const { lines } = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: stock.port,
      transport: { tls: { enable: false } },
      proxies: [
        { ...tcp(localPort, { edgefrp: { allowIPs: ['127.0.0.1'] } }), name: 'no' },
        { ...tcp(localPort), name: 'open' },
      ],
    })
    await lines.waitFor('[open] start proxy success')
    await lines.waitFor('start error: this relay does not know edgefrp.allowIPs and denyIPs')
  })

  it('in metadata that are none refuse the proxy', async () => {
    const [bindPort = 0] = await freePorts(1)
    await startRelay(cleanUp, { bindPort })
    const proxies = [{ ...tcp(1), remotePort: 0, metadatas: { 'edgefrp.allowIPs': '10.0.0.0/40' } }]
    const { lines } = startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: bindPort, proxies })
    await lines.waitFor('start error: "10.0.0.0/40" is no IP address and no CIDR block')
  })
})

/** Another address of this machine, as only Linux has it without being told. */
const BALANCER = '127.0.0.9'

/** What comes back for these bytes from a connection of the balancer's, which ends after them. */
function fromBalancer(port: number, bytes: Uint8Array): Promise<Buffer> {
  const socket = connect({ port, host: '127.0.0.1', localAddress: BALANCER, allowHalfOpen: true })
  cleanUp.add(() => void socket.destroy())
  socket.end(bytes)
  return new Promise((resolve) => {
    const parts: Buffer[] = []
    socket.on('data', (part) => parts.push(part))
    socket.on('error', () => undefined)
    socket.on('end', () => socket.destroy())
    socket.on('close', () => resolve(Buffer.concat(parts)))
  })
}

describe.skipIf(process.platform !== 'linux')('a PROXY header', () => {
  const relay = { edgefrp: { proxyProtocolFrom: [BALANCER] } }
  const line = 'PROXY TCP4 192.0.2.7 198.51.100.1 4242 443\r\n'

  it('of a trusted address says where a user of a tcp proxy comes from, and no byte behind it is lost', async () => {
    const { portOf, relayLines } = await startTunnel(cleanUp, {
      relay,
      proxies: [tcp(await echoTcp(cleanUp), { transport: { proxyProtocolVersion: 'v1' } })],
    })
    const big = Buffer.alloc(300_000, 7)
    const bytes = await fromBalancer(portOf('echo'), Buffer.concat([Buffer.from(line), big]))
    expect(bytes.subarray(0, line.length).toString()).toBe(line)
    expect(bytes.subarray(line.length).equals(big)).toBe(true)
    await relayLines.waitFor('get a user connection [192.0.2.7:4242]')
    // Everybody else talks as ever, and cannot claim to be somebody.
    const other = await converse(portOf('echo'), Buffer.from(line), { end: true })
    expect(other.bytes.toString()).toMatch(/^PROXY TCP4 127\.0\.0\.1 .*\r\nPROXY TCP4 192\.0\.2\.7 /)
  })

  it('says it for http, where rules of addresses and X-Forwarded-For see it', async () => {
    const { vhostPort } = await startTunnel(cleanUp, {
      relay,
      proxies: [web((await webServer(cleanUp, telling())).port, { metadatas: { 'edgefrp.denyIPs': '192.0.2.8' } })],
    })
    const request = 'GET / HTTP/1.1\r\nHost: web.example.com\r\nConnection: close\r\n\r\n'
    const answer = (await fromBalancer(vhostPort, Buffer.from(line + request))).toString()
    expect(answer).toContain('"x-forwarded-for":"192.0.2.7"')
    const denied = await fromBalancer(vhostPort, Buffer.from(line.replace('192.0.2.7', '192.0.2.8') + request))
    expect(denied.toString()).toMatch(/^HTTP\/1\.1 403 /)
  })

  it('is there, or the connection is closed with a line', async () => {
    const { portOf, relayLines } = await startTunnel(cleanUp, { relay, proxies: [tcp(await echoTcp(cleanUp))] })
    expect((await fromBalancer(portOf('echo'), Buffer.from('SSH-2.0-x\r\n'))).length).toBe(0)
    await relayLines.waitFor(
      'connection of [127.0.0.9] closed: no PROXY header, which edgefrp.proxyProtocolFrom demands',
    )
  })
})

describe('edgefrp.accessLog', () => {
  it('has a line of JSON with the address for each visit of every type', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'edgefrp-access-'))
    cleanUp.add(() => rmSync(folder, { recursive: true }))
    const file = join(folder, 'access.log')
    const entries = (): Record<string, unknown>[] =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line))
    const { portOf, vhostPort, server } = await startTunnel(cleanUp, {
      relay: { edgefrp: { accessLog: { to: file } } },
      client: { user: '' },
      proxies: [
        tcp(await echoTcp(cleanUp)),
        { name: 'dns', type: 'udp', localPort: await echoUdp(cleanUp) },
        web((await webServer(cleanUp, telling())).port, { httpUser: 'u', httpPassword: 'p' }),
        { ...tcp(1, { metadatas: { 'edgefrp.denyIPs': '127.0.0.1' } }), name: 'shut' },
      ],
    })
    await converse(portOf('echo'), Buffer.from('hello'), { end: true })
    await askUdp(portOf('dns'), Buffer.from('x'))
    await ask(vhostPort, { headers: { ...HOST, Authorization: basic('u', 'p'), 'User-Agent': 'me' }, path: '/a?b' })
    await ask(vhostPort, { headers: HOST, path: '/secret' })
    await converse(portOf('shut'), Buffer.from('hello'))
    await server.close()
    const seen = entries()
    const of = (proxy: string) => seen.filter((entry) => entry['proxy'] === proxy)
    const common = { user: '', ip: '127.0.0.1', port: expect.any(Number), time: expect.stringMatching(/Z$/) }
    expect(of('echo')).toEqual([
      { ...common, proxy: 'echo', type: 'tcp', bytesIn: 5, bytesOut: 5, ms: expect.any(Number) },
    ])
    expect(of('dns')).toEqual([{ ...common, proxy: 'dns', type: 'udp' }])
    const http = { ...common, type: 'http', method: 'GET', host: 'web.example.com' }
    expect(of('web')).toMatchObject([
      { ...http, path: '/a?b', status: 200, userAgent: 'me', bytesOut: expect.any(Number) },
      { ...http, path: '/secret', status: 401 },
    ])
    expect(of('shut')).toMatchObject([{ ...common, type: 'tcp', error: 'this address is not allowed', bytesOut: 0 }])
  })
})
