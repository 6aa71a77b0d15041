import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import {
  askUdp,
  CleanUp,
  converse,
  echoTcp,
  echoUdp,
  freePorts,
  listenTcp,
  startClient,
  type TestClient,
} from './client-rig.ts'
import { startRelay } from './frps-rig.ts'
import { dialLocal, type End, endOf, startVisits } from './visitor-rig.ts'

const TOKEN = { auth: { token: 'visit-token' } }
const PUBLIC = { metadatas: { 'edgefrp.visit': 'public' } }
const ROUNDS = 200

/** Runs `round` for each number, some at a time, and answers all that came out. */
async function rounds<T>(round: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = []
  for (let start = 0; start < ROUNDS; start += 25) {
    const some = Array.from({ length: 25 }, (_, index) => round(start + index))
    results.push(...(await Promise.all(some)))
  }
  return results
}

describe('visits of a file', () => {
  const cleanUp = new CleanUp()
  let local: Record<'own' | 'key' | 'public' | 'other' | 'wrongKey' | 'wrongPort' | 'service', number>
  let lines: ReturnType<typeof startVisits>
  let onSocket: (socket: Socket) => void

  beforeAll(async () => {
    const ports = await freePorts(11)
    const [bindPort = 0, echo = 0, service = 0, nobody = 0, own = 0, key = 0, open = 0, other = 0, ...rest] = ports
    const [wrongKey = 0, wrongPort = 0, visited = 0] = rest
    await startRelay(cleanUp, { bindPort, ...TOKEN })
    const client = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: bindPort,
      ...TOKEN,
      proxies: [
        {
          name: 'echo',
          type: 'tcp',
          localPort: await echoTcp(cleanUp),
          remotePort: echo,
          metadatas: { 'edgefrp.visitKey': 'k', 'edgefrp.visit': 'public' },
        },
        {
          name: 'service',
          type: 'tcp',
          localPort: await listenTcp(cleanUp, (socket) => onSocket(socket)),
          remotePort: service,
          metadatas: { 'edgefrp.visitKey': 'k' },
        },
      ],
    })
    await client.lines.waitFor('[echo] start proxy success')
    await client.lines.waitFor('[service] start proxy success')
    const server = `ws://127.0.0.1:${bindPort}`
    lines = startVisits(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: bindPort,
      ...TOKEN,
      edgefrp: {
        visits: [
          { name: 'own', port: echo, bindPort: own },
          { name: 'key', port: echo, bindPort: key, visitKey: 'k' },
          { name: 'public', port: echo, bindPort: open, server },
          { name: 'other', port: echo, bindPort: other, server, token: TOKEN.auth.token },
          { name: 'wrongKey', port: service, bindPort: wrongKey, visitKey: 'wrong' },
          { name: 'wrongPort', port: nobody, bindPort: wrongPort },
          { name: 'service', port: service, bindPort: visited },
        ],
      },
    })
    local = { own, key, public: open, other, wrongKey, wrongPort, service: visited }
    for (const name of Object.keys(local)) await lines.waitFor(`[${name}] visit of tcp port`)
  })
  afterAll(() => cleanUp.run())

  for (const way of ['own', 'key', 'public', 'other'] as const) {
    it(`echo what several users say at once (${way})`, async () => {
      const bytes = randomBytes(300_000)
      const answers = await Promise.all([1, 2, 3].map(() => converse(local[way], bytes, { end: true })))
      for (const answer of answers) {
        expect([answer.ended, answer.error, answer.bytes.equals(bytes)]).toEqual([true, undefined, true])
      }
    })
  }

  it('carry 20 MB both ways', async () => {
    const sum = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
    const bytes = randomBytes(20_000_000)
    const answer = await converse(local.own, bytes, { end: true })
    expect([sum(answer.bytes), answer.ended, answer.error]).toEqual([sum(bytes), true, undefined])
  })

  it('carry the half-close of a user, and what the service answers after it', async () => {
    onSocket = (socket) => {
      let asked = 0
      socket.on('data', (part) => {
        asked += part.length
      })
      socket.on('end', () => socket.end(`asked ${asked}`))
    }
    const answers = await rounds((index) => converse(local.service, Buffer.alloc(index * 100), { end: true }))
    answers.forEach((answer, index) => {
      expect([answer.bytes.toString(), answer.ended, answer.error]).toEqual([`asked ${index * 100}`, true, undefined])
    })
  })

  it('carry the half-close of a service, and what the user says after it', async () => {
    const atService: Promise<End>[] = []
    onSocket = (socket) => {
      atService.push(endOf(socket))
      socket.end('bye')
    }
    await rounds(async (index) => {
      const user = dialLocal(local.service)
      const over = endOf(user)
      user.on('end', () => user.end(`after ${index}`))
      expect(await over).toEqual({ text: 'bye', ended: true, code: undefined })
    })
    const ends = await Promise.all(atService)
    const expected = Array.from({ length: ROUNDS }, (_, index) => `after ${index}`)
    expect(ends.map(({ text }) => text).toSorted()).toEqual(expected.toSorted())
    expect(ends.filter(({ ended, code }) => !ended || code !== undefined)).toEqual([])
  })

  it('carry the reset of a user', async () => {
    const atService: Promise<End>[] = []
    onSocket = (socket) => {
      atService.push(endOf(socket))
      socket.write('ready')
    }
    await rounds(async () => {
      const user = dialLocal(local.service)
      const over = endOf(user)
      user.once('data', () => user.resetAndDestroy())
      await over
    })
    const ends = await Promise.all(atService)
    expect(ends.filter(({ ended, code }) => !ended && code === 'ECONNRESET')).toHaveLength(ROUNDS)
  })

  it('carry the reset of a service', async () => {
    onSocket = (socket) => {
      socket.once('data', () => socket.resetAndDestroy())
    }
    const ends = await rounds(() => {
      const user = dialLocal(local.service)
      user.write('go')
      return endOf(user)
    })
    expect(ends.filter(({ ended, code }) => !ended && code === 'ECONNRESET')).toHaveLength(ROUNDS)
  })

  it('are refused with a reset and a line', async () => {
    for (const [name, line] of [
      ['wrongKey', /\[wrongKey\] visit refused: visitor connection of \[tcp:\d+\] auth failed/],
      ['wrongPort', /\[wrongPort\] visit refused: no proxy at \[tcp:\d+\]/],
    ] as const) {
      const since = lines.lines.length
      expect(await endOf(dialLocal(local[name]))).toMatchObject({ ended: false, code: 'ECONNRESET' })
      expect(await lines.waitFor('visit refused', since)).toMatch(line)
    }
  })
})

