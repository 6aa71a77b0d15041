import { connect } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { CleanUp, startClient } from '../e2e/client-rig.ts'
import { dataFrame, logIn, loginFrame, rawMessage, yamux } from './hostile-client.ts'
import { frame, type HostilePeer, hostile, type PeerOptions } from './hostile-peer.ts'
import { freePort, type HostedRelay, hostRelay, TOKEN } from './hostile-relay.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

/** Our own client logs in beside the attack, by the carrier that is attacked. */
async function honestLogin(relay: HostedRelay, protocol: 'tcp' | 'websocket' = 'tcp'): Promise<void> {
  const client = startClient(cleanUp, {
    serverAddr: '127.0.0.1',
    serverPort: relay.port,
    auth: { token: TOKEN },
    transport: { protocol },
  })
  await client.lines.waitFor('login to server success')
}

async function many(count: number, relay: HostedRelay, options: PeerOptions = {}): Promise<HostilePeer[]> {
  return await Promise.all(Array.from({ length: count }, () => hostile(cleanUp, relay.port, options)))
}

describe('L1: from accept to a complete head', () => {
  it('U1: closes who drips a head, and serves who comes meanwhile', async () => {
    const relay = await hostRelay(cleanUp, { headerTimeoutSeconds: 3 })
    const drips = await many(50, relay)
    const silent = await many(50, relay)
    for (const drip of drips) drip.raw('GET /~!frp HTTP/1.1\r\nHost: a\r\n')
    await honestLogin(relay)
    await relay.lines.waitFor('client login info')
    expect(drips.some((peer) => peer.isClosed)).toBe(false)
    relay.clock.advance(2_000)
    for (const drip of drips) drip.raw('X-A: b\r\n')
    relay.clock.advance(1_000)
    await Promise.all([...drips, ...silent].map((peer) => peer.closed()))
    await relay.lines.waitFor('connection of [127.0.0.1] closed: nothing to act on within 3 s')
  })

  it('closes who stops inside a TLS handshake', async () => {
    const relay = await hostRelay(cleanUp)
    const peer = await hostile(cleanUp, relay.port)
    peer.raw(Buffer.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3))
    await honestLogin(relay)
    relay.clock.advance(10_000)
    await peer.closed()
  })
})

describe('L2: from the upgrade to the first accepted message', () => {
  it('U2: 300 silent WebSockets keep nobody waiting, and are closed', async () => {
    const relay = await hostRelay(cleanUp)
    const silent = await many(300, relay, { carrier: 'websocket' })
    await honestLogin(relay, 'websocket')
    expect(silent.filter((peer) => peer.isClosed)).toEqual([])
    relay.clock.advance(10_000)
    await Promise.all(silent.map((peer) => peer.closed()))
  })

  it('U3: closes idle yamux sessions that answer pings, and whoever only talks about talking', async () => {
    const relay = await hostRelay(cleanUp, { handshakeTimeoutSeconds: 4 })
    const idle = await many(50, relay)
    for (const peer of idle) peer.raw(yamux(2, 1, 0, 7))
    await Promise.all(idle.map((peer) => peer.until(() => peer.received.length >= 12)))
    const opened = await many(50, relay)
    for (const peer of opened) peer.raw(yamux(1, 1, 1, 0))
    await Promise.all(opened.map((peer) => peer.until(() => peer.received.length >= 12)))
    await honestLogin(relay)
    relay.clock.advance(4_000)
    await Promise.all([...idle, ...opened].map((peer) => peer.closed()))
    await relay.lines.waitFor('closed: no login within 4 s')
  })

  it('does not count a refused login as an accepted message', async () => {
    const relay = await hostRelay(cleanUp)
    const peer = await hostile(cleanUp, relay.port)
    peer.raw(loginFrame({}, 'wrong'))
    await peer.until(() => peer.received.includes("token in login doesn't match"))
    relay.clock.advance(10_000)
    await peer.closed()
  })

  it('keeps at most so many strangers, and the oldest makes room', async () => {
    const relay = await hostRelay(cleanUp, { maxPendingLogins: 20 })
    const first = await hostile(cleanUp, relay.port)
    first.raw(yamux(2, 1, 0, 1))
    await first.until(() => first.received.length >= 12)
    const others = await many(40, relay)
    for (const peer of others) peer.raw(yamux(2, 1, 0, 1))
    await first.closed()
    await honestLogin(relay)
    await Promise.all(others.map((peer) => peer.until(() => peer.received.length >= 12)))
    await relay.lines.waitFor('20 connections without a login')
    expect(relay.server.relay.clientCount).toBe(1)
  })
})

