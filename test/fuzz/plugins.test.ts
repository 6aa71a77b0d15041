import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { CleanUp, echoTcp } from '../e2e/client-rig.ts'
import { openPlugin, type PluginRig } from '../unit/client/plugin-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

/** Deadlines of a minute pass in a third of a second. */
const SPEED = 200
const BODY = 'y'.repeat(50_000)

/** What one user does: says so much of a text (in promille), reads or does not, and goes in one of four ways. */
interface User {
  text: number
  promille: number
  reads: boolean
  speaksTls: boolean
  ending: 'end' | 'close' | 'reset' | 'stay'
  afterMs: number
}

const user: fc.Arbitrary<User> = fc.record({
  text: fc.nat({ max: 20 }),
  promille: fc.oneof(fc.constant(1_000), fc.nat({ max: 1_000 })),
  reads: fc.boolean(),
  speaksTls: fc.constantFrom(true, true, true, false),
  ending: fc.constantFrom('end', 'close', 'reset', 'stay'),
  afterMs: fc.nat({ max: 40 }),
})

async function play(port: number, isTls: boolean, texts: readonly string[], does: User): Promise<void> {
  const raw = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const socket = isTls && does.speaksTls ? connectTls({ socket: raw, rejectUnauthorized: false }) : raw
  const over = new Promise((resolve) => raw.once('close', resolve))
  for (const one of [raw, socket]) one.on('error', () => undefined)
  if (does.reads) socket.resume()
  const text = texts[does.text % texts.length] ?? ''
  socket.write(text.slice(0, (text.length * does.promille) / 1_000), 'latin1')
  await new Promise((resolve) => setTimeout(resolve, does.afterMs))
  if (does.ending === 'end') socket.end()
  if (does.ending === 'close') raw.destroy()
  if (does.ending === 'reset') raw.resetAndDestroy()
  setTimeout(() => raw.destroy(), 100)
  await over
}

async function withUsers(rig: PluginRig, isTls: boolean, texts: readonly string[]): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(user, { minLength: 5, maxLength: 20 }), async (users) => {
      await Promise.all(users.map((does) => play(rig.port, isTls, texts, does)))
      await rig.idle()
      expect(rig.running()).toBe(0)
    }),
    { numRuns: 8 },
  )
}

/** A web server that keeps to nothing. */
async function moodyServer(): Promise<string> {
  let turn = 0
  const moods: RequestListener[] = [
    (request) => request.socket.destroy(),
    (request, response) => {
      response.writeHead(200, { 'Content-Length': '1000' }).write('x', () => request.socket.destroy())
    },
    (request, response) => {
      request.resume().once('end', () => response.end(BODY))
    },
    (_request, response) => response.end('early'),
    (request, response) => request.pipe(response),
  ]
  const server = createServer((request, response) => moods[turn++ % moods.length]?.(request, response))
  server.on('upgrade', (_request, socket, head) => {
    socket.on('error', () => undefined)
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    socket.write(head)
    socket.pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanUp.add(() => {
    server.closeAllConnections()
    server.close()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}` // listening on an address, not on a path
}

const HTTP = [
  'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
  `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nc350\r\n${BODY}\r\n0\r\n\r\n`,
  'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello',
  'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
  `${'GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3)}POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
  'nonsense\r\n\r\n',
]

describe('whatever users do, nothing of them is left', () => {
  it('in http2http', async () => {
    await withUsers(
      await openPlugin(cleanUp, { type: 'http2http', localAddr: await moodyServer() }, {}, SPEED),
      false,
      HTTP,
    )
  })

  it('in https2http', async () => {
    await withUsers(
      await openPlugin(cleanUp, { type: 'https2http', localAddr: await moodyServer() }, {}, SPEED),
      true,
      HTTP,
    )
  })

  it('in http_proxy', async () => {
    const web = await moodyServer()
    const connectTo = (port: number): string => `CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: a\r\n\r\n${BODY}`
    const texts = HTTP.map((text) => text.replaceAll(' / ', ` http://${web}/ `))
    texts.push(connectTo(await echoTcp(cleanUp)), connectTo(1))
    await withUsers(await openPlugin(cleanUp, { type: 'http_proxy' }, {}, SPEED), false, texts)
  })

  it('in socks5', async () => {
    const echo = await echoTcp(cleanUp)
    const opening = Buffer.from([5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, echo >> 8, echo & 0xff]).toString('latin1')
    await withUsers(await openPlugin(cleanUp, { type: 'socks5' }, {}, SPEED), false, [opening, `${opening}${BODY}`])
  })

  it('in tls2raw', async () => {
    const localAddr = `127.0.0.1:${await echoTcp(cleanUp)}`
    await withUsers(await openPlugin(cleanUp, { type: 'tls2raw', localAddr }, {}, SPEED), true, ['hello', BODY])
  })

  it('in static_file', async () => {
    const texts = ['/package-lock.json', '/', '/none', '/node_modules/'].map(
      (path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`,
    )
    const options = { type: 'static_file', localPath: process.cwd() }
    await withUsers(await openPlugin(cleanUp, options, {}, SPEED), false, texts)
  })
})
