import { readdirSync, readlinkSync } from 'node:fs'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { nodeCrypto } from '../../node/crypto.ts'
import { socketStream } from '../../node/socket.ts'
import { clientHello } from '../../protocol/frp/hello.ts'
import { withMagic } from '../../protocol/frp/opening.ts'
import { encodeV1 } from '../../protocol/frp/v1.ts'
import { CLIENT_HELLO, encodeV2, frameV2 } from '../../protocol/frp/v2.ts'
import { CleanUp, converse, echoHttp, echoTcp, listenTcp, startClient } from '../e2e/client-rig.ts'
import { dataFrame, logIn, loginFrame, loginMessage, rawMessage, yamux } from './hostile-client.ts'
import { type Carrier, frame, hostile, upgrade } from './hostile-peer.ts'
import { freePort, hostRelay, TOKEN } from './hostile-relay.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const uncaught: unknown[] = []
const note = (error: unknown): void => void uncaught.push(error)
beforeAll(() => {
  process.on('uncaughtException', note)
  process.on('unhandledRejection', note)
})
afterAll(() => {
  process.off('uncaughtException', note)
  process.off('unhandledRejection', note)
})

/** Sockets of this process. */
function socketCount(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
    } catch {
      return false // closed meanwhile
    }
  }).length
}

/** A login of wire protocol v2, and an empty record of nobody behind it. */
function v2Login(): Buffer {
  const hello = withMagic(
    frameV2(CLIENT_HELLO, clientHello({ transport: 'tcp', tls: false, tcpMux: true }, nodeCrypto)),
  )
  return Buffer.concat([hello, encodeV2(loginMessage()), Buffer.alloc(12), Buffer.of(0, 0, 0, 16), Buffer.alloc(16)])
}

/** Real conversations of clients and users: what is mutated. */
const SESSIONS: readonly { carrier: Carrier; bytes: Buffer }[] = [
  { carrier: 'tcp', bytes: Buffer.from(encodeV1(loginMessage())) },
  { carrier: 'tcp', bytes: Buffer.concat([loginFrame(), yamux(2, 1, 0, 1), yamux(1, 0, 1, 100), yamux(1, 1, 3, 0)]) },
  { carrier: 'tcp', bytes: Buffer.concat([yamux(1, 1, 1, 0), dataFrame(1, encodeV1(loginMessage())), yamux(0, 4, 1, 0)]) },
  { carrier: 'tcp', bytes: Buffer.concat([loginFrame(), dataFrame(3, rawMessage('w', '{"run_id":"abc"}'), 1)]) },
  { carrier: 'tcp', bytes: dataFrame(1, rawMessage('v', '{"proxy_name":"p","edgefrp":{"v":1,"features":[],"type":"tcp","port":1}}'), 1) },
  { carrier: 'tcp', bytes: Buffer.from(`${upgrade(1)}GET / HTTP/1.1\r\nHost: b\r\n\r\n`) },
  { carrier: 'tcp', bytes: Buffer.from('POST / HTTP/1.1\r\nHost: h.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n') },
  { carrier: 'tcp', bytes: Buffer.from('GET /~!frp/api/serverinfo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Basic YTpi\r\n\r\n') },
  { carrier: 'tcp', bytes: Buffer.of(0x17, 0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3) },
  { carrier: 'websocket', bytes: frame(loginFrame()) },
  { carrier: 'websocket', bytes: Buffer.concat([frame(loginFrame(), { isFinal: false }), frame(yamux(2, 1, 0, 1), { opcode: 0 }), frame(Buffer.from('\u0003\u00e8'), { opcode: 8 })]) },
  { carrier: 'websocket', bytes: frame(Buffer.from(encodeV1(loginMessage()))) },
  { carrier: 'tcp', bytes: v2Login() },
  { carrier: 'tcp', bytes: dataFrame(1, v2Login(), 1) },
  { carrier: 'websocket', bytes: frame(dataFrame(1, v2Login(), 1)) },
] // biome-ignore format: a table