describe('a flood of strangers', () => {
  it('from one address pushes out itself, and not who comes from elsewhere', async () => {
    const relay = await hostRelay(cleanUp, { maxPendingLogins: 20 })
    const slow = await hostile(cleanUp, relay.port, { from: '127.0.0.2' })
    slow.raw(yamux(2, 1, 0, 1))
    await slow.until(() => slow.received.length >= 12)
    const flood = await many(60, relay)
    for (const peer of flood) peer.raw(yamux(2, 1, 0, 1))
    await vi.waitUntil(() => flood.filter((peer) => peer.isClosed).length >= 41)
    slow.raw(loginFrame())
    await slow.until(() => slow.received.includes('"run_id"'))
    expect(slow.isClosed).toBe(false)
  })
})

it('resets a connection that it ended and the peer did not', async () => {
  const relay = await hostRelay(cleanUp, { maxPendingLogins: 1 })
  const socket = connect({ port: relay.port, host: '127.0.0.1', allowHalfOpen: true })
  cleanUp.add(() => void socket.destroy())
  const ended = new Promise((resolve) => socket.once('end', resolve))
  socket.on('error', () => undefined)
  socket.on('data', () => undefined).write(yamux(2, 1, 0, 1))
  await new Promise((resolve) => socket.once('data', resolve))
  const other = await hostile(cleanUp, relay.port)
  other.raw(yamux(2, 1, 0, 1))
  await ended
  relay.clock.advance(4_999)
  await other.until(() => other.received.length >= 12)
  expect(socket.destroyed).toBe(false)
  relay.clock.advance(1)
  // Who has read the end hears of a reset by writing.
  await vi.waitUntil(() => !socket.write('x') || socket.destroyed)
})

it('keeps nothing of a connection that is gone, so that a flood of them leaves no memory behind', async () => {
  const relay = await hostRelay(cleanUp)
  const quiet = relay.clock.openCount
  const peers = await many(20, relay)
  for (const peer of peers) peer.raw(loginFrame({}, 'wrong'))
  await Promise.all(peers.map((peer) => peer.until(() => peer.received.includes("doesn't match"))))
  for (const peer of peers) peer.socket.destroy()
  await vi.waitUntil(() => relay.clock.openCount === quiet)
})

