import { afterEach, describe, expect, it } from 'vitest'
import { nodeCrypto } from '../../node/crypto.ts'
import { AeadStream } from '../../protocol/frp/aead.ts'
import { answerHello, clientHello, readServerHello } from '../../protocol/frp/hello.ts'
import { withMagic } from '../../protocol/frp/opening.ts'
import { CLIENT_HELLO, encodeV2, frameV2, SERVER_HELLO, V2_MAGIC } from '../../protocol/frp/v2.ts'
import { CleanUp, listenTcp, startClient } from '../e2e/client-rig.ts'
import { Below, Reader } from '../unit/frp/harness.ts'
import { dataFrame, logIn, loginMessage } from './hostile-client.ts'
import { type Carrier, type HostilePeer, hostile } from './hostile-peer.ts'
import { type HostedRelay, hostRelay, TOKEN } from './hostile-relay.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const HELLO = clientHello({ transport: 'tcp', tls: false, tcpMux: false }, nodeCrypto)
const utf8 = (text: string) => new TextEncoder().encode(text)

function joined(...parts: Uint8Array[]): Buffer {
  return Buffer.concat(parts)
}

function opened(...frames: Uint8Array[]): Buffer {
  return joined(V2_MAGIC, ...frames)
}

function helloSaying(json: string): Uint8Array {
  return frameV2(CLIENT_HELLO, utf8(json))
}

const JSON_CODEC = '"message":{"codecs":["json"]}'
const REFUSED = '{"selected":{"message":{"codec":"json"},"crypto":{}},"error":'

/** What a stranger sends, what comes back (as text), and what the relay's log says of it. */
const CASES: readonly [name: string, bytes: Buffer, answer: string | undefined, line: string][] = [
  ['another magic', Buffer.from('FRP\x00\x03\r\n'), undefined, 'the stream begins with 46 52 50 00 03, expected 46 52 50 00 02 0d 0a'],
  ['an unknown frame', opened(frameV2(3, utf8('{}'))), undefined, 'v2 frame of type 3, expected 1 or 16'],
  ['flags', opened(Buffer.from('0010000100000004', 'hex')), undefined, 'v2 frame of type 16: flags 1, expected 0'],
  ['an over-long frame', opened(Buffer.from('0001000000010001', 'hex')), undefined, 'v2 frame of type 1: length 65537, expected 0 to 65536'],
  ['an unknown message', opened(Buffer.from('00100000000000040063', 'hex')), undefined, 'message id 99 in a v2 frame is no message of frp'],
  ['a ServerHello', opened(frameV2(SERVER_HELLO, utf8('{}'))), undefined, 'v2 frame of type 2, expected 1 or 16'],
  ['a refused hello before a right Login', opened(helloSaying('{}'), encodeV2(loginMessage())), `${REFUSED}"unsupported message codec"}`, 'ClientHello: unsupported message codec'],
  ['a hello that is no JSON', opened(helloSaying('{')), undefined, 'ClientHello: '],
  ['a hello of another shape', opened(helloSaying('{"capabilities":[]}')), undefined, 'ClientHello.capabilities: expected an object'],
  ['no codec', opened(helloSaying('{}')), `${REFUSED}"unsupported message codec"}`, 'ClientHello: unsupported message codec'],
  ['a short random', opened(helloSaying(`{"capabilities":{${JSON_CODEC},"crypto":{"clientRandom":"AAAA"}}}`)), `${REFUSED}"invalid crypto client random length 3, want 32"}`, 'ClientHello: invalid crypto client random length 3, want 32'],
  ['no cipher', opened(helloSaying(`{"capabilities":{${JSON_CODEC},"crypto":{"clientRandom":"${'A'.repeat(43)}="}}}`)), `${REFUSED}"no supported crypto algorithm"}`, 'ClientHello: no supported crypto algorithm'],
  ['a Login without hello', opened(encodeV2(loginMessage())), '{"version":"0.70.1","error":"missing v2 crypto negotiation"}', 'missing v2 crypto negotiation'],
  ['a work connection of nobody', opened(encodeV2({ type: 'NewWorkConn', run_id: 'nope' })), '{"error":"no client control found for the run id"}', 'no client control found for the run id'],
] // biome-ignore format: a table

async function play(relay: HostedRelay, carrier: Carrier, bytes: Uint8Array): Promise<HostilePeer> {
  const peer = await hostile(cleanUp, relay.port, { carrier })
  peer.send(bytes)
  return peer
}

