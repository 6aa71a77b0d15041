import { connect, createServer } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import { askUdp, CleanUp, converse, echoHttp, echoTcp, echoUdp, freePorts, startClient } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const AUTH = { auth: { token: 'e2e-token' } }

describe('a relay on a VM', () => {
  it('carries tcp and udp of our own client, half-close included', async () => {
    const [bindPort = 0, tcpPort = 0, udpPort = 0] = await freePorts(3)
    await startRelay(cleanUp, { bindPort, ...AUTH })
    const [tcp, udp] = [await echoTcp(cleanUp), await echoUdp(cleanUp)]
    const client = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: bindPort,
      ...AUTH,
      proxies: [
        { name: 't', type: 'tcp', localPort: tcp, remotePort: tcpPort },
        { name: 'u', type: 'udp', localPort: udp, remotePort: udpPort },
      ],
    })
    await client.lines.waitFor('[t] start proxy success')
    await client.lines.waitFor('[u] start proxy success')
    const bytes = new Uint8Array(300_000).map((_, index) => index % 251)
    const { bytes: back, ended, error } = await converse(tcpPort, bytes, { end: true })
    expect(Buffer.compare(back, bytes)).toBe(0)
    expect([ended, error]).toEqual([true, undefined])
    expect(await askUdp(udpPort, Uint8Array.of(1, 2, 3))).toEqual(Buffer.of(1, 2, 3))
  })

  it('serves users, clients and its own paths on one shared port', async () => {
    const [bindPort = 0] = await freePorts(1)
    const { lines } = await startRelay(cleanUp, { bindPort, vhostHTTPPort: bindPort, ...AUTH })
    await lines.waitFor(`frps tcp listen on 127.0.0.1:${bindPort}`)
    await lines.waitFor(`http service listen on 127.0.0.1:${bindPort}`)
    const client = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: bindPort,
      ...AUTH,
      transport: { protocol: 'websocket' },
      proxies: [{ name: 'h', type: 'http', localPort: await echoHttp(cleanUp), customDomains: ['127.0.0.1'] }],
    })
    await client.lines.waitFor('[h] start proxy success')
    const answer = await fetch(`http://127.0.0.1:${bindPort}/`, { method: 'POST', body: 'hello' })
    expect(await answer.text()).toBe('hello')
    expect((await fetch(`http://127.0.0.1:${bindPort}/~!frp/healthz`)).status).toBe(200)
  })

  it('takes clients by WebSocket on the port of vhost HTTP too', async () => {
    const [bindPort = 0, vhostHTTPPort = 0] = await freePorts(2)
    await startRelay(cleanUp, { bindPort, vhostHTTPPort, ...AUTH })
    const client = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: vhostHTTPPort,
      ...AUTH,
      transport: { protocol: 'websocket' },
    })
    await client.lines.waitFor('login to server success')
    expect((await fetch(`http://127.0.0.1:${vhostHTTPPort}/~!frp/healthz`)).status).toBe(200)
    expect((await fetch(`http://127.0.0.1:${bindPort}/else`)).status).toBe(404)
  })

  it('shows its state to who has the password, and the API to nobody where there is none', async () => {
    const [open = 0, bindPort = 0] = await freePorts(2)
    await startRelay(cleanUp, { bindPort: open })
    const without = await fetch(`http://127.0.0.1:${open}/~!frp/api/serverinfo`)
    expect(without.status).toBe(404)
    await startRelay(cleanUp, { bindPort, webServer: { user: 'admin', password: 'päss' }, maxPortsPerClient: 7 })
    const url = `http://127.0.0.1:${bindPort}/~!frp/api/serverinfo`
    const ask = (credentials: string) =>
      fetch(url, { headers: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` } })
    const refused = await fetch(url)
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Basic realm="Restricted"'])
    expect((await ask('admin:pass')).status).toBe(401)
    const allowed = await ask('admin:päss')
    expect(await allowed.json()).toMatchObject({ version: '0.70.1', bindPort, maxPortsPerClient: 7, clientCounts: 0 })
    expect(allowed.headers.get('connection')).toBe('close')
  })

  it('answers its own paths inside TLS', async () => {
    const [bindPort = 0] = await freePorts(1)
    await startRelay(cleanUp, { bindPort })
    const socket = connectTls({ port: bindPort, host: '127.0.0.1', rejectUnauthorized: false })
    cleanUp.add(() => void socket.destroy())
    socket.write('GET /~!frp/healthz HTTP/1.1\r\nHost: relay\r\n\r\n')
    const first = await new Promise<Buffer>((resolve) => socket.once('data', resolve))
    expect(first.toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  })

  it.each([
    ['bindPort', 'create server listener error'],
    ['vhostHTTPPort', 'create vhost http listener error'],
  ])('says in words of frp that %s is taken, and leaves nothing open', async (key, start) => {
    const taken = createServer()
    const [bindPort = 0] = await freePorts(1)
    const [port = 0] = await freePorts(1)
    await new Promise<void>((resolve) => taken.listen(port, '127.0.0.1', resolve))
    cleanUp.add(() => void taken.close())
    await expect(startRelay(cleanUp, { bindPort, [key]: port })).rejects.toThrow(
      `${start}, listen tcp 127.0.0.1:${port}: bind: address already in use`,
    )
    const { error } = await converse(bindPort, new Uint8Array(0))
    expect(error).toMatchObject({ code: 'ECONNREFUSED' })
  })

  it('tells a client that a port is taken by somebody else', async () => {
    const [bindPort = 0, port = 0] = await freePorts(2)
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(port, '127.0.0.1', resolve))
    cleanUp.add(() => void taken.close())
    await startRelay(cleanUp, { bindPort })
    const client = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: bindPort,
      proxies: [{ name: 't', type: 'tcp', localPort: 1, remotePort: port }],
    })
    await client.lines.waitFor('[t] start error: port unavailable')
  })

  it('closes who says nothing in the time that the configuration gives', async () => {
    const [bindPort = 0] = await freePorts(1)
    const { lines } = await startRelay(cleanUp, { bindPort, edgefrp: { limits: { headerTimeoutSeconds: 1 } } })
    const { bytes } = await converse(bindPort, Buffer.from('GET /~!frp HTTP/1.1\r\nHos'))
    expect(bytes).toHaveLength(0)
    await lines.waitFor('connection of [127.0.0.1] closed: nothing to act on within 1 s')
  })

  it('goes on after garbage of every kind', async () => {
    const [bindPort = 0] = await freePorts(1)
    await startRelay(cleanUp, { bindPort })
    const garbage = [
      '\0\0\0\0',
      '\x16\x03\x01\xff\xff\xff',
      '\x17GET / HTTP/1.1\r\n\r\n',
      'o\xff\xff\xff\xff\xff\xff\xff\xff',
      'GET',
      '\xff',
    ]
    await Promise.all(garbage.map((text) => converse(bindPort, Buffer.from(text, 'latin1'), { end: true })))
    for (const text of garbage) {
      const socket = connect(bindPort, '127.0.0.1', () => {
        socket.write(text, 'latin1', () => socket.resetAndDestroy())
      })
      await new Promise((resolve) => socket.once('close', resolve))
    }
    expect((await fetch(`http://127.0.0.1:${bindPort}/~!frp/healthz`)).status).toBe(200)
  })

  it('stops at once, also with a client and a user on it', async () => {
    const [bindPort = 0, tcpPort = 0] = await freePorts(2)
    const { server } = await startRelay(cleanUp, { bindPort })
    const client = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: bindPort,
      proxies: [{ name: 't', type: 'tcp', localPort: await echoTcp(cleanUp), remotePort: tcpPort }],
    })
    await client.lines.waitFor('[t] start proxy success')
    const user = connect(tcpPort, '127.0.0.1')
    const silent = connect(bindPort, '127.0.0.1')
    for (const socket of [user, silent]) socket.on('error', () => undefined)
    user.write('x')
    await new Promise((resolve) => user.once('data', resolve))
    const over = Promise.all([user, silent].map((socket) => new Promise((resolve) => socket.once('close', resolve))))
    silent.resume()
    await server.close()
    await over
    for (const port of [bindPort, tcpPort]) {
      expect((await converse(port, new Uint8Array(0))).error).toMatchObject({ code: 'ECONNREFUSED' })
    }
  })
})