describe('L3: what a stranger may send', () => {
  it('U6: gets one stream, and nothing is held for all the others', async () => {
    const relay = await hostRelay(cleanUp, { idleFramesBurst: 100, idleFramesPerSecond: 1 })
    const peer = await hostile(cleanUp, relay.port)
    peer.raw(yamux(1, 1, 1, 0))
    const body = Buffer.alloc(64 * 1024)
    for (let id = 3; id < 43; id += 2) peer.raw(dataFrame(id, body, 1))
    peer.raw(yamux(2, 1, 0, 9))
    await peer.until(() => peer.received.includes(yamux(2, 2, 0, 9)))
    const rst = yamux(1, 8, 41, 0)
    expect(peer.received.includes(rst) || peer.received.includes(yamux(0, 8, 41, 0))).toBe(true)
    expect(relay.server.relay.heldBytes).toBe(0)
    for (let id = 43; id < 443; id += 2) peer.raw(dataFrame(id, Buffer.alloc(8), 1))
    await peer.closed()
    await relay.lines.waitFor('too many frames that carry nothing')
  })

  it('closes a WebSocket with 1009 at a message larger than a login needs', async () => {
    const relay = await hostRelay(cleanUp, { bytesBeforeLogin: 20_000 })
    const peer = await hostile(cleanUp, relay.port, { carrier: 'websocket' })
    peer.raw(frame(Buffer.alloc(0), { length: 20_001n }))
    await peer.until(() => peer.closeCode !== undefined || peer.isClosed)
    expect(peer.closeCode).toBe(1009)
    await honestLogin(relay, 'websocket')
  })

  it('U5: refuses lying lengths from the header, in each protocol', async () => {
    const relay = await hostRelay(cleanUp)
    const huge = [0x7fff_ffff_ffff_ffffn, -1n, 1n << 62n, 10_241n, 0x8000_0000n]
    const openings: [PeerOptions, Buffer][] = [
      ...huge.map((length): [PeerOptions, Buffer] => [{}, rawMessage('o', '', length)]),
      ...huge.map((length): [PeerOptions, Buffer] => [{}, dataFrame(1, rawMessage('o', '', length), 1)]),
      ...huge
        .filter((length) => length !== 10_241n)
        .map((length): [PeerOptions, Buffer] => [{ carrier: 'websocket' }, frame(Buffer.alloc(0), { length })]),
      [{}, yamux(0, 1, 1, 0xffff_ffff)],
      [{}, yamux(0, 1, 1, 256 * 1024 + 1)],
      [{ carrier: 'tls' }, yamux(0, 1, 1, 0xffff_ffff)],
    ]
    for (const [options, bytes] of openings) {
      const peer = await hostile(cleanUp, relay.port, options)
      peer.raw(bytes)
      await peer.closed()
    }
    expect(relay.server.relay.heldBytes).toBe(0)
    await honestLogin(relay)
    expect(relay.lines.lines.filter((line) => line.includes('[W]') && !line.includes('127.0.0.1'))).toEqual([])
  })

  it('U8, U9, U11: closes at what no protocol allows', async () => {
    const relay = await hostRelay(cleanUp)
    const openings: [PeerOptions, Buffer][] = [
      [{}, Buffer.of(0, 9, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0)],
      [{}, Buffer.concat([yamux(1, 1, 1, 0), yamux(1, 0, 1, 0xffff_ffff)])],
      [{}, Buffer.concat([yamux(1, 1, 1, 0), yamux(1, 1, 1, 0)])],
      [{}, yamux(3, 0, 0, 1)],
      [{}, Buffer.of(0xff, 0xff, 0xff)],
      [{}, rawMessage('w', '{}')],
      [{}, rawMessage('o', '{')],
      [{}, rawMessage('o', `${'['.repeat(5_000)}`)],
      [{ carrier: 'websocket' }, frame(Buffer.alloc(10), { reserved: 0x40 })],
      [{ carrier: 'websocket' }, frame(Buffer.alloc(10), { isMasked: false })],
      [{ carrier: 'websocket' }, frame(Buffer.alloc(10), { opcode: 3 })],
      [{ carrier: 'websocket' }, frame(Buffer.alloc(126), { opcode: 9 })],
      [{ carrier: 'websocket' }, frame(Buffer.alloc(1), { opcode: 0 })],
    ]
    for (const [options, bytes] of openings) {
      const peer = await hostile(cleanUp, relay.port, options)
      peer.raw(bytes)
      await peer.closed()
    }
    await honestLogin(relay)
  })

  it('U10: takes a login in single bytes', async () => {
    const relay = await hostRelay(cleanUp)
    const peer = await hostile(cleanUp, relay.port, { carrier: 'websocket' })
    for (const byte of loginFrame()) peer.send(Buffer.of(byte))
    await peer.until(() => peer.payload.includes('"run_id"'))
  })
})

