import { afterEach, describe, expect, it } from 'vitest'
import { loadQuic } from '../../node/quic.ts'
import { CleanUp, converse, echoTcp, startClient } from './client-rig.ts'
import { quietPorts } from './rig/ports.ts'
import { dialUser, endingOf, service, wordFor } from './rig/sockets.ts'
import { startStun } from './rig/stun.ts'
import { batched, startTunnel, type Tunnel } from './rig/tunnel.ts'
import { startVisitors, type TestVisitors } from './visitor-rig.ts'

const hasQuic = (await loadQuic()) !== undefined
if (!hasQuic) console.warn('SKIPPED: tunnels of xtcp need the package @matrixai/quic')

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const TIMES = 20

interface Pair {
  tunnel: Tunnel
  visitors: TestVisitors
  port: number
}

/** An owner and a visitor of ours, whose relay is in this process; `stun`: where they learn their addresses. */
async function pair(
  localPort: number,
  stun: number,
  visitor: object = {},
  others: object[] = [],
  speed = 1,
  wires: { owns: string; visits: string } = { owns: 'v1', visits: 'v1' },
): Promise<Pair> {
  const natHoleStunServer = `127.0.0.1:${stun}`
  const tunnel = await startTunnel(cleanUp, {
    client: { natHoleStunServer },
    transport: { wireProtocol: wires.owns },
    proxies: [
      { name: 'p2p', type: 'xtcp', localPort, secretKey: 'k' },
      { name: 'by-relay', type: 'stcp', localPort, secretKey: 'k' },
    ],
  })
  const [port = 0] = await quietPorts(1)
  const config = {
    serverAddr: '127.0.0.1',
    serverPort: tunnel.bindPort,
    auth: { token: 'tunnel-token' },
    transport: { wireProtocol: wires.visits },
    natHoleStunServer,
    visitors: [{ name: 'v', type: 'xtcp', serverName: 'p2p', secretKey: 'k', bindPort: port, ...visitor }, ...others],
  }
  const visitors = startVisitors(cleanUp, config, speed)
  await visitors.lines.waitFor('[v] start visitor success')
  return { tunnel, visitors, port }
}

const BY_RELAY = { name: 'fallback', type: 'stcp', serverName: 'by-relay', secretKey: 'k', bindPort: -1 }

