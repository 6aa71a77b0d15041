import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { udpPacket } from '../../protocol/frp/udp.ts'
import { CleanUp } from '../e2e/client-rig.ts'
import { dataFrame, logIn, loginFrame, WorkConn, yamux } from './hostile-client.ts'
import { type HostilePeer, hostile } from './hostile-peer.ts'
import { freePort, hostRelay } from './hostile-relay.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

/** A logged-in peer that plays bytes: yamux frames of its own making. */
async function loggedInPeer(port: number): Promise<HostilePeer> {
  const peer = await hostile(cleanUp, port)
  peer.raw(loginFrame())
  await peer.until(() => peer.received.includes('run_id'))
  return peer
}

describe('L5: streams and memory of one client', () => {
  it('resets streams beyond the limit, and the session lives', async () => {
    const relay = await hostRelay(cleanUp, { maxStreamsPerClient: 4 })
    const client = await logIn(cleanUp, relay.port)
    const streams = Array.from({ length: 8 }, () => new WorkConn(client.session.open(), { type: 'NewWorkConn' }))
    await Promise.all(streams.map((stream) => stream.until(() => stream.isClosed)))
    // The control stream is one of the four; who was let in is told why, who was not is reset.
    expect(streams.filter((stream) => stream.messages.length > 0).length).toBeGreaterThanOrEqual(3)
    expect(streams.filter((stream) => stream.messages.length === 0).length).toBeGreaterThan(0)
    await client.pong()
  })

  it('holds no more than allowed for users who do not read, and others go on', async () => {
    const limit = 512 * 1024
    const relay = await hostRelay(cleanUp, { sessionMemoryBytes: limit })
    const client = await logIn(cleanUp, relay.port)
    const remotePort = await freePort()
    let most = 0
    const works: WorkConn[] = []
    let isEcho = false
    let closed = 0
    client.serve((work) => {
      works.push(work)
      const { stream, head } = work.channel.detach()
      const chunk = new Uint8Array(64 * 1024)
      const fill = (): void => {
        for (let i = 0; i < 64; i++) {
          most = Math.max(most, relay.server.relay.heldBytes)
          if (!stream.write(chunk.slice())) return
        }
        setImmediate(fill)
      }
      stream.attach(
        {
          onData: (data) => stream.write(data.slice()) || true,
          onEnd: () => stream.end(),
          onDrain: () => void (isEcho || fill()),
          onClose: () => {
            closed += 1
          },
        },
        head,
      )
      stream.resume()
      if (!isEcho) fill()
    })
    expect(await client.register({ proxy_name: 't', remote_port: remotePort })).toMatchObject({ error: '' })
    const greedy = Array.from({ length: 6 }, () => connect(remotePort, '127.0.0.1').pause())
    for (const socket of greedy) {
      socket.on('error', () => undefined)
      cleanUp.add(() => void socket.destroy())
    }
    await vi.waitUntil(() => works.length === 6 && closed > 0)
    expect(most).toBeLessThanOrEqual(limit + 256 * 1024)
    isEcho = true
    const user = await hostile(cleanUp, remotePort)
    user.raw('hello')
    await user.until(() => user.received.toString() === 'hello' || user.isClosed)
    expect(user.received.toString()).toBe('hello')
  })

  it('gives up streams that a client never ends', async () => {
    const relay = await hostRelay(cleanUp)
    const client = await logIn(cleanUp, relay.port)
    const remotePort = await freePort()
    const works: WorkConn[] = []
    client.serve((work) => void works.push(work))
    await client.register({ proxy_name: 't', remote_port: remotePort })
    const user = await hostile(cleanUp, remotePort)
    await vi.waitUntil(() => works.length > 0)
    user.socket.end()
    await works[0]?.until(() => works[0]?.isClosed === true)
    relay.clock.advance(6 * 60_000)
    await user.closed()
  })
})

describe('L6: frames that carry nothing', () => {
  it.each([
    ['U7: pings that nobody reads the answers of', () => yamux(2, 1, 0, 1)],
    ['U8: empty updates', () => yamux(1, 0, 1, 0)],
    ['frames for streams that are not there', () => yamux(1, 0, 99, 10)],
    [
      'U8: streams that are opened and reset',
      (i: number) => Buffer.concat([yamux(1, 1, 101 + 2 * i, 0), yamux(1, 8, 101 + 2 * i, 0)]),
    ],
  ])('%s end the session, and no other', async (_what, make) => {
    const relay = await hostRelay(cleanUp, { idleFramesBurst: 500, idleFramesPerSecond: 10 })
    const other = await logIn(cleanUp, relay.port)
    const peer = await loggedInPeer(relay.port)
    peer.socket.pause()
    for (let i = 0; i < 20; i++) peer.raw(Buffer.concat(Array.from({ length: 50 }, (_, j) => make(50 * i + j))))
    const line = await relay.lines.waitFor('too many frames that carry nothing')
    expect(line).toContain('client exit')
    peer.socket.resume()
    await peer.closed()
    await other.pong()
    expect(relay.server.relay.clientCount).toBe(1)
  })

  it('may come at the rate for ever', async () => {
    const relay = await hostRelay(cleanUp, { idleFramesBurst: 50, idleFramesPerSecond: 50 })
    const peer = await loggedInPeer(relay.port)
    for (let second = 1; second <= 20; second++) {
      peer.raw(Buffer.concat(Array.from({ length: 45 }, (_, i) => yamux(2, 1, 0, second * 100 + i))))
      await peer.until(() => peer.received.includes(yamux(2, 2, 0, second * 100 + 44)) || peer.isClosed)
      expect(peer.isClosed).toBe(false)
      relay.clock.advance(1_000)
    }
  })
})