describe('U12, U13: fields that lie', () => {
  const VALUES = [
    '-1', '-100', '1e400', '9007199254740993', '-9007199254740993', '1.5', '"x"', 'null', 'true', '[]', '{}',
    '2147483648', '1e9', '""', '-0', '18446744073709551616',
  ] // biome-ignore format: a table

  it.each(['pool_count', 'timestamp', 'privilege_key', 'metas', 'run_id', 'user', 'client_spec'])(
    'answers or closes for each value of %s',
    async (field) => {
      const relay = await hostRelay(cleanUp, { failedLoginsBurst: 1_000 })
      for (const value of VALUES) {
        const peer = await hostile(cleanUp, relay.port)
        const login = JSON.parse(
          loginFrame()
            .subarray(12 + 9)
            .toString(),
        ) as Record<string, unknown>
        const json = JSON.stringify({ ...login, [field]: '@' }).replace('"@"', value)
        peer.raw(dataFrame(1, rawMessage('o', json), 1))
        await peer.until(() => peer.isClosed || peer.received.length > 24)
      }
      await honestLogin(relay)
    },
  )

  it('is not impressed by names of prototypes', async () => {
    const relay = await hostRelay(cleanUp)
    for (const json of [
      '{"__proto__":{"x":1}}',
      '{"constructor":{"prototype":{"x":1}}}',
      '{"metas":{"__proto__":"x"}}',
    ]) {
      const peer = await hostile(cleanUp, relay.port)
      peer.raw(dataFrame(1, rawMessage('o', json), 1))
      await peer.until(() => peer.isClosed || peer.received.includes('error'))
    }
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })
})

describe('L7: logins', () => {
  it('U4: a flood of wrong tokens is cut off in few lines, and the right token comes in from the same address', async () => {
    const relay = await hostRelay(cleanUp, { failedLoginsBurst: 5, loginsPerSecond: 3 })
    for (let i = 0; i < 60; i++) {
      const peer = await hostile(cleanUp, relay.port)
      peer.raw(loginFrame({}, 'wrong'))
      await peer.until(() => peer.isClosed || peer.received.includes("doesn't match"))
      expect(peer.received.includes("doesn't match"), `flood ${i}`).toBe(i < 5)
    }
    expect(relay.lines.lines.filter((line) => line.includes('register control error'))).toHaveLength(1)
    await honestLogin(relay)
    relay.clock.advance(10_000)
    const peer = await hostile(cleanUp, relay.port)
    peer.raw(loginFrame({}, 'wrong'))
    const line = await relay.lines.waitFor('times from this address')
    expect(line).toContain('60 times')
    expect(line).toContain('client [127.0.0.1:')
  })

  it('lets right tokens in at a rate, in their order, and those who left take no turn', async () => {
    const relay = await hostRelay(cleanUp, { loginsPerSecond: 2, maxPendingLogins: 3 })
    await logIn(cleanUp, relay.port)
    await logIn(cleanUp, relay.port)
    const [third, left, fifth] = await many(3, relay)
    for (const peer of [third, left, fifth]) {
      peer?.raw(loginFrame())
      peer?.raw(yamux(2, 1, 0, 5))
      await peer?.until(() => peer.received.includes(yamux(2, 2, 0, 5)))
    }
    expect(third?.received.includes('run_id')).toBe(false)
    left?.socket.destroy()
    // Strangers make room for each other, but not those who have the token.
    for (const stranger of await many(5, relay)) stranger.raw(yamux(2, 1, 0, 1))
    await relay.lines.waitFor('3 connections without a login')
    relay.clock.advance(500)
    await third?.until(() => third.received.includes('run_id'))
    expect(fifth?.received.includes('run_id')).toBe(false)
    relay.clock.advance(500)
    await fifth?.until(() => fifth.received.includes('run_id'))
    expect(relay.server.relay.clientCount).toBe(4)
  })
})

