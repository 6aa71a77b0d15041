import { createServer } from 'node:http'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { CleanUp, converse, freePorts, startClient } from '../e2e/client-rig.ts'
import { startRelay } from '../e2e/frps-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const HEADERS = 1
const SETTINGS = 4
const END_STREAM_AND_HEADERS = 5
/** GET, http, /, and `localhost` as the authority: fields of HPACK's own table. */
const REQUEST = Buffer.concat([Buffer.of(0x82, 0x86, 0x84, 0x01, 9), Buffer.from('localhost')])
/** `x: bbb…` with 3,900 letters, kept in the table, and then named again by a byte each. */
const LARGE = Buffer.concat([Buffer.of(0x40, 1, 0x78, 0x7f, 0xbd, 0x1d), Buffer.alloc(3_900, 'b')])
const AGAIN = Buffer.alloc(190, 0x80 | 62)

function frame(type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** Plays a connection that never acknowledges SETTINGS: `count` heads of 740 KB in 25 KB. */
async function playBomb(socket: Socket, count: number): Promise<void> {
  cleanUp.add(() => void socket.destroy())
  socket.on('error', () => undefined)
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.resume()
  const heads = Array.from({ length: count }, (_, index) => {
    const fields = index === 0 ? [REQUEST, LARGE, AGAIN] : [REQUEST, AGAIN]
    return frame(HEADERS, END_STREAM_AND_HEADERS, 1 + 2 * index, Buffer.concat(fields))
  })
  socket.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0), ...heads]))
  await closed
}

/** A web server behind a proxy of one kind, and a way to ask it. */
async function served(plugin: object | undefined) {
  const [bindPort = 0, vhostHTTPPort = 0, remotePort = 0, localPort = 0] = await freePorts(4)
  const asked: string[] = []
  const web = createServer((request, response) => {
    asked.push(request.url ?? '')
    response.end('here')
  })
  await new Promise<void>((resolve) => web.listen(localPort, '127.0.0.1', resolve))
  cleanUp.add(() => {
    web.close()
    web.closeAllConnections()
  })
  await startRelay(cleanUp, { bindPort, vhostHTTPPort })
  const proxy =
    plugin === undefined
      ? { name: 'p', type: 'http', localPort, customDomains: ['localhost'] }
      : { name: 'p', type: 'tcp', remotePort, plugin: { ...plugin, localAddr: `127.0.0.1:${localPort}` } }
  const client = startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: bindPort, proxies: [proxy] })
  await client.lines.waitFor('[p] start proxy success')
  return { asked, vhostHTTPPort, remotePort }
}

describe('HPACK bombs of a peer that acknowledges no SETTINGS', () => {
  it('end their connection at the relay, and the service sees none of it', async () => {
    const { asked, vhostHTTPPort } = await served(undefined)
    await playBomb(connectTcp(vhostHTTPPort, '127.0.0.1'), 128)
    const request = Buffer.from('GET /honest HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    expect((await converse(vhostHTTPPort, request)).bytes.toString()).toMatch(/here$/)
    expect(asked).toEqual(['/honest'])
  })

  it('end their connection at a plugin', async () => {
    const { asked, remotePort } = await served({ type: 'https2http' })
    const tls = { host: '127.0.0.1', port: remotePort, ALPNProtocols: ['h2'], rejectUnauthorized: false }
    await playBomb(connectTls(tls), 128)
    expect(asked).toEqual([])
  })

  it('one head that is too large is answered with 431', async () => {
    const { vhostHTTPPort } = await served(undefined)
    const socket = connectTcp(vhostHTTPPort, '127.0.0.1')
    const over = playBomb(socket, 1)
    const answer = frame(HEADERS, END_STREAM_AND_HEADERS, 1).subarray(3)
    await new Promise<void>((resolve) => {
      socket.on('data', (chunk: Buffer) => {
        if (chunk.includes(answer)) resolve()
      })
    })
    expect(socket.closed).toBe(false)
    socket.end()
    await over
  })
})

it('a user of HTTP/2 who leaves frees the socket at once', async () => {
  const { vhostHTTPPort } = await served(undefined)
  const socket = connectTcp({ port: vhostHTTPPort, host: '127.0.0.1', allowHalfOpen: true })
  cleanUp.add(() => void socket.destroy())
  const ended = new Promise((resolve) => socket.once('end', resolve))
  socket.on('data', () => undefined).end(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0)]))
  await ended
  await vi.waitUntil(() => !socket.readable)
})
