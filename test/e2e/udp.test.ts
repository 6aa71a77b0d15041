import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { MAX_UDP_PAYLOAD } from '../../protocol/frp/udp.ts'
import { askUdp, CleanUp } from './client-rig.ts'
import { WRAPPINGS } from './rig/carriers.ts'
import { startTunnel } from './rig/tunnel.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const USERS = 8
/** Also what frp's message can and cannot hold, and sizes around what one packet of a network carries. */
const SIZES = [0, 1, 2, 3, 255, 256, 1_199, 1_200, 1_472, 1_473, 1_500, 4_095, 4_096, 7_634, MAX_UDP_PAYLOAD]
/** A datagram may be lost: then it is sent again. */
const AGAIN_MS = 500

async function udpSocket(): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  cleanUp.add(() => new Promise<void>((resolve) => socket.close(() => resolve())))
  return socket
}

/** Echoes; what is longer than `max` it never saw come. */
async function echo(seen: Set<number>): Promise<number> {
  const socket = await udpSocket()
  socket.on('message', (payload, from) => {
    seen.add(payload.length)
    socket.send(payload, from.port, from.address)
  })
  return socket.address().port
}

async function startUdp(transport: object = {}) {
  const seen = new Set<number>()
  const udpPacketSize = 8_192
  const tunnel = await startTunnel(cleanUp, {
    relay: { udpPacketSize },
    client: { udpPacketSize },
    proxies: [{ name: 'u', type: 'udp', localPort: await echo(seen), transport }],
  })
  return { port: tunnel.portOf('u'), seen, tunnel }
}

/** Sends until it is back; collects everything that came. */
async function roundTrip(socket: Socket, port: number, payload: Buffer, got: Buffer[]): Promise<void> {
  const before = got.length
  for (;;) {
    socket.send(payload, port, '127.0.0.1')
    const isBack = await new Promise<boolean>((resolve) => {
      const finish = (is: boolean): void => {
        clearTimeout(timer)
        socket.off('message', look)
        resolve(is)
      }
      const look = (): void => {
        if (got.slice(before).some((one) => one.equals(payload))) finish(true)
      }
      const timer = setTimeout(() => finish(false), AGAIN_MS)
      socket.on('message', look)
    })
    if (isBack) return
  }
}

describe('a udp proxy', { timeout: 30_000 }, () => {
  it.each(WRAPPINGS)('carries datagrams of every size, $wrapping, to whom they belong', async ({ transport }) => {
    const { port } = await startUdp(transport)
    await Promise.all(
      Array.from({ length: USERS }, async (_, user) => {
        const socket = await udpSocket()
        const got: Buffer[] = []
        const sent: Buffer[] = []
        socket.on('message', (payload) => got.push(payload))
        for (const size of SIZES) {
          // Full of the user's own number, so that a stranger's datagram shows.
          const payload = Buffer.alloc(size, user + 1)
          sent.push(payload)
          await roundTrip(socket, port, payload, got)
        }
        for (const payload of got) expect(sent.some((one) => one.equals(payload))).toBe(true)
      }),
    )
  })

  it('drops what does not fit a message of frp, without harm for what does', async () => {
    const { port, seen } = await startUdp()
    const socket = await udpSocket()
    const got: Buffer[] = []
    socket.on('message', (payload) => got.push(payload))
    await roundTrip(socket, port, Buffer.from('before'), got)
    for (const size of [MAX_UDP_PAYLOAD + 1, 8_192, 20_000, 65_507]) {
      socket.send(Buffer.alloc(size, 'x'), port, '127.0.0.1')
      await roundTrip(socket, port, Buffer.from(`after ${size}`), got)
    }
    expect(Math.max(...seen)).toBeLessThan(MAX_UDP_PAYLOAD)
  })

  it('keeps its users while others come and go', async () => {
    const { port, tunnel } = await startUdp()
    const stays = await udpSocket()
    const got: Buffer[] = []
    stays.on('message', (payload) => got.push(payload))
    for (let round = 0; round < 50; round++) {
      expect(await askUdp(port, Buffer.from(`visitor ${round}`))).toEqual(Buffer.from(`visitor ${round}`))
      if (round % 10 === 0) await roundTrip(stays, port, Buffer.from(`stays ${round}`), got)
    }
    expect(got.map(String).filter((text) => !text.startsWith('stays'))).toEqual([])
    expect(tunnel.server.relay.registry.list()[0]?.stats?.traffic.backward).toBeGreaterThan(0)
  })
})