describe('L13: sockets', () => {
  it('closes what comes beyond the limit, says so, and takes connections again', async () => {
    const relay = await hostRelay(cleanUp, { maxConnections: 10 })
    const peers = await many(10, relay)
    const eleventh = connect(relay.port, '127.0.0.1')
    eleventh.on('error', () => undefined).resume()
    await new Promise((resolve) => eleventh.once('close', resolve))
    await relay.lines.waitFor('too many connections (10)')
    const freed = peers[0]
    freed?.raw('BAD\r\n')
    await freed?.closed()
    // The relay hears of the end a moment after it told us.
    for (let isIn = false; !isIn; ) {
      const peer = await hostile(cleanUp, relay.port)
      peer.raw(loginFrame())
      await peer.until(() => peer.isClosed || peer.received.includes('run_id'))
      isIn = !peer.isClosed
    }
  })

  it('no limit is met by 16 loops of connections', async () => {
    const relay = await hostRelay(cleanUp)
    const loop = async (): Promise<void> => {
      for (let i = 0; i < 40; i++) {
        const peer = await hostile(cleanUp, relay.port, { carrier: i % 2 === 0 ? 'tcp' : 'websocket' })
        peer.send(loginFrame())
        await peer.until(() => peer.payload.includes('run_id') || peer.isClosed)
        expect(peer.payload.includes('run_id')).toBe(true)
        peer.socket.destroy()
        // As much time as the test takes, at most: 16 loops of 40 logins in 3.2 s.
        relay.clock.advance(5)
      }
    }
    await Promise.all(Array.from({ length: 16 }, loop))
    expect(relay.lines.lines.filter((line) => line.includes('[W]'))).toEqual([])
  })
})

describe('U17: pages of other sites', () => {
  it('gets 403 for a cross-site upgrade, and who says nothing or the same site gets in', async () => {
    const relay = await hostRelay(cleanUp)
    const page = `Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n`
    const evil = await hostile(cleanUp, relay.port, { carrier: 'websocket', headers: page })
    await evil.closed()
    expect(evil.received.toString()).toMatch(/^HTTP\/1.1 403 /)
    for (const headers of ['', `Origin: http://127.0.0.1:${relay.port}\r\n`, 'Sec-Fetch-Site: same-origin\r\n']) {
      const peer = await hostile(cleanUp, relay.port, { carrier: 'websocket', headers })
      expect(peer.received.toString()).toMatch(/^HTTP\/1.1 101 /)
    }
    await relay.lines.waitFor('connection of [127.0.0.1] closed: WebSocket upgrade refused with 403')
  })
})

describe('L11, V8: heads', () => {
  it('answers 431 to too many bytes or fields, on the bind port and on vhost HTTP', async () => {
    const vhostHTTPPort = await freePort()
    const relay = await hostRelay(cleanUp, { httpHeadBytes: 2_000, httpFields: 10 }, { vhostHTTPPort })
    const long = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(2_000)}\r\n\r\n`
    const wide = `GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(10)}\r\n`
    const fits = `GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(9)}\r\n`
    for (const port of [relay.port, vhostHTTPPort]) {
      for (const [text, status] of [
        [long, 431],
        [wide, 431],
        [fits, 404],
      ] as const) {
        for (const size of [text.length, 7]) {
          const peer = await hostile(cleanUp, port)
          for (let at = 0; at < text.length; at += size) peer.raw(text.slice(at, at + size))
          await peer.until(() => peer.received.length > 12 || peer.isClosed)
          expect(peer.received.toString()).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
        }
      }
    }
  })

  it('closes a user whose next head does not end', async () => {
    const vhostHTTPPort = await freePort()
    const relay = await hostRelay(cleanUp, { headerTimeoutSeconds: 5 }, { vhostHTTPPort })
    const peer = await hostile(cleanUp, vhostHTTPPort)
    peer.raw('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await peer.until(() => peer.received.includes('404'))
    peer.raw('GET / HTTP/1.1\r\nHost: a\r\nX:')
    const other = await hostile(cleanUp, vhostHTTPPort)
    other.raw('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await other.until(() => other.received.includes('404'))
    relay.clock.advance(5_000)
    relay.clock.advance(60_000)
    await peer.closed()
  })
})