interface Mutation {
  session: number
  changes: { at: number; kind: 'flip' | 'cut' | 'insert' | 'repeat'; bytes: Uint8Array }[]
  pieces: number
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  session: fc.nat(SESSIONS.length - 1),
  changes: fc.array(
    fc.record({
      at: fc.nat(2_000),
      kind: fc.constantFrom('flip' as const, 'cut' as const, 'insert' as const, 'repeat' as const),
      bytes: fc.uint8Array({ maxLength: 24, size: 'max' }),
    }),
    { maxLength: 4 },
  ),
  pieces: fc.integer({ min: 1, max: 4 }),
})

function mutate(bytes: Buffer, changes: Mutation['changes']): Buffer {
  let out = bytes
  for (const { at: anywhere, kind, bytes: others } of changes) {
    const at = anywhere % (out.length + 1)
    const [before, after] = [out.subarray(0, at), out.subarray(at)]
    if (kind === 'flip') out = Buffer.concat([before, others, after.subarray(others.length)])
    else if (kind === 'cut') out = Buffer.concat([before, after.subarray(others.length)])
    else if (kind === 'insert') out = Buffer.concat([before, others, after])
    else out = Buffer.concat([before, out.subarray(Math.max(0, at - 40), at), after])
  }
  return out
}

describe('U11: malformed sessions', () => {
  it('2,000 of them break nothing, keep nothing, and disturb nobody', async () => {
    const port = await freePort()
    const relay = await hostRelay(
      cleanUp,
      { failedLoginsBurst: 100_000, loginsPerSecond: 100_000 },
      { bindPort: port, vhostHTTPPort: port, webServer: { user: 'a', password: 'b' } },
    )
    const honest = await logIn(cleanUp, relay.port)
    await honest.register({ proxy_name: 'h', proxy_type: 'http', custom_domains: ['h.example'] })
    const [sockets, deadlines] = [socketCount(), relay.clock.openCount]
    const inputs = fc.sample(mutation, { numRuns: 2_000, seed: 20_261_124 })
    const play = async ({ session, changes, pieces }: Mutation): Promise<void> => {
      const { carrier, bytes } = SESSIONS[session] ?? { carrier: 'tcp', bytes: Buffer.alloc(0) }
      const peer = await hostile(cleanUp, relay.port, { carrier })
      const input = mutate(bytes, changes)
      const size = Math.ceil(input.length / pieces)
      for (let at = 0; at < input.length && !peer.isClosed; at += size) {
        peer.raw(input.subarray(at, at + size))
        await new Promise((resolve) => setImmediate(resolve))
      }
      peer.socket.end()
      // Some of them are waited for by the relay: that is what its deadlines are for.
      await Promise.race([peer.closed(), new Promise((resolve) => setImmediate(resolve))])
      peer.socket.destroy()
    }
    for (let at = 0; at < inputs.length; at += 50) await Promise.all(inputs.slice(at, at + 50).map(play))
    await honest.pong()
    expect(uncaught).toEqual([])
    expect(
      (await converse(relay.port, Buffer.from('GET /~!frp/healthz HTTP/1.1\r\nHost: a\r\n\r\n'))).bytes.toString(),
    ).toMatch(/ 200 /)
    relay.clock.advance(60_000)
    relay.clock.advance(60_000)
    await vi.waitUntil(() => socketCount() <= sockets, { timeout: 5_000 })
    expect(relay.server.relay.clientCount).toBe(1)
    expect(relay.server.relay.heldBytes).toBe(0)
    expect(relay.clock.openCount).toBeLessThanOrEqual(deadlines + 2)
    expect(relay.lines.lines.filter((line) => line.includes('[E]'))).toEqual([])
    await honest.pong()
  }, 60_000)

  it('a client with the token gets an answer or its end for each message, and nobody else notices', async () => {
    const relay = await hostRelay(cleanUp, { loginsPerSecond: 100_000 }, { vhostHTTPPort: await freePort() })
    const honest = await logIn(cleanUp, relay.port)
    const fields = ['proxy_name', 'proxy_type', 'remote_port', 'custom_domains', 'subdomain', 'locations', 'metas',
      'annotations', 'bandwidth_limit', 'headers', 'route_by_http_user', 'group', 'host_header_rewrite'] // biome-ignore format: a list
    const values: unknown[] = ['', 'x', 'tcp', 'udp', 'http', '*', '*.com', 'a..b', '\u3002', '[::1]:99', '-1MB', '1e9KB',
      -1, 0, 65_535, 65_536, 2 ** 53, 1.5, null, true, [], [''], ['*'], ['x'.repeat(300)], {}, { a: 'b' }, { '\r\nX: y': '\r\n' },
      'é'.repeat(4_000)] // biome-ignore format: a list
    const shape = fc.dictionary(fc.constantFrom(...fields), fc.constantFrom(...values), { maxKeys: 5 })
    let client = await logIn(cleanUp, relay.port)
    for (const proxy of fc.sample(shape, { numRuns: 400, seed: 11 })) {
      if (client.isControlClosed) client = await logIn(cleanUp, relay.port)
      const before = client.messages.length
      client.sendRaw(rawMessage('p', JSON.stringify(proxy)))
      await client.until(() => client.messages.length > before || client.isControlClosed)
    }
    await honest.pong()
    expect(uncaught).toEqual([])
    expect(relay.lines.lines.filter((line) => line.includes('[E]'))).toEqual([])
  }, 20_000)
})

