import type { Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { openTunnel, parseProxyUrl } from '../../../client/tunnel.ts'
import { dial } from '../../../node/dial.ts'
import { CleanUp, listenTcp } from '../../e2e/client-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

/** A proxy that answers each of our messages with the next script entry, byte by byte. */
async function scripted(answers: readonly (string | Buffer)[]): Promise<{ port: number; heard: Buffer[] }> {
  const heard: Buffer[] = []
  const port = await listenTcp(cleanUp, (socket) => {
    let next = 0
    socket.setNoDelay(true)
    socket.on('data', (part) => {
      heard.push(part)
      for (const byte of Buffer.from(answers[next++] ?? '')) socket.write(Buffer.of(byte))
    })
    socket.on('end', () => socket.end())
  })
  return { port, heard }
}

async function through(url: string, port: number, host = 'relay.example', to = 7000): Promise<Socket> {
  const socket = await dial({ host: '127.0.0.1', port })
  cleanUp.add(() => {
    socket.destroy()
  })
  await openTunnel(socket, parseProxyUrl(url), host, to)
  return socket
}

function firstBytes(socket: Socket): Promise<string> {
  return new Promise((resolve) => socket.once('data', (part) => resolve(part.toString())))
}

describe('parseProxyUrl', () => {
  it('reads frp’s schemes, and refuses the others without showing the password', () => {
    expect(parseProxyUrl('http://u:p%40@proxy:8080')).toEqual({
      scheme: 'http',
      host: 'proxy',
      port: 8080,
      user: 'u',
      password: 'p@',
    })
    expect(parseProxyUrl('socks5://[::1]')).toMatchObject({ host: '::1', port: 1080 })
    for (const url of ['ntlm://u:secret@h:1', 'ftp://u:secret@h:1', 'nothing']) {
      expect(() => parseProxyUrl(url)).toThrow(/^(?!.*secret)/)
    }
  })
})

describe('a tunnel through an HTTP proxy', () => {
  it('is asked for as frpc does, and loses no byte that follows the answer', async () => {
    const { port, heard } = await scripted(['HTTP/1.1 200 OK\r\nX: y\r\n\r\nafter'])
    const socket = await through('http://me:pw@ignored', port)
    expect(Buffer.concat(heard).toString()).toBe(
      'CONNECT relay.example:7000 HTTP/1.1\r\nHost: relay.example:7000\r\nUser-Agent: Mozilla/5.0\r\n' +
        'Proxy-Authorization: Basic bWU6cHc=\r\n\r\n',
    )
    let text = ''
    while (text.length < 5) text += await firstBytes(socket)
    expect(text).toBe('after')
  })

  it('is refused by any other status, by nonsense, by an end and by a head without end', async () => {
    const cases: [string, string][] = [
      ['HTTP/1.1 407 Proxy Authentication Required\r\n\r\n', 'StatusCode [407]'],
      ['SSH-2.0-OpenSSH\r\n\r\n', 'something else than HTTP'],
      ['x'.repeat(17_000), 'at most 16384'],
    ]
    for (const [answer, text] of cases) {
      const { port } = await scripted([answer])
      await expect(through('http://ignored', port)).rejects.toThrow(text)
    }
    const closing = await listenTcp(cleanUp, (socket) => socket.end('HTTP/1.1 2'))
    await expect(through('http://ignored', closing)).rejects.toThrow('the connection was closed')
  })
})

describe('a tunnel through a SOCKS5 proxy', () => {
  it('names the relay and leaves the look-up to the proxy', async () => {
    const { port, heard } = await scripted([Buffer.of(5, 0), Buffer.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x61)])
    const socket = await through('socks5://ignored', port)
    expect(heard.map((part) => part.toString('latin1'))).toEqual([
      '\x05\x01\x00',
      '\x05\x01\x00\x03\x0drelay.example\x1b\x58',
    ])
    expect(await firstBytes(socket)).toBe('a')
  })

  it('gives user and password where they are asked for', async () => {
    const { port, heard } = await scripted([
      Buffer.of(5, 2),
      Buffer.of(1, 0),
      Buffer.concat([Buffer.of(5, 0, 0, 3, 2), Buffer.from('ab'), Buffer.of(0, 0)]),
    ])
    await through('socks5://me:pw@ignored', port, '203.0.113.9')
    expect(heard.map((part) => part.toString('latin1'))).toEqual([
      '\x05\x02\x00\x02',
      '\x01\x02me\x02pw',
      '\x05\x01\x00\x01\xcb\x00\x71\x09\x1b\x58',
    ])
  })

  it('ends with what the proxy refused', async () => {
    const cases: [Buffer[], string][] = [
      [[Buffer.of(5, 0xff)], 'authentication method 255'],
      [[Buffer.of(4, 0)], 'speaks version 4'],
      [[Buffer.of(5, 0), Buffer.of(5, 5, 0, 1)], 'answered error 5'],
      [[Buffer.of(5, 0), Buffer.of(5, 0, 0, 9)], 'address type 9'],
    ]
    for (const [answers, text] of cases) {
      const { port } = await scripted(answers)
      await expect(through('socks5://ignored', port)).rejects.toThrow(text)
    }
  })
})