describe('L4: WebSocket messages of a client', () => {
  it('may be larger after the login, and end with 1009 beyond the limit', async () => {
    const relay = await hostRelay(cleanUp, { maxMessageBytes: 100_000 })
    const peer = await hostile(cleanUp, relay.port, { carrier: 'websocket' })
    peer.send(loginFrame())
    await peer.until(() => peer.payload.includes('run_id'))
    // Two frames for a stream that is not there, in one message of more than a stranger may send.
    peer.send(Buffer.concat([dataFrame(9, Buffer.alloc(90_000)), yamux(2, 1, 0, 3)]))
    await peer.until(() => peer.payload.includes(yamux(2, 2, 0, 3)) || peer.isClosed)
    expect(peer.isClosed).toBe(false)
    peer.send(dataFrame(9, Buffer.alloc(100_000)))
    await peer.until(() => peer.closeCode !== undefined || peer.isClosed)
    expect(peer.closeCode).toBe(1009)
  })
})

describe('L10, C9: datagrams', () => {
  it('leave only to who was heard in the last minute', async () => {
    const relay = await hostRelay(cleanUp, { udpIdleSeconds: 30, udpSessionsPerProxy: 2 })
    const client = await logIn(cleanUp, relay.port)
    const remotePort = await freePort()
    const works: WorkConn[] = []
    client.serve((work) => void works.push(work))
    await client.register({ proxy_name: 'u', proxy_type: 'udp', remote_port: remotePort })
    const users = await Promise.all(Array.from({ length: 4 }, () => udpUser()))
    const [first, second, third, never] = users
    if (!first || !second || !third || !never) throw new Error('four users')
    for (const user of [first, second, third]) {
      user.send(remotePort)
      await vi.waitUntil(() => works.length > 0)
      await works[0]?.until(
        () => works[0]?.messages.some((one) => one.type === 'UDPPacket' && one.r?.Port === user.port) === true,
      )
    }
    const answerAll = (text: string): void => {
      for (const { port } of users) works[0]?.channel.send(udpPacket(Buffer.from(text), { ip: '127.0.0.1', port }))
    }
    answerAll('a')
    await third.until('a')
    relay.clock.advance(30_001)
    second.send(remotePort)
    await works[0]?.until(() => works[0]?.messages.filter((one) => one.type === 'UDPPacket').length === 4)
    answerAll('b')
    await second.until('b')
    expect(users.map((user) => user.heard.join(''))).toEqual(['', 'ab', 'a', ''])
  })
})

describe('L12: a full relay', () => {
  it('takes no new users, says 503, and does again when there is room', async () => {
    const vhostHTTPPort = await freePort()
    const relay = await hostRelay(cleanUp, { maxMemoryBytes: 20 * 1024 * 1024 }, { vhostHTTPPort })
    const client = await logIn(cleanUp, relay.port)
    const remotePort = await freePort()
    client.serve((work) => {
      const { stream, head } = work.channel.detach()
      const answer = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
      stream.attach(
        {
          onData: () => stream.write(answer) || true,
          onEnd: () => stream.end(),
          onDrain() {},
          onClose() {},
        },
        head,
      )
    })
    await client.register(http('h'))
    await client.register({ proxy_name: 't', remote_port: remotePort })
    let held = 16 * 1024 * 1024
    Object.defineProperty(relay.server.relay, 'heldBytes', { get: () => held })
    const ask = async (port: number): Promise<string> => {
      relay.clock.advance(100)
      const user = await hostile(cleanUp, port)
      user.raw('GET / HTTP/1.1\r\nHost: h.example\r\n\r\n')
      await user.until(() => user.isClosed || user.received.includes('\r\n\r\n'))
      return user.received.toString()
    }
    expect(await ask(vhostHTTPPort)).toMatch(/^HTTP\/1.1 503 [\s\S]*edgefrp-error: LIMIT/)
    expect(await ask(remotePort)).toBe('')
    held -= 1
    expect(await ask(vhostHTTPPort)).toMatch(/^HTTP\/1.1 200 /)
    expect(await ask(remotePort)).toMatch(/^HTTP\/1.1 200 /)
  })
})

function http(name: string) {
  return { proxy_name: name, proxy_type: 'http', custom_domains: [`${name}.example`] }
}

async function udpUser() {
  const socket = createSocket('udp4')
  cleanUp.add(() => new Promise((resolve) => socket.close(() => resolve())))
  const heard: string[] = []
  let changed: (() => void) | undefined
  socket.on('message', (payload) => {
    heard.push(payload.toString())
    changed?.()
  })
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  return {
    heard,
    port: socket.address().port,
    send: (port: number) => void socket.send('x', port, '127.0.0.1'),
    until: async (text: string) => {
      while (!heard.includes(text)) {
        await new Promise<void>((resolve) => {
          changed = resolve
        })
      }
    },
  }
}