describe('sockets', () => {
  it('a reset right behind the end frees the descriptor', async () => {
    const port = await listenTcp(cleanUp, (socket) => {
      const link = socketStream(socket)
      link.attach({ onData: () => true, onEnd() {}, onDrain() {}, onClose() {} })
      link.write(new Uint8Array(10))
      link.end()
      link.destroy()
    })
    const before = socketCount()
    for (let i = 0; i < 20; i++) await converse(port, new Uint8Array(0))
    await vi.waitUntil(() => socketCount() <= before)
  })
})

describe('what the log says', () => {
  it('G1: never a run id, a token, a key or a password, at trace level, over a whole session', async () => {
    const vhostHTTPPort = await freePort()
    const secrets = { httpPassword: 'canary-http-pw', visitKey: 'canary-visit-key' }
    const relay = await hostRelay(cleanUp, {}, { vhostHTTPPort, webServer: { user: 'u', password: 'canary-web-pw' } })
    const ports = [await freePort(), await freePort()]
    const client = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: relay.port,
      auth: { token: TOKEN },
      transport: { protocol: 'websocket' },
      proxies: [
        {
          name: 't',
          type: 'tcp',
          localPort: await echoTcp(cleanUp),
          remotePort: ports[0],
          transport: { useEncryption: true },
        },
        {
          name: 'w',
          type: 'tcp',
          localPort: 1,
          remotePort: ports[1],
          metadatas: { 'edgefrp.visitKey': secrets.visitKey },
        },
        {
          name: 'h',
          type: 'http',
          localPort: await echoHttp(cleanUp),
          customDomains: ['h.example'],
          httpUser: 'hu',
          httpPassword: secrets.httpPassword,
        },
      ],
    })
    for (const name of ['t', 'w', 'h']) await client.lines.waitFor(`[${name}] start proxy success`)
    await converse(ports[0] ?? 0, Buffer.from('hello'), { end: true })
    await converse(ports[1] ?? 0, Buffer.from('hello'), { end: true })
    const basic = Buffer.from(`hu:${secrets.httpPassword}`).toString('base64')
    const ask = `GET / HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\nAuthorization: Basic ${basic}\r\n\r\n`
    expect((await converse(vhostHTTPPort, Buffer.from(ask))).bytes.toString()).toMatch(/ 200 /)
    const web = Buffer.from('u:canary-web-pw').toString('base64')
    const askApi = `GET /~!frp/api/serverinfo HTTP/1.1\r\nHost: a\r\nAuthorization: Basic ${web}\r\n\r\n`
    expect((await converse(relay.port, Buffer.from(askApi))).bytes.toString()).toMatch(/ 200 /)
    const second = await logIn(cleanUp, relay.port)
    second.bring('0123456789abcdef')
    second.bring()
    await second.register({ proxy_name: 't' })
    const replaced = await logIn(cleanUp, relay.port, { run_id: second.answer.run_id })
    await replaced.pong()
    const wrong = await hostile(cleanUp, relay.port)
    wrong.raw(loginFrame({}, 'canary-wrong-token'))
    await wrong.until(() => wrong.received.includes("doesn't match"))
    const runIds = relay.server.relay.registry.clients.map((control) => control.state.runId)
    client.service.close()
    await client.over
    await relay.lines.waitFor('client exit')
    const text = [...relay.lines.lines, ...client.lines.lines].join('')
    expect(runIds.length).toBeGreaterThan(1)
    for (const secret of [
      ...runIds,
      second.answer.run_id,
      TOKEN,
      'canary',
      basic,
      String(loginMessage()['privilege_key' as never]),
    ]) {
      expect(text.includes(secret), secret).toBe(false)
    }
  })

  it('G2, C11: one event is one line, whatever the names in it', async () => {
    const relay = await hostRelay(cleanUp, {}, { vhostHTTPPort: await freePort() })
    const evil = 'a\n2026-11-24 [I] forged\u001b[2J\r\u0000\u009b31m\u2028b'
    const client = await logIn(cleanUp, relay.port, { hostname: evil, os: evil, arch: evil, version: evil })
    for (const changes of [{ user: evil }, { client_id: evil }, { run_id: evil }]) {
      await expect(logIn(cleanUp, relay.port, changes)).rejects.toThrow('control characters')
    }
    for (const proxy of [
      { proxy_name: evil },
      { proxy_name: 'a', proxy_type: evil },
      { proxy_name: 'b', proxy_type: 'http', custom_domains: [evil] },
      { proxy_name: 'c', proxy_type: 'http', subdomain: evil },
      {
        proxy_name: 'd',
        proxy_type: 'http',
        custom_domains: ['d.example'],
        locations: [evil],
        route_by_http_user: evil,
      },
    ]) {
      await client.register(proxy)
    }
    for (const bytes of [`GET /${evil} HTTP/1.1\r\nHost: a\r\n\r\n`, `GET / HTTP/1.1\r\nHost: ${evil}\r\n\r\n`]) {
      const peer = await hostile(cleanUp, relay.port)
      peer.raw(bytes)
      await peer.closed()
    }
    const { lines } = relay.lines
    expect(lines.length).toBeGreaterThan(8)
    for (const line of lines) expect(line).toMatch(/^\d{4}-\d\d-\d\d [\d:.]+ \[[TDIWE]\] [^\p{Cc}\u2028\u2029]*\n$/u)
  })

  it('names the address of whoever was refused', async () => {
    const relay = await hostRelay(cleanUp, {}, { transport: { tls: { force: true } } })
    const openings: [Buffer, string][] = [
      [loginFrame(), 'transport.tls.force'],
      [Buffer.from('FOO\r\n'), 'type byte'],
      [Buffer.from('GET / HTTP/1.1\r\nBad header\r\n\r\n'), 'field 1'],
    ]
    for (const [bytes, why] of openings.slice(0, 1).concat(openings.slice(2))) {
      const peer = await hostile(cleanUp, relay.port)
      peer.raw(bytes)
      await peer.closed()
      expect(await relay.lines.waitFor(why)).toContain('[127.0.0.1')
    }
    const inside = await hostile(cleanUp, relay.port, { carrier: 'tls' })
    inside.raw('zzz')
    await inside.closed()
    expect(await relay.lines.waitFor('type byte 0x7a')).toMatch(/\[W\] connection of \[127\.0\.0\.1:\d+\] closed: /)
  })
})
