import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { selfSigned } from '../../node/certificate.ts'
import { socketStream } from '../../node/socket.ts'
import { serverTls } from '../../node/tls.ts'
import type { Outgoing } from '../../protocol/frp/messages.ts'
import { udpPacket } from '../../protocol/frp/udp.ts'
import { CleanUp, echoTcp, echoUdp, type Lines, listenTcp, startClient } from './client-rig.ts'
import { collect, FakeRelay, type FakeSession } from './fake-relay.ts'

vi.mock('node:dns', { spy: true })

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

function configFor(relay: { port: number }, more: object = {}): object {
  return { serverAddr: '127.0.0.1', serverPort: relay.port, transport: { tls: { enable: false } }, ...more }
}

let marks = 0

/** Sends messages as fast as the client reads them: each batch is over when the client has told of its last one. */
async function sendAll(session: FakeSession, lines: Lines, messages: Iterable<Outgoing>): Promise<void> {
  const settle = async (): Promise<void> => {
    marks += 1
    session.send({ type: 'NewProxyResp', proxy_name: `mark-${marks}` })
    await lines.waitFor(`[mark-${marks}] start error`)
  }
  let batch = 0
  for (const message of messages) {
    session.send(message)
    batch += 1
    if (batch % 500 === 0) await settle()
  }
  await settle()
}

