import { createSocket } from 'node:dgram'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { completeVisitor } from '../../config/load.ts'
import { askUdp, CleanUp, converse, echoTcp, echoUdp } from './client-rig.ts'
import { CARRIERS, WRAPPINGS } from './rig/carriers.ts'
import { quietPorts } from './rig/ports.ts'
import { dialUser, endingOf, service, wordFor } from './rig/sockets.ts'
import { batched, startTunnel, type Tunnel } from './rig/tunnel.ts'
import { startVisitors, type TestVisitors } from './visitor-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const SECRET = 'a secret'
/** How often each ending has to come out right, over all wrappings. */
const TIMES = 200 / WRAPPINGS.length
const AT_ONCE = 25

function visitorsAt({ bindPort }: Pick<Tunnel, 'bindPort'>, visitors: object[], more: object = {}): TestVisitors {
  const auth = { token: 'tunnel-token' }
  return startVisitors(cleanUp, { serverAddr: '127.0.0.1', serverPort: bindPort, auth, ...more, visitors })
}

/** stcp with each wrapping, on both legs, to a service on `localPort`; answers the local ports. */
async function wrapped(localPort: number, carrier: object = {}): Promise<{ wrapping: string; port: number }[]> {
  const proxies = WRAPPINGS.map(({ wrapping: name, transport }) => ({
    name,
    type: 'stcp',
    localPort,
    secretKey: SECRET,
    transport,
  }))
  const tunnel = await startTunnel(cleanUp, { proxies, transport: carrier })
  const ports = await quietPorts(WRAPPINGS.length)
  const visitors = WRAPPINGS.map(({ wrapping, transport }, index) => ({
    name: `v-${wrapping}`,
    type: 'stcp',
    serverName: wrapping,
    secretKey: SECRET,
    bindPort: ports[index],
    transport,
  }))
  const { lines } = visitorsAt(tunnel, visitors, { transport: carrier })
  for (const { name } of visitors) await lines.waitFor(`[${name}] start visitor success`)
  await lines.waitFor('login to server success')
  return WRAPPINGS.map(({ wrapping }, index) => ({ wrapping, port: ports[index] ?? 0 }))
}

function tally(results: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const result of results) counts[result] = (counts[result] ?? 0) + 1
  return counts
}

const MUXED = CARRIERS.filter(
  ({ name }) => name === 'tcp' || name === 'TLS in websocket' || name === 'tcp, tcpMux = false',
)

describe.each(MUXED)('a stcp visitor over $name', { timeout: 60_000 }, ({ transport }) => {
  it('brings the answer to a request that ended in a half-close', async () => {
    const port = await service(cleanUp, (socket) => {
      let asked = 0
      socket.on('data', (part) => {
        asked += part.length
      })
      socket.on('end', () => socket.end(`asked ${asked}`))
    })
    for (const { wrapping, port: local } of await wrapped(port, transport)) {
      const results = await batched(TIMES, AT_ONCE, async (index) => {
        const user = dialUser(cleanUp, local)
        const over = endingOf(user)
        user.end(Buffer.alloc(index * 500))
        const { bytes, ended } = await over
        return ended && bytes.toString() === `asked ${index * 500}` ? 'ok' : `${ended} ${bytes}`
      })
      expect({ wrapping, ...tally(results) }).toEqual({ wrapping, ok: TIMES })
    }
  })

  it('brings a service that ended first all that its user says', async () => {
    const heard: Promise<string>[] = []
    const port = await service(cleanUp, (socket) => {
      heard.push(endingOf(socket).then((ending) => `${wordFor(ending)}: ${ending.bytes}`))
      socket.end('bye')
    })
    for (const { wrapping, port: local } of await wrapped(port, transport)) {
      heard.length = 0
      await batched(TIMES, AT_ONCE, async (index) => {
        const user = dialUser(cleanUp, local)
        const over = endingOf(user)
        user.on('end', () => user.end(`after ${index}`))
        expect((await over).bytes.toString()).toBe('bye')
        return ''
      })
      const expected = Array.from({ length: TIMES }, (_, index) => `a clean end: after ${index}`)
      expect([wrapping, ...(await Promise.all(heard)).toSorted()]).toEqual([wrapping, ...expected.toSorted()])
    }
  })

  it('brings the reset of either side to the other', async () => {
    const atService: Promise<string>[] = []
    let onSocket: (socket: Socket) => void = () => undefined
    const port = await service(cleanUp, (socket) => onSocket(socket))
    for (const { wrapping, port: local } of await wrapped(port, transport)) {
      atService.length = 0
      onSocket = (socket) => {
        atService.push(endingOf(socket).then(wordFor))
        socket.write('ready')
      }
      await batched(TIMES, AT_ONCE, async () => {
        const user = dialUser(cleanUp, local)
        const over = endingOf(user)
        user.once('data', () => user.resetAndDestroy())
        await over
        return ''
      })
      expect({ wrapping, ...tally(await Promise.all(atService)) }).toEqual({ wrapping, ECONNRESET: TIMES })
      onSocket = (socket) => socket.once('data', () => socket.resetAndDestroy())
      const atUser = await batched(TIMES, AT_ONCE, () => {
        const user = dialUser(cleanUp, local)
        user.write('go')
        return endingOf(user).then(wordFor)
      })
      expect({ wrapping, ...tally(atUser) }).toEqual({ wrapping, ECONNRESET: TIMES })
    }
  })
})