describe('a stranger who speaks v2', () => {
  it.each(CASES)(
    '%s is answered as frps does, the connection ends, and the log says why',
    async (_name, bytes, answer, line) => {
      for (const carrier of ['tcp', 'tls', 'websocket'] as const) {
        const relay = await hostRelay(cleanUp)
        const peer = await play(relay, carrier, bytes)
        await peer.closed()
        const text = peer.payload.toString('latin1')
        expect(text.slice(text.indexOf('{') < 0 ? text.length : text.indexOf('{'))).toBe(answer ?? '')
        await relay.lines.waitFor(line)
      }
    },
  )

  it.each(CASES)('%s inside yamux ends the connection too', async (_name, bytes, answer, line) => {
    const relay = await hostRelay(cleanUp)
    const peer = await play(relay, 'tcp', dataFrame(1, bytes, 1))
    if (answer !== undefined) {
      await peer.until(() => peer.payload.includes(answer))
      // A client that is told leaves; one that stays is cut off.
      relay.clock.advance(10_000)
    }
    await relay.lines.waitFor(line)
    relay.clock.advance(5_000)
    await peer.closed()
  })

  it('has as long for magic, hello and Login as any other, whatever it sends in between', async () => {
    for (const some of [V2_MAGIC.subarray(0, 3), V2_MAGIC, opened(frameV2(CLIENT_HELLO, HELLO))]) {
      const relay = await hostRelay(cleanUp)
      const peer = await play(relay, 'tcp', some)
      if (some.length > 7) await peer.until(() => peer.payload.includes('serverRandom'))
      relay.clock.advance(9_999)
      expect(peer.isClosed).toBe(false)
      relay.clock.advance(1)
      await peer.closed()
    }
  })

  it('is refused a frame that is longer than what strangers may have held, a client is not', async () => {
    const relay = await hostRelay(cleanUp, { bytesBeforeLogin: 20_000 })
    const metas = { long: 'x'.repeat(20_000) }
    const peer = await play(
      relay,
      'tcp',
      opened(frameV2(CLIENT_HELLO, HELLO), encodeV2({ type: 'Login', metas }).subarray(0, 8)),
    )
    await relay.lines.waitFor('bytes, at most 20000 here')
    await peer.closed()
    const { peer: client, out, cipher } = await loggedIn(relay)
    cipher.write(encodeV2({ type: 'NewProxy', proxy_name: 'p', proxy_type: 'stcp', metas }))
    client.raw(out.bytes)
    await relay.lines.waitFor('new proxy [p] type [stcp] success')
  })

  it('may stop in the middle of any frame: nothing is kept of it', async () => {
    const relay = await hostRelay(cleanUp)
    const honest = await logIn(cleanUp, relay.port)
    const whole = opened(frameV2(CLIENT_HELLO, HELLO), encodeV2(loginMessage()))
    for (let cut = 1; cut < whole.length - 1; cut += 13) {
      const peer = await play(relay, 'tcp', whole.subarray(0, cut))
      peer.socket.end()
      await peer.closed()
    }
    await honest.pong()
    expect(relay.server.relay.clientCount).toBe(1)
  })

  it('gets one answer to a hello and the end for a second one', async () => {
    const relay = await hostRelay(cleanUp)
    const hello = frameV2(CLIENT_HELLO, HELLO)
    const peer = await play(relay, 'tcp', opened(hello, hello))
    await peer.closed()
    await relay.lines.waitFor('v2 frame of type 1, expected 16')
  })
})

/** A client that logged in without yamux and now writes bytes of its own on its control connection. */
async function loggedIn(relay: HostedRelay): Promise<{ peer: HostilePeer; out: Below; cipher: AeadStream }> {
  const peer = await play(relay, 'tcp', opened(frameV2(CLIENT_HELLO, HELLO), encodeV2(loginMessage())))
  await peer.until(() => peer.payload.includes('run_id'))
  const end = 8 + peer.payload.readUInt32BE(4)
  const suite = readServerHello(peer.payload.subarray(8, end), HELLO, nodeCrypto)
  const out = new Below()
  const cipher = new AeadStream(out, suite, TOKEN, 'client', nodeCrypto)
  cipher.attach(new Reader())
  return { peer, out, cipher }
}

