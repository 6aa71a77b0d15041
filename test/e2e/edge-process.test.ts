import { connect, type Socket } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { CleanUp, echoTcp, listenTcp, startClient } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'
import { quietPorts } from './rig/ports.ts'
import { EDGE_TOKEN, Edge } from './workerd-rig.ts'

// A relay on the edge whose workerd really goes away and comes back.

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const HOST = 'web.test'

/** The next chunk that comes. */
function next(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('data', (bytes) => resolve(bytes.toString()))
    socket.once('close', () => reject(new Error('closed')))
  })
}

function echoed(socket: Socket, word: string): Promise<string> {
  const answer = next(socket)
  socket.write(word)
  return answer
}

interface Answer {
  status: number
  retryAfter: string | undefined
  body: string
}

/** One request; undefined where nobody answers. */
async function get(port: number): Promise<Answer | undefined> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('data', (bytes) => {
    text += bytes.toString()
  })
  const over = new Promise<void>((resolve) => {
    socket.on('close', () => resolve())
    socket.on('error', () => resolve())
  })
  socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`)
  await over
  const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1]
  if (status === undefined) return undefined
  const retryAfter = /^retry-after: (.*)\r$/im.exec(text)?.[1]
  return { status: Number(status), retryAfter, body: text.slice(text.indexOf('\r\n\r\n') + 4) }
}

/** Asks again and again until `body` comes; answers how long that took, in ms. */
async function servedAfter(port: number, body: string): Promise<number> {
  const startedAt = performance.now()
  while ((await get(port))?.body !== body) await new Promise((resolve) => setImmediate(resolve))
  return performance.now() - startedAt
}

/** A web server that answers `here`. */
function webServer(): Promise<number> {
  return listenTcp(cleanUp, (socket) => {
    socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhere'))
  })
}

it('edge -> VM -> edge: each serves within 5 s, and no connection through the VM is cut on the way back', async () => {
  const [bindPort = 0, vhostHTTPPort = 0, tcpPort = 0] = await quietPorts(3)
  const auth = { token: EDGE_TOKEN }
  await startRelay(cleanUp, { bindPort, vhostHTTPPort, auth })
  const edge = await Edge.start(cleanUp)
  const { lines } = startClient(cleanUp, {
    serverAddr: '127.0.0.1',
    serverPort: edge.port,
    auth,
    transport: { protocol: 'websocket', tls: { enable: false } },
    proxies: [
      { name: 'web', type: 'http', localPort: await webServer(), customDomains: [HOST] },
      { name: 'tcp', type: 'tcp', localPort: await echoTcp(cleanUp), remotePort: tcpPort },
    ],
    edgefrp: {
      fallbackCheckSeconds: 1,
      fallbackServers: [{ serverAddr: '127.0.0.1', serverPort: bindPort, transport: { protocol: 'tcp' } }],
    },
  })
  await servedAfter(edge.port, 'here')

  const since = lines.lines.length
  await edge.stop()
  expect(await servedAfter(vhostHTTPPort, 'here')).toBeLessThan(5_000)
  await lines.waitFor('[tcp] start proxy success', since)
  const running = connect(tcpPort, '127.0.0.1')
  expect(await echoed(running, 'through the VM')).toBe('through the VM')

  await edge.start()
  expect(await servedAfter(edge.port, 'here')).toBeLessThan(5_000)
  await lines.waitFor('back at the first server')
  expect(await echoed(running, 'still here')).toBe('still here')
  running.destroy()
}, 60_000)

it('a deploy that drops all sockets: requests at once get through, and the client has its names within 5 s', async () => {
  const edge = await Edge.start(cleanUp)
  const { lines } = startClient(cleanUp, {
    serverAddr: '127.0.0.1',
    serverPort: edge.port,
    auth: { token: EDGE_TOKEN },
    transport: { protocol: 'websocket', tls: { enable: false } },
    proxies: [{ name: 'web', type: 'http', localPort: await webServer(), customDomains: [HOST] }],
  })
  await servedAfter(edge.port, 'here')
  for (let deploy = 1; deploy <= 5; deploy++) {
    const since = lines.lines.length
    await edge.stop()
    await edge.start()
    const startedAt = performance.now()
    const answers = await Promise.all(Array.from({ length: 20 }, () => get(edge.port)))
    for (const answer of answers) {
      if (answer?.status === 503) expect(answer.retryAfter).toBe('5')
      else expect(answer).toEqual({ status: 200, retryAfter: undefined, body: 'here' })
    }
    await servedAfter(edge.port, 'here')
    expect(performance.now() - startedAt).toBeLessThan(5_000)
    await lines.waitFor('[web] start proxy success', since)
  }
  expect(lines.lines.filter((line) => line.includes('already exists'))).toEqual([])
}, 60_000)
