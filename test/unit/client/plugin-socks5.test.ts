import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { CleanUp, converse, echoTcp, listenTcp } from '../../e2e/client-rig.ts'
import { openPlugin } from './plugin-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const GREETING = [5, 1, 0]
const WITH_PASSWORD = { type: 'socks5', username: 'me', password: 'secret' }

function toPort(port: number): number[] {
  return [port >> 8, port & 0xff]
}

function connectTo(port: number, address = [1, 127, 0, 0, 1]): number[] {
  return [5, 1, 0, ...address, ...toPort(port)]
}

/** Sends each byte by itself; answers what came until the end. */
async function byteByByte(port: number, bytes: number[], answerBytes: number): Promise<Buffer> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let got: Buffer = Buffer.alloc(0)
  const enough = new Promise<void>((resolve) => {
    socket.on('data', (part) => {
      got = Buffer.concat([got, part])
      if (got.length >= answerBytes) resolve()
    })
  })
  for (const byte of bytes) await new Promise((sent) => socket.write(Uint8Array.of(byte), sent))
  await enough
  socket.destroy()
  return got
}

function reset(socket: Socket): void {
  socket.resetAndDestroy()
}

describe('socks5', () => {
  it('connects to an IPv4 address and to a name, and loses nothing that follows the request', async () => {
    const echo = await echoTcp(cleanUp)
    const { port, idle } = await openPlugin(cleanUp, { type: 'socks5' })
    const name = [3, 9, ...Buffer.from('localhost')]
    for (const address of [undefined, name]) {
      const request = [...GREETING, ...connectTo(echo, address), ...Buffer.from('hello')]
      const { bytes } = await converse(port, Uint8Array.from(request), { end: true })
      expect([...bytes.subarray(0, 2)]).toEqual([5, 0])
      expect([...bytes.subarray(2, 6)]).toEqual([5, 0, 0, 1])
      expect(bytes.subarray(12).toString()).toBe('hello')
    }
    await idle()
  })

  it('connects to an IPv6 address', async () => {
    const server = createServer((socket) => socket.pipe(socket))
    server.listen(0, '::1')
    await once(server, 'listening')
    cleanUp.add(() => {
      server.close()
    })
    const address = server.address()
    const echo = typeof address === 'object' ? (address?.port ?? 0) : 0
    const { port } = await openPlugin(cleanUp, { type: 'socks5' })
    const request = [...GREETING, ...connectTo(echo, [4, ...new Uint8Array(15), 1]), ...Buffer.from('six')]
    const { bytes } = await converse(port, Uint8Array.from(request), { end: true })
    expect([...bytes.subarray(2, 6)]).toEqual([5, 0, 0, 4])
    expect(bytes.subarray(24).toString()).toBe('six')
  })

  it('understands what comes in single bytes', async () => {
    const echo = await echoTcp(cleanUp)
    const { port } = await openPlugin(cleanUp, WITH_PASSWORD)
    const login = [1, 2, ...Buffer.from('me'), 6, ...Buffer.from('secret')]
    const bytes = [5, 2, 0, 2, ...login, ...connectTo(echo), ...Buffer.from('tiny')]
    const got = await byteByByte(port, bytes, 2 + 2 + 10 + 4)
    expect([...got.subarray(0, 8)]).toEqual([5, 2, 1, 0, 5, 0, 0, 1])
    expect(got.subarray(14).toString()).toBe('tiny')
  })

  it('refuses who has no password, or a wrong one', async () => {
    const { port, idle } = await openPlugin(cleanUp, WITH_PASSWORD)
    expect([...(await converse(port, Uint8Array.from([...GREETING, ...connectTo(1)]))).bytes]).toEqual([5, 0xff])
    for (const [user, password] of [
      ['me', 'wrong!'],
      ['you', 'secret'],
      ['', ''],
    ] as const) {
      const login = [1, user.length, ...Buffer.from(user), password.length, ...Buffer.from(password)]
      const { bytes, ended } = await converse(port, Uint8Array.from([5, 1, 2, ...login, ...connectTo(1)]))
      expect([...bytes]).toEqual([5, 2, 1, 1])
      expect(ended).toBe(true)
    }
    await idle()
  })

  it('answers with the code of what is wrong', async () => {
    const { port, idle } = await openPlugin(cleanUp, { type: 'socks5' })
    const answerTo = async (...request: number[]): Promise<number | undefined> =>
      (await converse(port, Uint8Array.from([...GREETING, ...request]))).bytes[3]
    const closed = createServer().listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const address = closed.address()
    const closedPort = typeof address === 'object' ? (address?.port ?? 0) : 0
    await new Promise((done) => closed.close(done))
    expect(await answerTo(...connectTo(closedPort))).toBe(5)
    expect(await answerTo(5, 2, 0, 1, 127, 0, 0, 1, 0, 80)).toBe(7)
    expect(await answerTo(5, 3, 0, 1, 127, 0, 0, 1, 0, 80)).toBe(7)
    expect(await answerTo(5, 1, 0, 2, 127, 0, 0, 1, 0, 80)).toBe(8)
    expect(await answerTo(5, 1, 0, 3, 0, 0, 80)).toBe(8)
    await idle()
  })

  it('resets who speaks another protocol', async () => {
    const { port, idle } = await openPlugin(cleanUp, { type: 'socks5' })
    const { bytes, error } = await converse(port, Buffer.from('GET / HTTP/1.1\r\n\r\n'))
    expect(bytes.length).toBe(0)
    expect(error).toMatchObject({ code: 'ECONNRESET' })
    await idle()
  })

  it('passes a half-close on: the answer after the end arrives', async () => {
    const target = await listenTcp(cleanUp, (socket) => {
      socket.resume().once('end', () => socket.end('after your end'))
    })
    const { port, idle } = await openPlugin(cleanUp, { type: 'socks5' })
    const request = Uint8Array.from([...GREETING, ...connectTo(target), ...Buffer.from('question')])
    const { bytes, ended, error } = await converse(port, request, { end: true })
    expect(bytes.subarray(12).toString()).toBe('after your end')
    expect([ended, error]).toEqual([true, undefined])
    await idle()
  })

  it('passes a reset on: what was cut does not look complete', async () => {
    const target = await listenTcp(cleanUp, (socket) => {
      socket.once('data', () => socket.write('half of it', () => reset(socket)))
    })
    const { port, idle } = await openPlugin(cleanUp, { type: 'socks5' })
    const request = Uint8Array.from([...GREETING, ...connectTo(target), 1])
    const { ended, error } = await converse(port, request)
    expect(ended).toBe(false)
    expect(error).toMatchObject({ code: 'ECONNRESET' })
    await idle()
  })

  it('forgets who leaves before saying where to go', async () => {
    const { port, idle, running } = await openPlugin(cleanUp, { type: 'socks5' })
    for (const bytes of [[], [5], GREETING, [...GREETING, 5, 1]]) {
      await converse(port, Uint8Array.from(bytes), { end: true })
    }
    await idle()
    expect(running()).toBe(0)
  })
})
