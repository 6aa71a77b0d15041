import { type AddressInfo, createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { ProxyOffer } from '../../../client/proxies/proxy.ts'
import { completeFrpc } from '../../../config/load.ts'
import { createLineLog } from '../../../node/log.ts'
import type { Outgoing } from '../../../protocol/frp/messages.ts'
import { ManualRuntime } from '../frp/harness.ts'

/** A list that one can wait on. */
class Events<T> {
  private readonly events: T[] = []
  private readonly waiting: ((event: T) => void)[] = []

  add(event: T): void {
    const taker = this.waiting.shift()
    if (taker === undefined) this.events.push(event)
    else taker(event)
  }

  next(): Promise<T> {
    const event = this.events.shift()
    return event === undefined ? new Promise((resolve) => this.waiting.push(resolve)) : Promise.resolve(event)
  }

  get size(): number {
    return this.events.length
  }
}

describe('a health check', () => {
  it('offers the proxy or takes it back before it says so: who acts on the line must not outrun the message', async () => {
    const service = createServer((socket) => socket.end())
    await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve))
    const { port } = service.address() as AddressInfo // it listens on TCP
    const healthCheck = { type: 'tcp', intervalSeconds: 1, maxFailed: 1 }
    const { options } = completeFrpc({ proxies: [{ name: 'p', type: 'tcp', localPort: port, healthCheck }] })
    const [config] = options.proxies
    if (config === undefined) throw new Error('no proxy')
    const runtime = new ManualRuntime()
    const [sent, lines] = [new Events<Outgoing>(), new Events<string>()]
    const log = createLineLog({ write: (line) => lines.add(line), close: async () => undefined }, 'info', false)
    const offer = new ProxyOffer({
      config,
      wireName: 'p',
      runtime,
      log,
      backend: { take: () => undefined, close: () => undefined },
      send: (message) => sent.add(message),
      onChange: () => undefined,
    })
    offer.start()
    expect(await sent.next()).toMatchObject({ type: 'NewProxy' })
    expect(lines.size).toBe(0)
    offer.answered(':1', '')
    runtime.step()
    expect(await lines.next()).toContain('health check success')
    await new Promise((resolve) => service.close(resolve))
    runtime.step()
    expect(await sent.next()).toMatchObject({ type: 'CloseProxy' })
    expect([offer.phase, lines.size]).toEqual(['check failed', 0])
    runtime.step()
    expect(await lines.next()).toContain('health check failed')
    offer.close()
  })
})