describe.skipIf(!hasQuic)('xtcp between our own ends', { timeout: 40_000 }, () => {
  it('carries half-closes and resets as what they are', async () => {
    let onSocket: (socket: ReturnType<typeof dialUser>) => void = () => undefined
    const atService: Promise<string>[] = []
    const local = await service(cleanUp, (socket) => onSocket(socket))
    const { port, visitors } = await pair(local, await startStun(cleanUp))
    onSocket = (socket) => {
      let asked = 0
      socket.on('data', (part) => {
        asked += part.length
      })
      socket.on('end', () => socket.end(`asked ${asked}`))
    }
    const answers = await batched(TIMES, 5, async (index) => {
      const user = dialUser(cleanUp, port)
      const over = endingOf(user)
      user.end(Buffer.alloc(index * 500))
      const { bytes, ended } = await over
      return `${ended} ${bytes}`
    })
    expect(answers).toEqual(Array.from({ length: TIMES }, (_, index) => `true asked ${index * 500}`))
    onSocket = (socket) => {
      atService.push(endingOf(socket).then((ending) => `${wordFor(ending)}: ${ending.bytes}`))
      socket.end('bye')
    }
    await batched(TIMES, 5, async (index) => {
      const user = dialUser(cleanUp, port)
      user.on('end', () => user.end(`after ${index}`))
      // A stream of QUIC is not there for the other end before something was sent on it, in stock frp neither.
      user.write('go ')
      await endingOf(user)
    })
    const expected = Array.from({ length: TIMES }, (_, index) => `a clean end: go after ${index}`)
    expect((await Promise.all(atService.splice(0))).toSorted()).toEqual(expected.toSorted())
    onSocket = (socket) => {
      atService.push(endingOf(socket).then(wordFor))
      socket.write('ready')
    }
    await batched(TIMES, 5, async () => {
      const user = dialUser(cleanUp, port)
      user.once('data', () => user.resetAndDestroy())
      user.write('go')
      await endingOf(user)
    })
    expect(await Promise.all(atService)).toEqual(Array(TIMES).fill('ECONNRESET'))
    onSocket = (socket) => socket.once('data', () => socket.resetAndDestroy())
    const words = await batched(TIMES, 5, () => {
      const user = dialUser(cleanUp, port)
      user.write('go')
      return endingOf(user).then(wordFor)
    })
    expect(words).toEqual(Array(TIMES).fill('ECONNRESET'))
    expect(visitors.lines.lines.filter((line) => line.includes('establishing nat hole'))).toHaveLength(1)
  })

  it.each([
    { owns: 'v2', visits: 'v2' },
    { owns: 'v1', visits: 'v2' },
    { owns: 'v2', visits: 'v1' },
  ])('meets whichever wire each of them speaks to the relay, %o', async (wires) => {
    const { port, visitors } = await pair(await echoTcp(cleanUp), await startStun(cleanUp), {}, [], 1, wires)
    expect((await converse(port, Buffer.from('hello'), { end: true })).bytes.toString()).toBe('hello')
    await visitors.lines.waitFor('[v] establishing nat hole connection successful')
  })

  it('keeps its tunnel when the relay goes', async () => {
    const { port, tunnel, visitors } = await pair(await echoTcp(cleanUp), await startStun(cleanUp))
    const user = dialUser(cleanUp, port)
    const over = endingOf(user)
    await new Promise<void>((resolve) => {
      user.once('data', () => resolve())
      user.write('one ')
    })
    await tunnel.server.close()
    await visitors.lines.waitFor('session ended')
    user.end('two')
    const { bytes, ended } = await over
    expect([bytes.toString(), ended]).toEqual(['one two', true])
  })

  it('falls back to the relay when there is no way through', async () => {
    // Nobody answers for STUN.
    const [nobody = 0] = await quietPorts(1)
    const visitor = { fallbackTo: 'fallback', fallbackTimeoutMs: 300 }
    const { port, visitors } = await pair(await echoTcp(cleanUp), nobody, visitor, [BY_RELAY])
    expect((await converse(port, Buffer.from('hello'), { end: true })).bytes.toString()).toBe('hello')
    await visitors.lines.waitFor('[v] open tunnel error: open tunnel timeout; try to transfer connection')
  })

  it('falls back as soon as it is known that there is no tunnel', async () => {
    const visitor = { serverName: 'nobody', fallbackTo: 'fallback', fallbackTimeoutMs: 60_000 }
    const { port, visitors } = await pair(await echoTcp(cleanUp), await startStun(cleanUp), visitor, [BY_RELAY])
    for (const time of ['first', 'second']) {
      expect((await converse(port, Buffer.from(time), { end: true })).bytes.toString()).toBe(time)
    }
    await visitors.lines.waitFor("[v] make tunnel error: xtcp server for [nobody] doesn't exist")
  })

  it('lets who has no other way wait for the next try', async () => {
    const stun = await startStun(cleanUp)
    const { port, tunnel, visitors } = await pair(await echoTcp(cleanUp), stun, { serverName: 'late' }, [], 4)
    const answer = converse(port, Buffer.from('hello'), { end: true })
    await visitors.lines.waitFor("xtcp server for [late] doesn't exist")
    const late = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: tunnel.bindPort,
      auth: { token: 'tunnel-token' },
      natHoleStunServer: `127.0.0.1:${stun}`,
      proxies: [{ name: 'late', type: 'xtcp', localPort: await echoTcp(cleanUp), secretKey: 'k' }],
    })
    await late.lines.waitFor('[late] start proxy success')
    expect((await answer).bytes.toString()).toBe('hello')
  })

  it('opens its tunnel before anybody comes, if asked to', async () => {
    const { visitors } = await pair(await echoTcp(cleanUp), await startStun(cleanUp), { keepTunnelOpen: true })
    await visitors.lines.waitFor('[v] establishing nat hole connection successful')
  })

  it('says that it speaks no KCP, and falls back', async () => {
    const visitor = { protocol: 'kcp', fallbackTo: 'fallback' }
    const { port, visitors } = await pair(await echoTcp(cleanUp), await startStun(cleanUp), visitor, [BY_RELAY])
    await visitors.lines.waitFor('[v] xtcp has no tunnel over KCP')
    expect((await converse(port, Buffer.from('hello'), { end: true })).bytes.toString()).toBe('hello')
  })
})
