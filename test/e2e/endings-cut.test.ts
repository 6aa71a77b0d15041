import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { CleanUp } from './client-rig.ts'
import { CARRIERS, type Carrier, WRAPPINGS } from './rig/carriers.ts'
import { quietPorts } from './rig/ports.ts'
import { Executables, type Running, tcpProxy } from './rig/processes.ts'
import { dialUser, endingOf, service, wordFor } from './rig/sockets.ts'

const cleanUp = new CleanUp()
let programs: Executables
beforeAll(async () => {
  programs = await Executables.build()
})
afterEach(() => cleanUp.run())
afterAll(() => programs.remove())

/** Keeps a transfer going until it is cut. */
function sendEndlessly(socket: Socket): void {
  const block = Buffer.alloc(16 * 1024, 'x')
  const send = (): void => {
    while (!socket.destroyed && socket.write(block));
  }
  socket.on('drain', send)
  send()
}

const OVER_TCP: Carrier = { name: 'tcp', transport: { protocol: 'tcp', tcpMux: true, tls: { enable: false } } }

interface Pair {
  relay: Running
  client: Running
  ports: Map<string, number>
  vhostPort: number
}

async function startPair({ transport }: Carrier, localPort: number, more = ''): Promise<Pair> {
  const [bindPort = 0, vhostPort = 0, ...free] = await quietPorts(2 + WRAPPINGS.length)
  const relay = await programs.frps(cleanUp, `bindPort = ${bindPort}\nvhostHTTPPort = ${vhostPort}\n`)
  const { protocol, tcpMux, tls } = transport
  const lines = [
    `transport.protocol = "${protocol}"`,
    `transport.tcpMux = ${tcpMux}`,
    `transport.tls.enable = ${tls.enable}`,
    ...WRAPPINGS.map(({ wrapping, transport: wrap }, index) =>
      tcpProxy(
        wrapping,
        localPort,
        free[index] ?? 0,
        Object.keys(wrap)
          .map((key) => `transport.${key} = true\n`)
          .join(''),
      ),
    ),
    more,
  ]
  const client = programs.frpc(cleanUp, bindPort, lines.join('\n'))
  for (const { wrapping } of WRAPPINGS) await client.lines.waitFor(`[${wrapping}] start proxy success`)
  return { relay, client, ports: new Map(WRAPPINGS.map(({ wrapping }, i) => [wrapping, free[i] ?? 0])), vhostPort }
}

/**
 * Not among them: a TCP connection for each stream. The kernel ends those of a killed process with a FIN, which
 * is what a half-close looks like there (frp has no other sign for it either).
 */
const CARRIERS_WITH_ENDS = CARRIERS.filter(({ transport }) => transport.tcpMux || transport.protocol === 'websocket')

describe.each(CARRIERS_WITH_ENDS)('a transfer over $name', { timeout: 60_000 }, (carrier) => {
  it('is an error for its user when the client is killed', async () => {
    const port = await service(cleanUp, sendEndlessly)
    const { client, ports } = await startPair(carrier, port)
    const users = [...ports.values()].map((userPort) => dialUser(cleanUp, userPort))
    const endings = users.map(endingOf)
    await Promise.all(users.map((user) => once(user, 'data')))
    client.kill('SIGKILL')
    const words = (await Promise.all(endings)).map(wordFor)
    expect(words).toEqual(Array(users.length).fill('ECONNRESET'))
  })

  it('is an error for its service when the relay is killed', async () => {
    const endings: Promise<string>[] = []
    let started = 0
    const port = await service(cleanUp, (socket) => {
      endings.push(endingOf(socket).then(wordFor))
      socket.once('data', () => {
        started += 1
      })
    })
    const { relay, ports } = await startPair(carrier, port)
    const users = [...ports.values()].map((userPort) => dialUser(cleanUp, userPort))
    for (const user of users) sendEndlessly(user)
    await expect.poll(() => started, { timeout: 10_000 }).toBe(users.length)
    relay.kill('SIGKILL')
    expect(await Promise.all(endings)).toEqual(Array(users.length).fill('ECONNRESET'))
  })
})

describe('an HTTP body', () => {
  it.each(['content-length', 'chunked', 'until the end'])(
    'with %s is no whole body when the client is killed',
    {
      timeout: 30_000,
    },
    async (framing) => {
      const server = createServer((_request, response) => {
        if (framing === 'content-length') response.setHeader('Content-Length', 10_000_000)
        if (framing === 'until the end') response.useChunkedEncodingByDefault = false
        response.write('a part')
      })
      const port = await listening(server)
      const http = `[[proxies]]\nname = "h"\ntype = "http"\nlocalPort = ${port}\ncustomDomains = ["127.0.0.1"]\n`
      const { client, vhostPort } = await startPair(OVER_TCP, port, http)
      await client.lines.waitFor('[h] start proxy success')
      const user = dialUser(cleanUp, vhostPort)
      const ending = endingOf(user)
      user.write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
      await new Promise<void>((resolve) => {
        user.on('data', (part) => {
          if (part.includes('a part')) resolve()
        })
      })
      client.kill('SIGKILL')
      expect(wordFor(await ending)).toBe('ECONNRESET')
    },
  )
})

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanUp.add(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port // it listens on an address
}