describe('visits while the relay is away', () => {
  const cleanUp = new CleanUp()
  afterEach(() => cleanUp.run())

  async function setUp(): Promise<{ ports: number[]; client: TestClient; relay: CleanUp; start(): Promise<void> }> {
    const ports = await freePorts(6)
    const [bindPort = 0, tcp = 0, udp = 0] = ports
    const relay = new CleanUp()
    cleanUp.add(() => relay.run())
    const start = async (): Promise<void> => void (await startRelay(relay, { bindPort, ...TOKEN }))
    await start()
    const client = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: bindPort,
      ...TOKEN,
      proxies: [
        { name: 't', type: 'tcp', localPort: await echoTcp(cleanUp), remotePort: tcp, ...PUBLIC },
        { name: 'u', type: 'udp', localPort: await echoUdp(cleanUp), remotePort: udp, ...PUBLIC },
      ],
    })
    await client.lines.waitFor('[t] start proxy success')
    await client.lines.waitFor('[u] start proxy success')
    return { ports, client, relay, start }
  }

  it('wait for it', async () => {
    const { ports } = await setUp()
    const [bindPort = 0, tcp = 0, , own = 0, stranger = 0, gate = 0] = ports
    const lines = startVisits(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: gate,
      ...TOKEN,
      loginFailExit: false,
      edgefrp: {
        visits: [
          { name: 'own', port: tcp, bindPort: own },
          { name: 'stranger', port: tcp, bindPort: stranger, server: `127.0.0.1:${gate}` },
        ],
      },
    })
    await lines.waitFor('[own] visit of')
    await lines.waitFor('[stranger] visit of')
    const answers = [own, stranger].map((port) => converse(port, Buffer.from('hello'), { end: true }))
    await lines.waitFor('connect to server error')
    await openGate(cleanUp, gate, bindPort)
    expect((await Promise.all(answers)).map(({ bytes }) => bytes.toString())).toEqual(['hello', 'hello'])
  })

  it('go on when it is back', async () => {
    const { ports, client, relay, start } = await setUp()
    const [bindPort = 0, tcp = 0, udp = 0, own = 0, stranger = 0, datagrams = 0] = ports
    const lines = startVisits(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: bindPort,
      ...TOKEN,
      edgefrp: {
        visits: [
          { name: 'own', port: tcp, bindPort: own },
          { name: 'stranger', port: tcp, bindPort: stranger, server: `127.0.0.1:${bindPort}` },
          { name: 'datagrams', type: 'udp', port: udp, bindPort: datagrams },
        ],
      },
    })
    const ask = async (port: number): Promise<string> =>
      (await converse(port, Buffer.from('hello'), { end: true })).bytes.toString()
    const all = async (): Promise<string[]> => [await ask(own), await ask(stranger), ...(await askTwo(datagrams))]
    for (const name of ['own', 'stranger', 'datagrams']) await lines.waitFor(`[${name}] visit of`)
    expect(await all()).toEqual(['hello', 'hello', 'one', 'two'])

    await relay.run()
    await lines.waitFor('session ended')
    const [since, sinceOfClient] = [lines.lines.length, client.lines.lines.length]
    await start()
    await lines.waitFor('login to server success', since)
    await client.lines.waitFor('[t] start proxy success', sinceOfClient)
    await client.lines.waitFor('[u] start proxy success', sinceOfClient)
    expect(await all()).toEqual(['hello', 'hello', 'one', 'two'])
  })

  it('give up after 10 s', async () => {
    const [nobody = 0, own = 0, stranger = 0] = await freePorts(3)
    const lines = startVisits(
      cleanUp,
      {
        serverAddr: '127.0.0.1',
        serverPort: nobody,
        loginFailExit: false,
        edgefrp: {
          visits: [
            { name: 'own', port: 1, bindPort: own },
            { name: 'stranger', port: 1, bindPort: stranger, visitKey: 'k' },
          ],
        },
      },
      20,
    )
    await lines.waitFor('[own] visit of')
    await lines.waitFor('[stranger] visit of')
    const began = performance.now()
    const ends = await Promise.all([endOf(dialLocal(own)), endOf(dialLocal(stranger))])
    expect(ends.map(({ code }) => code)).toEqual(['ECONNRESET', 'ECONNRESET'])
    // Ten seconds of a clock that runs 20 times as fast; the stranger stops when the next try would be too late.
    expect(performance.now() - began).toBeGreaterThan(490)
    await lines.waitFor('[own] visit refused: no session with the relay came up in time')
    await lines.waitFor('[stranger] visit refused: cannot connect to')
  })
})

/** Opens a port that leads to another one. */
async function openGate(cleanUp: CleanUp, gate: number, port: number): Promise<void> {
  const pass = (socket: Socket): void => {
    const way = dialLocal(port)
    way.on('error', () => socket.destroy())
    way.on('close', () => socket.destroy())
    socket.on('close', () => way.destroy())
    socket.pipe(way).pipe(socket)
  }
  await listenTcp(cleanUp, pass, gate)
}

/** Two users of a local udp port; each sends until an answer comes, and answers what it got. */
function askTwo(port: number): Promise<string[]> {
  return Promise.all(['one', 'two'].map(async (text) => (await askUdp(port, Buffer.from(text))).toString()))
}
