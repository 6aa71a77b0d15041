import { describe, expect, it } from 'vitest'
import { EdgeClient, upgrade } from './client.ts'
import { type HubStub, inside, newHub, quiet } from './hub.ts'
import { acceptedWeb, type ServerSocket } from './server-socket.ts'
import { bytesOf, Reader } from './services.ts'

async function hubWith(serve: (socket: ServerSocket) => Promise<void> | void): Promise<HubStub> {
  const hub = newHub()
  const client = await EdgeClient.login(hub)
  await client.register({ proxy_name: 'ws', proxy_type: 'http', custom_domains: ['ws.test'] }, acceptedWeb(serve))
  return hub
}

/** A user's WebSocket, with its messages and its close to wait for. */
class User {
  readonly socket: WebSocket
  readonly closed: Promise<{ code: number; reason: string }>
  private readonly got: (string | ArrayBuffer)[] = []
  private heard: (() => void) | undefined

  private constructor(socket: WebSocket) {
    this.socket = socket
    socket.binaryType = 'arraybuffer'
    socket.addEventListener('message', ({ data }) => {
      this.got.push(data as string | ArrayBuffer)
      this.heard?.()
    })
    this.closed = new Promise((resolve) =>
      socket.addEventListener('close', ({ code, reason }) => resolve({ code, reason })),
    )
    socket.accept()
  }

  static async open(hub: HubStub): Promise<User> {
    const { webSocket, status } = await upgrade(hub, 'http://ws.test/chat')
    if (webSocket === null) throw new Error(`no WebSocket but ${status}`)
    return new User(webSocket)
  }

  async next(): Promise<string | ArrayBuffer> {
    for (;;) {
      const first = this.got.shift()
      if (first !== undefined) return first
      await new Promise<void>((resolve) => {
        this.heard = resolve
      })
    }
  }
}

/** Sends back each message as it came. */
async function echoing(socket: ServerSocket): Promise<void> {
  for (;;) {
    const { opcode, payload } = await socket.read()
    socket.write(opcode, payload)
    if (opcode === 8) {
      socket.end()
      return
    }
  }
}

describe('a WebSocket through the hub', () => {
  it('carries text, binary and a mebibyte, and the close code of the user', async () => {
    const hub = await hubWith(echoing)
    const user = await User.open(hub)
    user.socket.send('gr\u00fc\u00dfe')
    expect(await user.next()).toBe('gr\u00fc\u00dfe')
    user.socket.send(Uint8Array.of(0, 255, 128))
    expect(new Uint8Array((await user.next()) as ArrayBuffer)).toEqual(Uint8Array.of(0, 255, 128))
    const large = new Uint8Array(1024 * 1024).map((_, i) => i >> 12)
    user.socket.send(large)
    expect(new Uint8Array((await user.next()) as ArrayBuffer)).toEqual(large)
    user.socket.close(4001, 'done')
    expect(await user.closed).toMatchObject({ code: 4001 })
    await quiet(hub)
    expect(await inside(hub, ({ relay }) => relay.joins.size)).toBe(0)
  })

  it('ends with the close code and reason of the service', async () => {
    const hub = await hubWith(async (socket) => {
      socket.write(8, Uint8Array.of(0x0f, 0xa2, ...bytesOf('full')))
      await socket.read()
      socket.end()
    })
    const user = await User.open(hub)
    expect(await user.closed).toEqual({ code: 4002, reason: 'full' })
  })

  it('is no clean end for the user when the service dies', async () => {
    const hub = await hubWith((socket) => socket.destroy())
    const user = await User.open(hub)
    const { code } = await user.closed
    expect(code).not.toBe(1000)
  })

  it("answers the service's pings, also between fragments", async () => {
    const hub = await hubWith(async (socket) => {
      socket.write(1, bytesOf('one '), false)
      socket.write(9, bytesOf('are you there'))
      const { opcode, payload } = await socket.read()
      socket.write(0, bytesOf(`${opcode} ${new TextDecoder().decode(payload)}`))
    })
    const user = await User.open(hub)
    expect(await user.next()).toBe('one 10 are you there')
  })

  it('refused by the service stays an answer', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub)
    await client.register({ proxy_name: 'ws', proxy_type: 'http', custom_domains: ['ws.test'] }, (work) => {
      new Reader(work)
      work.write(bytesOf('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'))
    })
    const answer = await upgrade(hub, 'http://ws.test/chat')
    expect([answer.status, await answer.text()]).toEqual([403, 'no'])
  })
})
