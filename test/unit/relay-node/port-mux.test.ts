import type { Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import { duplexOf } from '../../../node/duplex.ts'
import { openWebsocket } from '../../../node/link-choice.ts'
import { type MuxOptions, MuxRig, readAll } from './port-mux-rig.ts'

const rigs: MuxRig[] = []
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.close()
})

async function rigWith(options: MuxOptions = {}): Promise<MuxRig> {
  const rig = new MuxRig(options)
  rigs.push(rig)
  await rig.listen()
  return rig
}

/** Writes one byte a turn, so that the other side sees it cut at every place. */
async function drip(socket: Socket, text: string): Promise<void> {
  for (const character of text) {
    await new Promise<void>((resolve) => socket.write(character, 'latin1', () => setImmediate(resolve)))
  }
}

function tlsOver(socket: Socket | ReturnType<typeof duplexOf>): Promise<TLSSocket> {
  const secure = connectTls({ socket, rejectUnauthorized: false })
  return new Promise((resolve, reject) => {
    secure.once('secureConnect', () => resolve(secure))
    secure.once('error', reject)
  })
}

const API = 'GET /~!frp/healthz HTTP/1.1\r\nHost: a\r\n\r\n'
const PAGE = 'GET /page HTTP/1.1\r\nHost: a.example\r\n\r\n'
const UPGRADE = { host: 'relay.example', path: '/~!frp' }