describe('a sudp visitor', { timeout: 30_000 }, () => {
  it('answers each of many users with what was meant for him', async () => {
    const [bindPort = 0] = await quietPorts(1)
    const localPort = await echoUdp(cleanUp)
    const transport = { useEncryption: true, useCompression: true }
    const proxy = { name: 'dns', type: 'sudp', localPort, secretKey: SECRET, transport }
    const tunnel = await startTunnel(cleanUp, { proxies: [proxy] })
    const visitor = { name: 'v', type: 'sudp', serverName: 'dns', secretKey: SECRET, bindPort, transport }
    await visitorsAt(tunnel, [visitor]).lines.waitFor('[v] start visitor success')
    await askUdp(bindPort, Buffer.from('open'))
    const users = await Promise.all(Array.from({ length: 40 }, (_, user) => resolveAll(bindPort, user, 100)))
    expect(tally(users.flat())).toEqual({ right: 4_000 })
  })
})

/** Asks `count` questions one after the other from one socket; `right` for each that came back as it went. */
function resolveAll(port: number, user: number, count: number): Promise<string[]> {
  const socket = createSocket('udp4')
  const results: string[] = []
  const question = (): Buffer => Buffer.from(`${user}.${results.length}.example.${'x'.repeat(results.length % 200)}`)
  return new Promise((resolve) => {
    socket.on('message', (answer) => {
      results.push(answer.equals(question()) ? 'right' : `not of ${user}: ${answer}`)
      if (results.length === count) socket.close(() => resolve(results))
      else socket.send(question(), port, '127.0.0.1')
    })
    socket.send(question(), port, '127.0.0.1')
  })
}