describe('a hostile relay', () => {
  it('gets at most 256 connections being dialled and 2,048 waiting, whatever it asks for', {
    timeout: 20_000,
  }, async () => {
    const relay = await FakeRelay.start(cleanUp)
    const { lines } = startClient(cleanUp, configFor(relay))
    const session = await relay.nextSession()
    await sendAll(session, lines, Array(100_000).fill({ type: 'ReqWorkConn' }))
    expect(session.pool.length).toBe(2_048)
    // And it still serves: one that is used up is replaced.
    const [first] = session.pool.splice(0, 1)
    first?.destroy()
    await session.workConn()
  })

  it('gets a connection per mux-less request only to its own address, 256 at a time', async () => {
    let open = 0
    let most = 0
    let isLoggedIn = false
    const relay = await FakeRelay.start(cleanUp, {
      tcpMux: false,
      // Connections behind the login hang before their first byte, as behind a firewall that drops.
      linkOf: (socket) => {
        if (!isLoggedIn) return Promise.resolve(socketStream(socket))
        open += 1
        most = Math.max(most, open)
        socket.on('close', () => {
          open -= 1
        })
        return Promise.resolve(socketStream(socket))
      },
    })
    const transport = { tls: { enable: false }, tcpMux: false }
    startClient(cleanUp, configFor(relay, { transport }))
    const session = await relay.nextSession()
    isLoggedIn = true
    for (let i = 0; i < 5_000; i++) session.send({ type: 'ReqWorkConn' })
    await session.next('Ping')
    await session.workConn()
    expect(most).toBeLessThanOrEqual(2_048)
  })

  it('cannot make us resolve a name: nothing but a valid PROXY header, or none, reaches the service', async () => {
    const heads: string[] = []
    const port = await listenTcp(cleanUp, (socket) => {
      socket.once('data', (part) => heads.push(part.toString('latin1')))
      socket.on('end', () => socket.end())
    })
    const relay = await FakeRelay.start(cleanUp, { features: ['half-close'] })
    const transport = { proxyProtocolVersion: 'v1' }
    startClient(cleanUp, configFor(relay, { proxies: [{ name: 'p', type: 'tcp', localPort: port, transport }] }))
    const session = await relay.nextSession()
    await session.next('NewProxy')
    vi.mocked(lookup).mockClear()
    const addresses = [
      '1.1.1.1 2.2.2.2 1 2\r\nGET /',
      'evil.example.com',
      'localhost',
      '1.2.3.4\r\n',
      '0x7f000001',
      '127.1',
      '[::1]',
      '',
      'a'.repeat(300),
    ]
    for (const src_addr of addresses) {
      for (const dst_addr of ['203.0.113.1', src_addr]) {
        const stream = await session.user('p', { src_addr, src_port: 4000, dst_addr, dst_port: 80 })
        stream.write(Buffer.from('DATA'))
        stream.end()
        await collect(stream)
      }
    }
    expect(heads).toHaveLength(addresses.length * 2)
    expect(new Set(heads)).toEqual(new Set(['DATA']))
    const stream = await session.user('p', { src_addr: '203.0.113.9', src_port: 4000, dst_addr: 'x y', dst_port: 80 })
    stream.write(Buffer.from('DATA'))
    stream.end()
    await collect(stream)
    expect(heads.pop()).toBe('PROXY TCP4 203.0.113.9 127.0.0.1 4000 80\r\nDATA')
    const names = vi.mocked(lookup).mock.calls.map(([name]) => name)
    expect(names.filter((name) => name !== '127.0.0.1')).toEqual([])
  })

  it('may send any message with any content: the client lives, or comes back', { timeout: 30_000 }, async () => {
    const relay = await FakeRelay.start(cleanUp)
    const port = await echoTcp(cleanUp)
    const { lines } = startClient(
      cleanUp,
      configFor(relay, {
        proxies: [
          { name: 'p', type: 'tcp', localPort: port },
          { name: 'u', type: 'udp', localPort: port },
        ],
      }),
    )
    let session = await relay.nextSession()
    const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.constantFrom('p', 'u', ''))
    const message = fc.oneof(
      fc.record({ type: fc.constant('NewProxyResp' as const), proxy_name: text, remote_addr: text, error: text }),
      fc.record({ type: fc.constant('StartWorkConn' as const), proxy_name: text, src_addr: text, error: text }),
      fc.record({ type: fc.constant('NatHoleResp' as const), transaction_id: text, sid: text, error: text }),
      fc.record({ type: fc.constant('NatHoleSid' as const), sid: text }),
      fc.record({ type: fc.constant('Login' as const), user: text, run_id: text }),
      fc.record({ type: fc.constant('LoginResp' as const), run_id: text, error: text }),
      fc.record({ type: fc.constant('NewWorkConn' as const), run_id: text }),
      fc.record({ type: fc.constant('CloseProxy' as const), proxy_name: text }),
      fc.record({ type: fc.constant('ReqWorkConn' as const) }),
      fc.record({ type: fc.constant('Ping' as const) }),
    )
    const messages = fc.sample(message, { numRuns: 10_000, seed: 1 })
    await sendAll(session, lines, messages as Outgoing[])
    await session.workConn()
    // What is no message at all ends the session; the next one is as good, after a pause that grows.
    for (const garbage of fc.sample(fc.uint8Array({ minLength: 20, maxLength: 200, size: 'max' }), {
      numRuns: 5,
      seed: 2,
    })) {
      session.control.write(Buffer.from(garbage))
      session = await relay.nextSession()
      await sendAll(session, lines, [])
    }
  })

  it('may start a work connection with any message: only that connection ends', async () => {
    const relay = await FakeRelay.start(cleanUp, { features: ['half-close'] })
    startClient(cleanUp, configFor(relay, { proxies: [{ name: 'p', type: 'tcp', localPort: await echoTcp(cleanUp) }] }))
    const session = await relay.nextSession()
    await session.next('NewProxy')
    const wrong: Outgoing[] = [
      { type: 'NatHoleSid', sid: '1' },
      { type: 'LoginResp', run_id: 'x' },
      { type: 'ReqWorkConn' },
      { type: 'UDPPacket', c: new Uint8Array(10), r: { IP: '1.1.1.1', Port: 1, Zone: '' } },
    ]
    for (const message of wrong) {
      const channel = await session.workConn()
      channel.send(message)
      const { stream } = channel.detach()
      expect((await collect(stream)).error, message.type).toBeDefined()
    }
    const stream = await session.user('p')
    stream.write(Buffer.from('still here'))
    stream.end()
    expect((await collect(stream)).bytes.toString()).toBe('still here')
  })

  it('opens at most 4,096 local sockets by naming users of a udp proxy', { timeout: 30_000 }, async () => {
    const ports = new Set<number>()
    const service = createSocket('udp4')
    service.on('message', (_, from) => ports.add(from.port))
    await new Promise<void>((resolve) => service.bind(0, '127.0.0.1', resolve))
    cleanUp.add(() => new Promise<void>((resolve) => service.close(() => resolve())))
    const relay = await FakeRelay.start(cleanUp)
    const { lines } = startClient(
      cleanUp,
      configFor(relay, { proxies: [{ name: 'u', type: 'udp', localPort: service.address().port }] }),
    )
    const session = await relay.nextSession()
    await session.next('NewProxy')
    const channel = await session.workConn()
    channel.send({ type: 'StartWorkConn', proxy_name: 'u' })
    for (let i = 0; i < 4_200; i++) {
      channel.send(udpPacket(Buffer.from('x'), { ip: `10.0.${i >> 8}.${i & 255}`, port: 1 }))
    }
    await lines.waitFor('datagram dropped: 4096 local sessions are open')
    expect(ports.size).toBeLessThanOrEqual(4_096)
  })

  it('cannot reach another service by the address in a datagram', async () => {
    const heard: string[] = []
    const other = createSocket('udp4')
    other.on('message', (payload) => heard.push(payload.toString()))
    await new Promise<void>((resolve) => other.bind(0, '127.0.0.1', resolve))
    cleanUp.add(() => new Promise<void>((resolve) => other.close(() => resolve())))
    const relay = await FakeRelay.start(cleanUp)
    startClient(cleanUp, configFor(relay, { proxies: [{ name: 'u', type: 'udp', localPort: await echoUdp(cleanUp) }] }))
    const session = await relay.nextSession()
    await session.next('NewProxy')
    const channel = await session.workConn()
    channel.send({ type: 'StartWorkConn', proxy_name: 'u' })
    const { stream } = channel.detach()
    const { MessageChannel } = await import('../../protocol/frp/message-channel.ts')
    const answer = await new Promise<string>((resolve) => {
      const datagrams = new MessageChannel(stream, {
        onMessage: (message) => {
          if (message.type === 'UDPPacket') resolve(Buffer.from(message.c).toString())
        },
      })
      datagrams.send({ ...udpPacket(Buffer.from('hello'), { ip: '127.0.0.1', port: other.address().port }) })
    })
    expect({ answer, heard }).toEqual({ answer: 'hello', heard: [] })
  })
})

