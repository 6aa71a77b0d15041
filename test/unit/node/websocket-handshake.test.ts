import { createServer } from 'node:http'
import net from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { dial } from '../../../node/dial.ts'
import { acceptUpgrade, openWebsocket, upgradeHead } from '../../../node/link-choice.ts'
import { readUpgradeAnswer, upgradeAnswer, upgradeRequest } from '../../../node/websocket-handshake.ts'
import type { WebsocketLink } from '../../../node/websocket-link.ts'
import { isSame, Probe, pattern } from '../../contract/probe.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

function bytes(latin1: string): Uint8Array {
  return new Uint8Array(Buffer.from(latin1, 'latin1'))
}

/** The example of RFC 6455 section 1.3. */
const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
const FIELDS = {
  host: 'relay.example.com',
  upgrade: 'websocket',
  connection: 'Upgrade',
  'sec-websocket-key': KEY,
  origin: 'http://relay.example.com',
  'sec-websocket-version': '13',
}

describe('the answer to an upgrade', () => {
  it('is what stock frpc accepts, and announces us', () => {
    const answer = upgradeAnswer('GET', FIELDS)
    expect(text(answer.head)).toBe(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${ACCEPT}\r\nedgefrp: 1\r\n\r\n`,
    )
    expect(answer).toMatchObject({ isAccepted: true, isOwnPeer: false })
  })

  it('knows our own client, and never negotiates extensions or protocols', () => {
    const answer = upgradeAnswer('GET', {
      ...FIELDS,
      edgefrp: '1',
      'sec-websocket-extensions': 'permessage-deflate',
      'sec-websocket-protocol': 'chat',
    })
    expect(answer).toMatchObject({ isAccepted: true, isOwnPeer: true })
    expect(text(answer.head)).not.toMatch(/extensions|protocol:/i)
  })

  it('accepts what proxies make of the request', () => {
    expect(
      upgradeAnswer('GET', { ...FIELDS, connection: 'keep-alive, upgrade', upgrade: 'WebSocket' }).isAccepted,
    ).toBe(true)
    expect(upgradeAnswer('GET', { ...FIELDS, origin: undefined, 'sec-fetch-site': 'same-origin' }).isAccepted).toBe(
      true,
    )
  })

  it.each([
    ['another version', { 'sec-websocket-version': '8' }, 400],
    ['no key', { 'sec-websocket-key': undefined }, 400],
    ['a bad key', { 'sec-websocket-key': 'short' }, 400],
    ['no upgrade', { upgrade: undefined }, 400],
    ['no Connection', { connection: 'keep-alive' }, 400],
    ["a web page of somebody else's", { 'sec-fetch-site': 'cross-site' }, 403],
  ])('refuses %s', (_what, fields, status) => {
    const answer = upgradeAnswer('GET', { ...FIELDS, ...fields })
    expect(answer).toMatchObject({ isAccepted: false, status })
    expect(text(answer.head)).toContain(`HTTP/1.1 ${status} `)
  })

  it('refuses POST, and names the version it speaks', () => {
    expect(upgradeAnswer('POST', FIELDS).isAccepted).toBe(false)
    const { head } = upgradeAnswer('GET', { ...FIELDS, 'sec-websocket-version': '7' })
    expect(text(head)).toContain('\r\nSec-WebSocket-Version: 13\r\n')
  })
})

describe('the request for an upgrade', () => {
  it('is what frpc sends, in its order, with our announcement last', () => {
    const { head, key } = upgradeRequest({ host: 'relay.example.com:7000', path: '/~!frp' })
    expect(text(head)).toBe(
      'GET /~!frp HTTP/1.1\r\nHost: relay.example.com:7000\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Key: ${key}\r\nOrigin: http://relay.example.com:7000\r\nSec-WebSocket-Version: 13\r\n` +
        'edgefrp: 1\r\n\r\n',
    )
    expect(Buffer.from(key, 'base64')).toHaveLength(16)
  })
})