describe('a client of v2 whose records are harmed on the way', () => {
  const HARM: readonly [name: string, harm: (records: Buffer[]) => Uint8Array, line: string][] = [
    ['repeated', ([first = Buffer.alloc(0), second = Buffer.alloc(0)]) => joined(first, second, second), 'record 2: 20 bytes do not verify'],
    ['left out', ([first = Buffer.alloc(0), , third = Buffer.alloc(0)]) => joined(first, third), 'record 1: 20 bytes do not verify'],
    ['changed', (records) => joined(...records).map((byte, i, all) => (i === all.length - 1 ? byte ^ 1 : byte)), 'record 2: 20 bytes do not verify'],
    ['too long', ([first = Buffer.alloc(0)]) => joined(first, Buffer.from('00010011', 'hex')), 'record 1: length 65553, expected 16 to 65552'],
    ['too short', ([first = Buffer.alloc(0)]) => joined(first, Buffer.from('0000000f', 'hex')), 'record 1: length 15, expected 16 to 65552'],
  ] // biome-ignore format: a table

  it.each(HARM)('%s: the connection ends, and the log says which record', async (_name, harm, line) => {
    const relay = await hostRelay(cleanUp)
    const { peer, out, cipher } = await loggedIn(relay)
    for (const text of [encodeV2({ type: 'ReqWorkConn' }).slice(0, 4), utf8('\0\0\0\u0004'), utf8('\0\u0007{}')])
      cipher.write(text)
    peer.raw(harm(out.written.map((bytes) => Buffer.from(bytes))))
    await relay.lines.waitFor(line)
    await peer.closed()
    expect(relay.server.relay.clientCount).toBe(0)
  })

  it('whole: it is served', async () => {
    const relay = await hostRelay(cleanUp)
    const { peer, out, cipher } = await loggedIn(relay)
    const before = peer.payload.length
    cipher.write(encodeV2({ type: 'Ping' }))
    peer.raw(out.bytes)
    await peer.until(() => peer.payload.length > before)
    expect(relay.server.relay.clientCount).toBe(1)
  })
})

describe('a relay that answers v2 wrongly', () => {
  const good = answerHello(HELLO, nodeCrypto).payload
  const LOGIN_RESP = encodeV2({ type: 'LoginResp', run_id: 'r' })
  const ANSWERS: readonly [name: string, bytes: Uint8Array, error: string][] = [
    ['a refusal', frameV2(SERVER_HELLO, utf8('{"error":"not today"}')), 'not today'],
    ['another codec', frameV2(SERVER_HELLO, utf8('{}')), 'ServerHello: message codec "", expected "json"'],
    ['an unknown cipher', frameV2(SERVER_HELLO, utf8('{"selected":{"message":{"codec":"json"},"crypto":{"algorithm":"rot13"}}}')), 'ServerHello: crypto algorithm "rot13", expected one of aes-256-gcm, xchacha20-poly1305'],
    ['no hello', LOGIN_RESP, 'LoginResp came where ServerHello was due'],
    ['two hellos', joined(frameV2(SERVER_HELLO, good), frameV2(SERVER_HELLO, good)), 'v2 frame of type 2, expected 16'],
    ['the magic', withMagic(frameV2(SERVER_HELLO, good)), 'v2 frame of type 18002, expected 2 or 16'],
    ['an over-long frame', Buffer.from('0002000000010001', 'hex'), 'v2 frame of type 2: length 65537, expected 0 to 65536'],
    ['records that nobody sealed', joined(frameV2(SERVER_HELLO, good), LOGIN_RESP, new Uint8Array(12), Buffer.from('00000010', 'hex'), new Uint8Array(16)), 'record 0: 16 bytes do not verify'],
  ] // biome-ignore format: a table

  it.each(ANSWERS)('%s: the client says so', async (_name, bytes, error) => {
    const port = await listenTcp(cleanUp, (socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => socket.write(bytes))
    })
    const transport = { wireProtocol: 'v2', tcpMux: false, tls: { enable: false } }
    const { lines } = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: port,
      transport,
      loginFailExit: false,
    })
    await lines.waitFor(error)
  })

  it('nothing at all: the client says what may be the reason', async () => {
    const port = await listenTcp(cleanUp, (socket) => void socket.once('data', () => socket.end()))
    const transport = { wireProtocol: 'v2', tcpMux: false, tls: { enable: false } }
    const { over } = startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: port, transport })
    expect((await over)?.message).toContain('one older than frp 0.69 does not speak transport.wireProtocol v2')
  })
})
