import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { Session } from '../../protocol/yamux/session.ts'
import { CleanUp } from './client-rig.ts'
import { CARRIERS } from './rig/carriers.ts'
import { dialUser, service } from './rig/sockets.ts'
import { batched, startTunnel, type Tunnel } from './rig/tunnel.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const MIB = 1024 * 1024
/** What a stalled download is made of: far more than any bound below. */
const ENDLESS_BYTES = 1024 * MIB
/**
 * What may be accepted while nobody reads: yamux's largest window (6 MiB), and the kernel's buffers of the three
 * connections on the way, whose sizes are the system's business.
 */
const MOST_BYTES_HELD = 96 * MIB
/** Both ends of the control connection and of the idle work connections that a relay keeps: 10 and one more. */
const SPARE = 24
const BUSY_BYTES = 8 * MIB
const BLOCK = Buffer.alloc(64 * 1024, 'x')

/** Sends as many bytes as the request says, made as they go; counts what was accepted. */
function downloads(accepted: Map<number, number>): (socket: Socket) => void {
  return (socket) => {
    socket.once('data', (request) => {
      const [id = 0, bytes = 0] = request.toString().split(' ').map(Number)
      let sent = 0
      const send = (): void => {
        while (sent < bytes) {
          sent += BLOCK.length
          const goesOn = socket.write(BLOCK)
          accepted.set(id, sent - socket.writableLength)
          if (!goesOn) return
        }
        socket.end()
      }
      socket.on('drain', send)
      send()
    })
  }
}

function ask(tunnel: Tunnel, id: number, bytes: number): Socket {
  const socket = dialUser(cleanUp, tunnel.portOf('d'))
  socket.write(`${id} ${bytes}`)
  return socket
}

/** Reads to the end, and answers how many bytes came, or the error. */
function lengthOf(socket: Socket): Promise<number | Error> {
  return new Promise((resolve) => {
    let length = 0
    socket.on('data', (part) => {
      length += part.length
    })
    socket.on('error', resolve)
    socket.on('end', () => {
      socket.end()
      resolve(length)
    })
  })
}

describe.each(CARRIERS)('over $name', { timeout: 60_000 }, ({ transport }) => {
  it('a reader that stalls stops its sender and nobody else', async () => {
    const accepted = new Map<number, number>()
    const port = await service(cleanUp, downloads(accepted))
    const proxies = [{ name: 'd', type: 'tcp', localPort: port }]
    const tunnel = await startTunnel(cleanUp, { transport, proxies })
    const stalled = ask(tunnel, 0, ENDLESS_BYTES)
    await once(stalled, 'readable')
    for (let round = 0; round < 2; round++) {
      const lengths = await batched(4, 2, (index) => lengthOf(ask(tunnel, 1 + index, BUSY_BYTES)))
      expect(lengths).toEqual(Array(4).fill(BUSY_BYTES))
    }
    expect(accepted.get(0)).toBeLessThan(MOST_BYTES_HELD)
    const first = accepted.get(0) ?? 0
    stalled.on('data', () => {
      if ((accepted.get(0) ?? 0) > first + 2 * MOST_BYTES_HELD) stalled.destroy()
    })
    await once(stalled, 'close')
  })
})

describe('1,000 downloads that their users abort', { timeout: 60_000 }, () => {
  it.each(CARRIERS.filter(({ transport }) => !transport.tls.enable))(
    'leave nothing behind over $name',
    async ({ transport }) => {
      const open = new Set<Socket>()
      const serve = downloads(new Map())
      const port = await service(cleanUp, (socket) => {
        open.add(socket)
        socket.on('close', () => open.delete(socket))
        serve(socket)
      })
      const tunnel = await startTunnel(cleanUp, { transport, proxies: [{ name: 'd', type: 'tcp', localPort: port }] })
      const { registry, joins } = tunnel.server.relay
      const abort = async (index: number): Promise<void> => {
        const user = ask(tunnel, index, ENDLESS_BYTES)
        await once(user, 'data')
        if (index % 2 === 0) user.resetAndDestroy()
        else user.destroy()
        await once(user, 'close')
      }
      await batched(50, 25, abort)
      await expect.poll(() => open.size).toBe(0)
      const before = sockets()
      await batched(1_000, 25, abort)
      await expect.poll(() => open.size, { timeout: 20_000 }).toBe(0)
      await expect.poll(() => [registry.totals().connections, joins.size]).toEqual([0, 0])
      await expect.poll(sockets).toBeLessThan(before + SPARE)
      await expect.poll(() => streamCount(tunnel)).toBeLessThan(SPARE)
      expect(await lengthOf(ask(tunnel, 0, BUSY_BYTES))).toBe(BUSY_BYTES)
    },
  )
})

/** TCP connections that this process holds. */
function sockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
}

/** Streams of the relay's one yamux session; 0 without yamux. */
function streamCount(tunnel: Tunnel): number {
  const connection: unknown = tunnel.server.relay.registry.clients[0]?.connection
  const session: unknown = Reflect.get(Object(connection), 'session')
  return session instanceof Session ? session.streamCount : 0
}