describe('reading the answer', () => {
  const good = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n`

  const plain = 'Content-Type: text/plain; charset=utf-8\r\n'

  it('waits for what a refusal has to say', () => {
    const whole = bytes(`HTTP/1.1 403 no\r\n${plain}Content-Length: 4\r\n\r\nwhy?`)
    for (let cut = 0; cut < whole.length; cut++) expect(readUpgradeAnswer(whole.subarray(0, cut), KEY)).toBeUndefined()
    expect(() => readUpgradeAnswer(whole, KEY)).toThrow('bad status 403: why?')
  })

  it('waits for the whole head, cut anywhere, and leaves what is behind it', () => {
    const whole = bytes(`${good}\r\n\x82\x01x`)
    const headBytes = whole.length - 3
    for (let cut = 0; cut < headBytes; cut++) expect(readUpgradeAnswer(whole.subarray(0, cut), KEY)).toBeUndefined()
    expect(readUpgradeAnswer(whole, KEY)).toEqual({ isOwnPeer: false, headBytes })
    expect(readUpgradeAnswer(bytes(`${good}edgefrp: 1\r\n\r\n`), KEY)?.isOwnPeer).toBe(true)
  })

  it.each([
    ['bad status 302', 'HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n'],
    ['bad status 200', 'HTTP/1.1 200 OK\r\n\r\n'],
    [/bad status 503: no token yet$/, `HTTP/1.1 503 x\r\n${plain}content-length: 13\r\n\r\nno token\r\nyet`],
    [/bad status 503$/, `HTTP/1.1 503 x\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>`],
    [/bad status 503$/, `HTTP/1.1 503 x\r\n${plain}Content-Length: 501\r\n\r\n`],
    ['no HTTP answer', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['mismatch challenge/response', `${good.replace(ACCEPT, 'AAAA')}\r\n`],
    ['missing or bad upgrade', `${good.replace('Connection: upgrade', 'Connection: keep-alive, Upgrade')}\r\n`],
    ['unsupported extensions', `${good}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n`],
    ['missing or bad WebSocket-Protocol', `${good}Sec-WebSocket-Protocol: chat\r\n\r\n`],
    ['bad header line', `${good}nonsense\r\n\r\n`],
    ['its head has more than', 'HTTP/1.1 101 x\r\n'.padEnd(20_000, 'x')],
  ])('refuses with %s', (reason, answer) => {
    expect(() => readUpgradeAnswer(bytes(answer), KEY)).toThrow(reason)
  })
})

describe('openWebsocket', () => {
  async function listen(server: net.Server): Promise<number> {
    closers.push(() => server.close())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    return address.port
  }
  const socketTo = (port: number) => dial({ host: '127.0.0.1', port })

  it('meets acceptUpgrade behind node:http, and both know each other', async () => {
    const server = createServer()
    const accepted = new Promise<WebsocketLink>((resolve) => {
      server.on('upgrade', (request, socket, head) => {
        if (socket instanceof net.Socket) resolve(acceptUpgrade(upgradeHead(request), socket, head))
      })
    })
    const port = await listen(server)
    const client = await openWebsocket(await socketTo(port), { host: `127.0.0.1:${port}`, path: '/~!frp' })
    const link = await accepted
    expect([client.isOwnPeer, link.isOwnPeer]).toEqual([true, true])
    const [a, b] = [new Probe(client), new Probe(link)]
    await a.write(pattern(60_000))
    await b.until(() => b.bytesRead === 60_000)
    expect(isSame(b.received, pattern(60_000))).toBe(true)
    client.destroy()
    await b.until(() => b.closes === 1)
  })

  it('meets a server of the ws package, and keeps the bytes that come with the answer', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    closers.push(() => server.close())
    await new Promise((resolve) => server.once('listening', resolve))
    server.on('connection', (ws) => ws.send('first'))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const host = `127.0.0.1:${address.port}`
    const client = await openWebsocket(await socketTo(address.port), { host, path: '/' })
    expect(client.isOwnPeer).toBe(false)
    const probe = new Probe(client)
    await probe.until(() => probe.bytesRead === 5)
    expect(text(probe.received)).toBe('first')
    client.end()
    await probe.until(() => probe.closes === 1)
    expect(probe.closeError).toBeUndefined()
  })

  it('rejects with what is wrong, with a cut, and with the reason of the signal', async () => {
    const port = await listen(
      net.createServer((socket) => {
        socket.on('error', () => {})
        socket.once('data', (request) => {
          if (request.includes('/bad')) socket.end('HTTP/1.1 404 Not Found\r\n\r\n')
          if (request.includes('/cut')) socket.end('HTTP/1.1 101')
        })
      }),
    )
    const host = `127.0.0.1:${port}`
    await expect(openWebsocket(await socketTo(port), { host, path: '/bad' })).rejects.toThrow('bad status 404')
    await expect(openWebsocket(await socketTo(port), { host, path: '/cut' })).rejects.toThrow('ended before the answer')
    const stop = new AbortController()
    const silent = await socketTo(port)
    const opening = openWebsocket(silent, { host, path: '/silent' }, stop.signal)
    stop.abort(new Error('took too long'))
    await expect(opening).rejects.toThrow('took too long')
    expect(silent.destroyed).toBe(true)
  })
})
