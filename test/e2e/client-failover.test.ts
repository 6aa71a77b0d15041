import { afterEach, describe, expect, it } from 'vitest'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { CleanUp, echoTcp, freePorts, startClient } from './client-rig.ts'
import { FakeRelay } from './fake-relay.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

/** Sends a word into an echoing stream and waits for it to come back. */
function echo(stream: ByteStream, word: string): Promise<string> {
  return new Promise((resolve, reject) => {
    stream.attach({
      onData(chunk) {
        resolve(Buffer.from(chunk).toString())
        return true
      },
      onEnd: () => reject(new Error('ended')),
      onDrain: () => undefined,
      onClose: (error) => reject(error ?? new Error('closed')),
    })
    stream.write(Buffer.from(word))
  })
}

describe('edgefrp.fallbackServers', () => {
  async function startWithFallbacks(ports: readonly number[], more: object = {}) {
    const [serverPort, ...rest] = ports
    return startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort,
      transport: { tls: { enable: false } },
      proxies: [{ name: 'p', type: 'tcp', localPort: await echoTcp(cleanUp) }],
      edgefrp: {
        fallbackCheckSeconds: 1,
        fallbackServers: rest.map((port) => ({ serverAddr: '127.0.0.1', serverPort: port })),
      },
      ...more,
    })
  }

  it('are tried in their order, also at the first login with loginFailExit', async () => {
    const [first = 0, second = 0] = await freePorts(2)
    const third = await FakeRelay.start(cleanUp)
    const { lines } = await startWithFallbacks([first, second, third.port])
    const session = await third.nextSession()
    expect((await session.next('NewProxy')).proxy_name).toBe('p')
    expect(lines.lines.filter((line) => line.includes('connect to server error'))).toHaveLength(2)
  })

  it('serve until the first server is back, whose return cuts no running connection', async () => {
    const [port = 0] = await freePorts(1)
    const fallback = await FakeRelay.start(cleanUp, { features: ['half-close'] })
    const { lines } = await startWithFallbacks([port, fallback.port])
    const old = await fallback.nextSession()
    await old.next('NewProxy')
    const running = await old.user('p')
    expect(await echo(running, 'before')).toBe('before')

    const first = await FakeRelay.start(cleanUp, {}, port)
    const session = await first.nextSession()
    await lines.waitFor(`back at the first server [127.0.0.1:${port}]`)
    expect((await old.next('CloseProxy')).proxy_name).toBe('p')
    expect(await echo(await session.user('p'), 'at the first')).toBe('at the first')
    expect(await echo(running, 'still here')).toBe('still here')

    running.end()
    await old.over
    expect(await echo(await session.user('p'), 'goes on')).toBe('goes on')
  })

  it('are left only when the proxies are registered at the first server', async () => {
    const [port = 0] = await freePorts(1)
    const fallback = await FakeRelay.start(cleanUp)
    await startWithFallbacks([port, fallback.port])
    const old = await fallback.nextSession()
    await old.next('NewProxy')
    const first = await FakeRelay.start(cleanUp, { acceptsProxies: false }, port)
    const session = await first.nextSession()
    await session.next('NewProxy')
    expect(await echo(await old.user('p'), 'served')).toBe('served')
    expect(old.messages.map((message) => message.type)).not.toContain('CloseProxy')
    session.send({ type: 'NewProxyResp', proxy_name: 'p' })
    await old.next('CloseProxy')
  })

  it('get no run id of another server', async () => {
    const first = await FakeRelay.start(cleanUp)
    const fallback = await FakeRelay.start(cleanUp)
    const { lines } = await startWithFallbacks([first.port, fallback.port])
    await lines.waitFor('start proxy success')
    first.stop()
    await lines.waitFor('session ended')
    await fallback.nextSession()
    expect(fallback.logins.map((login) => login.run_id)).toEqual([''])
  })
})
