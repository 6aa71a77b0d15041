import { describe, expect, it } from 'vitest'
import { bindUdp, type DatagramHandler, dialUdp } from '../../node/udp.ts'

/** Collects datagrams; `next` waits for one more. */
class Inbox implements DatagramHandler {
  readonly errors: Error[] = []
  private readonly arrived: string[] = []
  private waiting: ((text: string) => void) | undefined
  private failing: ((error: Error) => void) | undefined
  last = { ip: '', port: 0 }

  onDatagram(payload: Uint8Array, ip: string, port: number): void {
    this.last = { ip, port }
    const text = new TextDecoder().decode(payload)
    if (this.waiting === undefined) this.arrived.push(text)
    else this.waiting(text)
    this.waiting = undefined
  }

  onError(error: Error): void {
    this.errors.push(error)
    this.failing?.(error)
  }

  next(): Promise<string> {
    const first = this.arrived.shift()
    if (first !== undefined) return Promise.resolve(first)
    return new Promise((resolve) => {
      this.waiting = resolve
    })
  }

  failure(): Promise<Error> {
    const [first] = this.errors
    if (first !== undefined) return Promise.resolve(first)
    return new Promise((resolve) => {
      this.failing = resolve
    })
  }
}

const bytes = (text: string) => new TextEncoder().encode(text)

describe('bindUdp', () => {
  it('receives from many and answers each at its address, empty datagrams too', async () => {
    const inbox = new Inbox()
    const port = await bindUdp('127.0.0.1', 0, inbox)
    const clients = [new Inbox(), new Inbox()]
    for (const [i, client] of clients.entries()) {
      const peer = dialUdp('127.0.0.1', port.port, client)
      peer.send(bytes(`from ${i}`))
      expect(await inbox.next()).toBe(`from ${i}`)
      port.send(bytes(''), inbox.last.ip, inbox.last.port)
      expect(await client.next()).toBe('')
      peer.close()
    }
    port.close()
  })

  it('on :: takes IPv4 too, under its IPv4 address, and answers there', async () => {
    const inbox = new Inbox()
    const port = await bindUdp('::', 0, inbox)
    const client = new Inbox()
    const peer = dialUdp('127.0.0.1', port.port, client)
    peer.send(bytes('four'))
    expect(await inbox.next()).toBe('four')
    expect(inbox.last.ip).toBe('127.0.0.1')
    port.send(bytes('back'), '127.0.0.1', inbox.last.port)
    expect(await client.next()).toBe('back')
    peer.close()
    port.close()
  })

  it('says what is wrong with an address or a port that is taken', async () => {
    const port = await bindUdp('127.0.0.1', 0, new Inbox())
    await expect(bindUdp('127.0.0.1', port.port, new Inbox())).rejects.toMatchObject({ code: 'PORT_TAKEN' })
    await expect(bindUdp('192.0.2.1', 0, new Inbox())).rejects.toMatchObject({ code: 'NOT_SUPPORTED' })
    port.close()
    const again = await bindUdp('127.0.0.1', port.port, new Inbox())
    again.close()
  })

  it('never throws: what cannot be sent is told, and after close nothing happens', async () => {
    const inbox = new Inbox()
    const port = await bindUdp('127.0.0.1', 0, inbox)
    port.send(new Uint8Array(70_000), '127.0.0.1', 9)
    expect((await inbox.failure()).message).toContain('EMSGSIZE')
    port.send(bytes('x'), '127.0.0.1', 0)
    port.send(bytes('x'), '127.0.0.1', 99_999)
    expect(inbox.errors.length).toBeGreaterThanOrEqual(2)
    port.close()
    port.close()
    port.send(bytes('x'), '127.0.0.1', 9)
  })
})

describe('dialUdp', () => {
  it('sends what was given while the name was resolved, in order', async () => {
    const inbox = new Inbox()
    const port = await bindUdp('127.0.0.1', 0, inbox)
    const peer = dialUdp('localhost', port.port, new Inbox())
    for (const text of ['a', 'b', 'c']) peer.send(bytes(text))
    expect([await inbox.next(), await inbox.next(), await inbox.next()]).toEqual(['a', 'b', 'c'])
    peer.close()
    port.close()
  })

  it('hears its peer alone', async () => {
    const inbox = new Inbox()
    const port = await bindUdp('127.0.0.1', 0, inbox)
    const stranger = await bindUdp('127.0.0.1', 0, new Inbox())
    const client = new Inbox()
    const peer = dialUdp('127.0.0.1', port.port, client)
    peer.send(bytes('hello'))
    await inbox.next()
    stranger.send(bytes('spoofed'), '127.0.0.1', inbox.last.port)
    port.send(bytes('genuine'), '127.0.0.1', inbox.last.port)
    expect(await client.next()).toBe('genuine')
    for (const one of [peer, port, stranger]) one.close()
  })

  it('tells that nobody listens, or that the name is none', async () => {
    const gone = await bindUdp('127.0.0.1', 0, new Inbox())
    gone.close()
    const refused = new Inbox()
    const peer = dialUdp('127.0.0.1', gone.port, refused)
    peer.send(bytes('anyone?'))
    expect((await refused.failure()).message).toContain('ECONNREFUSED')
    peer.close()
    peer.send(bytes('after close'))
    const unknown = new Inbox()
    dialUdp('no-such-host.invalid', 9, unknown).send(bytes('x'))
    expect((await unknown.failure()).message).toMatch(/ENOTFOUND|EAI_AGAIN/)
  })
})