describe('what the first bytes decide', () => {
  it('gives frp bytes to the relay at the first byte, without waiting for ten', async () => {
    const rig = await rigWith()
    const socket = await rig.connect()
    socket.write('o')
    const arrived = await rig.until(1, 1)
    expect(arrived.door).toBe('frp')
    expect(arrived.peer).toMatchObject({ ip: '127.0.0.1', transport: 'tcp', isEncrypted: false })
    socket.write('ther bytes')
    expect((await rig.until(1, 11)).text()).toBe('other bytes')
  })

  it.each(['\0\x01', 'w', 'v', 'FRP\0\x02\r\n'])('takes %j for frp', async (first) => {
    const rig = await rigWith()
    const socket = await rig.connect()
    socket.write(first, 'latin1')
    const arrived = await rig.until(1, first.length)
    expect([arrived.door, arrived.text()]).toEqual(['frp', first])
  })

  it.each([
    ['api', API],
    ['vhost', PAGE],
    ['vhost', 'PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\nbody'],
    ['vhost', 'GET /~!frpx HTTP/1.1\r\nHost: a\r\n\r\n'],
  ] as const)('gives HTTP that drips in byte by byte to %s, from its first byte', async (door, text) => {
    const rig = await rigWith()
    const socket = await rig.connect()
    await drip(socket, text)
    const arrived = await rig.until(1, text.length)
    expect([arrived.door, arrived.text()]).toEqual([door, text])
  })

  it('answers 404 where no vhost shares the port', async () => {
    const rig = await rigWith({ hasVhost: false })
    const socket = await rig.connect()
    socket.write(PAGE)
    expect(await readAll(socket)).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/)
  })

  it('answers 400 to what is no HTTP behind its first letter, and 431 to an endless head', async () => {
    const rig = await rigWith()
    const bad = await rig.connect()
    bad.write('GET nonsense\r\n\r\n')
    expect(await readAll(bad)).toMatch(/^HTTP\/1\.1 400 /)
    const endless = await rig.connect()
    endless.write(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(70_000)}`)
    expect(await readAll(endless)).toMatch(/^HTTP\/1\.1 431 /)
    expect(rig.lines.join('')).toContain('[127.0.0.1]')
  })

  it('sees through TLS, with and without the byte that frp puts before it', async () => {
    const rig = await rigWith()
    for (const mark of [false, true]) {
      const socket = await rig.connect()
      if (mark) await drip(socket, '\x17')
      const secure = await tlsOver(socket)
      secure.write('login')
      const arrived = await rig.until(rig.arrived.length + 1, 5)
      expect([arrived.door, arrived.text()]).toEqual(['frp', 'login'])
      expect(arrived.peer).toMatchObject({ transport: 'tcp', isEncrypted: true })
      arrived.answer('hello')
      expect(await firstOf(secure)).toBe('hello')
    }
  })

  it('takes the API inside TLS', async () => {
    const rig = await rigWith()
    const secure = await tlsOver(await rig.connect())
    await drip(secure, API)
    expect((await rig.until(1, API.length)).door).toBe('api')
  })

  it.each([true, false])('looks inside a WebSocket (below it TLS: %s)', async (isWss) => {
    const rig = await rigWith()
    const socket = await rig.connect()
    const link = await openWebsocket(isWss ? await tlsOver(socket) : socket, UPGRADE)
    link.write(new TextEncoder().encode('login'))
    const arrived = await rig.until(1, 5)
    expect([arrived.door, arrived.text()]).toEqual(['frp', 'login'])
    expect(arrived.peer).toMatchObject({ transport: 'websocket', isEncrypted: isWss })
  })

  it.each([false, true])('takes TLS inside a WebSocket (with the byte before it: %s)', async (mark) => {
    const rig = await rigWith({ isTlsForced: true })
    const link = await openWebsocket(await rig.connect(), UPGRADE)
    if (mark) link.write(Uint8Array.of(0x17))
    const secure = await tlsOver(duplexOf(link))
    secure.write('login')
    const arrived = await rig.until(1, 5)
    expect([arrived.door, arrived.text()]).toEqual(['frp', 'login'])
    expect(arrived.peer).toMatchObject({ transport: 'websocket', isEncrypted: true })
    arrived.answer('hello')
    expect(await firstOf(secure)).toBe('hello')
  })

  it('refuses an upgrade that is none, and says why', async () => {
    const rig = await rigWith()
    const socket = await rig.connect()
    socket.write('GET /~!frp HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(await readAll(socket)).toMatch(/^HTTP\/1\.1 400 .*not websocket protocol$/s)
  })
})

describe('what is closed', () => {
  it('closes frp without TLS where TLS is demanded, also inside a WebSocket', async () => {
    const rig = await rigWith({ isTlsForced: true })
    const plain = await rig.connect()
    plain.write('o')
    expect(await readAll(plain)).toBe('')
    const inside = await rig.connect()
    const over = readAll(inside)
    const link = await openWebsocket(inside, UPGRADE)
    link.write(Uint8Array.of(0x6f))
    await over
    expect(rig.arrived).toEqual([])
    expect(rig.lines.filter((line) => line.includes('transport.tls.force demands'))).toHaveLength(2)
  })

  it('closes who is silent, slow with a head, silent inside TLS or inside a WebSocket, when the time is over', async () => {
    const rig = await rigWith()
    const [silent, slow, secure, upgraded] = [
      await rig.connect(),
      await rig.connect(),
      await rig.connect(),
      await rig.connect(),
    ]
    await drip(slow, 'GET / HTTP/1.1\r\nHos')
    const inside = await tlsOver(secure)
    const link = await openWebsocket(upgraded, UPGRADE)
    const linkClosed = new Promise<void>((resolve) => {
      link.attach({ onData: () => true, onEnd() {}, onDrain() {}, onClose: () => resolve() })
    })
    const all = Promise.all([readAll(silent), readAll(slow), readAll(inside), linkClosed])
    rig.runOut()
    await all
    expect(rig.arrived).toEqual([])
  })

  it('lets nobody wait for silent neighbours, upgraded or not', async () => {
    const rig = await rigWith()
    for (let i = 0; i < 50; i++) {
      const silent = await rig.connect()
      if (i % 2 === 0) await openWebsocket(silent, UPGRADE)
    }
    const honest = await rig.connect()
    honest.write('o')
    expect((await rig.until(1, 1)).door).toBe('frp')
  })

  it('hands over once: what runs out later does not touch the connection', async () => {
    const rig = await rigWith()
    const socket = await rig.connect()
    socket.write('o')
    await rig.until(1, 1)
    await new Promise((resolve) => setImmediate(resolve))
    rig.runOut()
    socket.write('k')
    expect((await rig.until(1, 2)).text()).toBe('ok')
  })

  it('takes neither frp nor TLS on a port for users, but the WebSocket', async () => {
    const rig = await rigWith({ isForClients: false })
    for (const first of ['o', '\x16\x03\x01']) {
      const socket = await rig.connect()
      socket.write(first, 'latin1')
      expect(await readAll(socket)).toBe('')
    }
    const link = await openWebsocket(await rig.connect(), UPGRADE)
    link.write(Uint8Array.of(0x6f))
    expect((await rig.until(1, 1)).door).toBe('frp')
  })
})

function firstOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => socket.once('data', (chunk) => resolve(chunk.toString('latin1'))))
}