describe('the certificate of a relay', () => {
  function tlsRelay(files: { certFile?: string; keyFile?: string; trustedCaFile?: string } = {}): Promise<FakeRelay> {
    const tls = serverTls(files)
    return FakeRelay.start(cleanUp, { linkOf: async (socket: Socket) => socketStream(await tls.accept(socket)) })
  }

  function folderWith(files: Record<string, string>): string {
    const folder = mkdtempSync(join(tmpdir(), 'edgefrp-'))
    cleanUp.add(() => rmSync(folder, { recursive: true }))
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
    return folder
  }

  it('is not checked without a CA, as in frp, and a warning says how to', async () => {
    const relay = await tlsRelay()
    const { lines } = startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: relay.port })
    await lines.waitFor('login to server success')
    const warning = await lines.waitFor('is not verified')
    expect(warning).toContain('transport.tls.trustedCaFile')
    expect(warning).toContain('edgefrp.tls.verify')
  })

  it('is refused with edgefrp.tls.verify or by another CA, before the token’s digest is sent', async () => {
    const relay = await tlsRelay()
    const folder = folderWith({ 'other.crt': selfSigned().cert })
    const strict = [
      { edgefrp: { tls: { verify: true } } },
      { transport: { tls: { trustedCaFile: join(folder, 'other.crt') } } },
    ]
    for (const keys of strict) {
      const { over } = startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: relay.port, ...keys })
      expect((await over)?.message).toContain('login to the server failed: TLS with 127.0.0.1')
    }
    expect(relay.connections).toBe(2)
    expect(relay.logins).toEqual([])
  })

  it('works both ways when each side trusts the other', async () => {
    const own = selfSigned()
    const folder = folderWith({ 'client.crt': own.cert, 'client.key': own.key })
    const relay = await tlsRelay({ trustedCaFile: join(folder, 'client.crt') })
    const tls = { certFile: join(folder, 'client.crt'), keyFile: join(folder, 'client.key') }
    const { lines } = startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: relay.port, transport: { tls } })
    await lines.waitFor('login to server success')
    const stranger = startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: relay.port })
    expect((await stranger.over)?.message).toContain('login to the server failed')
  })
})