describe('the visitors of a client', { timeout: 30_000 }, () => {
  async function owner(): Promise<Tunnel> {
    const localPort = await echoTcp(cleanUp)
    return startTunnel(cleanUp, { proxies: [{ name: 's', type: 'stcp', localPort, secretKey: SECRET }] })
  }

  const say = async (port: number): Promise<string> =>
    (await converse(port, Buffer.from('hello'), { end: true })).bytes.toString()

  it('come and go with a reload, and who is here stays', async () => {
    const tunnel = await owner()
    const [first = 0, second = 0] = await quietPorts(2)
    const visitor = { name: 'v', type: 'stcp', serverName: 's', secretKey: SECRET, bindPort: first }
    const { lines, update } = visitorsAt(tunnel, [visitor])
    await lines.waitFor('[v] start visitor success')
    const user = dialUser(cleanUp, first)
    const over = endingOf(user)
    await new Promise<void>((resolve) => {
      user.once('data', () => resolve())
      user.write('one ')
    })
    update([completeVisitor({ ...visitor, bindPort: second })])
    await lines.waitFor('visitor removed: [v]')
    await lines.waitFor(`start visitor success, listen on 127.0.0.1:${second}`)
    expect(await say(second)).toBe('hello')
    expect(wordFor(await endingOf(dialUser(cleanUp, first)))).toBe('ECONNREFUSED')
    user.end('two')
    expect(await over).toMatchObject({ ended: true })
    update([])
    await expect.poll(() => isRefused(second)).toBe(true)
  })

  it('are tried again while their port is taken', async () => {
    const tunnel = await owner()
    const [bindPort = 0] = await quietPorts(1)
    const squatter = createServer()
    await new Promise<void>((resolve) => squatter.listen(bindPort, '127.0.0.1', resolve))
    const visitor = { name: 'v', type: 'stcp', serverName: 's', secretKey: SECRET, bindPort }
    const auth = { token: 'tunnel-token' }
    const config = { serverAddr: '127.0.0.1', serverPort: tunnel.bindPort, auth, visitors: [visitor] }
    const { lines } = startVisitors(cleanUp, config, 50)
    await lines.waitFor('[v] start error: listen tcp')
    await new Promise((resolve) => squatter.close(resolve))
    await lines.waitFor('[v] start visitor success')
    expect(await say(bindPort)).toBe('hello')
  })

  it('are refused with a reset when the secret is wrong, and say why', async () => {
    const tunnel = await owner()
    const [bindPort = 0] = await quietPorts(1)
    const visitor = { name: 'v', type: 'stcp', serverName: 's', secretKey: 'wrong', bindPort }
    const { lines } = visitorsAt(tunnel, [visitor])
    await lines.waitFor('[v] start visitor success')
    expect(wordFor(await endingOf(dialUser(cleanUp, bindPort)))).toBe('ECONNRESET')
    await lines.waitFor('[v] visit refused: visitor connection of [s] auth failed')
  })

  it('of type xtcp hand their users to fallbackTo, and say it when that leads nowhere', async () => {
    const tunnel = await owner()
    const ports = await quietPorts(4)
    const xtcp = (name: string, fallbackTo: string, at: number): object => ({
      name,
      type: 'xtcp',
      serverName: 's',
      bindPort: ports[at],
      fallbackTo,
    })
    const { lines } = visitorsAt(tunnel, [
      { name: 'by-relay', type: 'stcp', serverName: 's', secretKey: SECRET, bindPort: -1 },
      xtcp('good', 'further', 0),
      xtcp('further', 'by-relay', 1),
      xtcp('round', 'round', 2),
      xtcp('nowhere', '', 3),
    ])
    for (const name of ['by-relay', 'good', 'further', 'round', 'nowhere']) {
      await lines.waitFor(`[${name}] start visitor success`)
    }
    expect(await say(ports[0] ?? 0)).toBe('hello')
    expect(wordFor(await endingOf(dialUser(cleanUp, ports[2] ?? 0)))).toBe('ECONNRESET')
    await lines.waitFor('[round] open tunnel error: fallbackTo of visitor [round] leads back to itself')
    expect(wordFor(await endingOf(dialUser(cleanUp, ports[3] ?? 0)))).toBe('ECONNRESET')
    await lines.waitFor('[nowhere] open tunnel error: xtcp has no tunnel')
  })

  it('are no visitors without a port where one is needed', async () => {
    const tunnel = await owner()
    const { lines } = visitorsAt(tunnel, [{ name: 'u', type: 'sudp', serverName: 's', bindPort: -1 }])
    await lines.waitFor('[u] start error: bindPort -1, but a visitor of type sudp needs a port')
  })
})

function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.on('error', () => resolve(true))
  })
}
