import { evictDurableObject } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import { EdgeClient } from './client.ts'
import { evict, type HubStub, inside, newHub, quiet, turn } from './hub.ts'
import { answerOf, echo, web } from './services.ts'

const WEB = { proxy_name: 'web', proxy_type: 'http', custom_domains: ['web.test'] }
const service = (name: string) => web((_head, _reader, work) => work.write(answerOf(name)))

async function textAt(hub: HubStub, url = 'http://web.test/'): Promise<string> {
  return (await hub.fetch(url)).text()
}

/** A crash or a deploy: the object and all its sockets are gone, without a word. */
async function crash(hub: HubStub): Promise<void> {
  await quiet(hub)
  await evictDurableObject(hub, { webSockets: 'close' })
}

describe('a hub whose sockets were all cut', () => {
  it('lets a client back under its names, and holds requests until then', async () => {
    const hub = newHub()
    const first = await EdgeClient.login(hub)
    await first.register(WEB, service('first'))
    await crash(hub)
    await first.link.closing
    const early = textAt(hub)
    await turn()
    const again = await EdgeClient.login(hub, { runId: first.runId })
    expect((await again.register(WEB, service('again'))).error).toBe('')
    expect(await early).toBe('again')
    expect(await textAt(hub)).toBe('again')
  })

  it('answers 503 with Retry-After when the client does not come back', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub)
    await client.register(WEB, service('web'))
    await crash(hub)
    const began = Date.now()
    const response = await hub.fetch('http://web.test/')
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5'])
    expect(Date.now() - began).toBeLessThan(7_000)
  }, 10_000)

  it('gives names to somebody else at once', async () => {
    const hub = newHub()
    const first = await EdgeClient.login(hub)
    await first.register({ proxy_name: 'ssh', proxy_type: 'tcp', remote_port: 6000 }, echo)
    await crash(hub)
    const other = await EdgeClient.login(hub)
    const answer = await other.register({ proxy_name: 'ssh', proxy_type: 'tcp', remote_port: 6000 }, echo)
    expect(answer).toMatchObject({ error: '', remote_addr: ':6000' })
  })
})

describe('a hub that a client comes back to', () => {
  it('while the old connection sleeps: the newcomer with the run id takes over', async () => {
    const hub = newHub()
    const old = await EdgeClient.login(hub)
    await old.register(WEB, service('old'))
    await evict(hub)
    const next = await EdgeClient.login(hub, { runId: old.runId })
    expect(next.runId).toBe(old.runId)
    expect((await next.register(WEB, service('next'))).error).toBe('')
    await evict(hub)
    expect(await textAt(hub)).toBe('next')
    await evict(hub)
    expect(await textAt(hub)).toBe('next')
  })

  it('while the old connection is silent: the names are taken over', async () => {
    const hub = newHub()
    const old = await EdgeClient.login(hub)
    await old.register(WEB, service('old'))
    // The old one does not read any more: no answer to a ping.
    old.link.isReading = false
    await evict(hub)
    const next = await EdgeClient.login(hub)
    expect((await next.register(WEB, service('next'))).error).toBe('')
    expect(await textAt(hub)).toBe('next')
  })

  it('after a goodbye frees the names at once', async () => {
    const hub = newHub()
    const old = await EdgeClient.login(hub)
    await old.register(WEB, service('old'))
    await evict(hub)
    old.close()
    await old.link.closing
    const response = await hub.fetch('http://web.test/')
    expect(response.status).toBe(404)
    expect((await (await EdgeClient.login(hub)).register(WEB, service('next'))).error).toBe('')
  })
})

describe('a hub of another version', () => {
  it('closes a connection with 1012 whose snapshot it cannot read, and serves when it is back', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub)
    await client.register(WEB, service('old'))
    await quiet(hub)
    await inside(hub, (_inside, state) => {
      for (const socket of state.getWebSockets()) {
        const attachment = socket.deserializeAttachment() as { saved: { connection: { version: number } } }
        attachment.saved.connection.version = 99
        socket.serializeAttachment(attachment)
      }
    })
    await evictDurableObject(hub)
    const early = textAt(hub)
    expect((await client.link.closing).code).toBe(1012)
    const again = await EdgeClient.login(hub, { runId: client.runId })
    expect((await again.register(WEB, service('again'))).error).toBe('')
    expect(await early).toBe('again')
  })
})
