import { evictDurableObject } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import { EdgeClient } from './client.ts'
import { evict, inside, newHub, quiet } from './hub.ts'
import { answerOf, web } from './services.ts'

const WEB = { proxy_name: 'web', proxy_type: 'http', custom_domains: ['web.test'] }
const BODY = 'x'.repeat(10_000)

describe('what a hub has seen', () => {
  it("keeps today's traffic and the start of a proxy over evictions", async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub, { clientId: 'nas' })
    await client.register(
      WEB,
      web((_head, _reader, work) => work.write(answerOf(BODY))),
    )
    const started = await inside(hub, ({ relay }) => relay.registry.find('web')?.lastStartMs)
    for (let i = 1; i <= 5; i++) {
      expect(await (await hub.fetch('http://web.test/')).text()).toHaveLength(BODY.length)
      await evict(hub)
      await inside(hub, ({ sleep }) => sleep.wakeAll())
      const record = await inside(hub, ({ relay }) => relay.registry.find('web'))
      expect(record?.days[0]?.bytesOut).toBe(i * BODY.length)
      expect(record?.lastStartMs).toBe(started)
      expect(record?.message?.proxy_name).toBe('web')
    }
    const clients = await inside(hub, ({ relay }) => relay.registry.listClients())
    expect(clients).toMatchObject([{ clientId: 'nas', isOnline: true }])
  })

  it('is still known, off line, after a restart, and goes on when the client is back', async () => {
    const hub = newHub()
    const service = web((_head, _reader, work) => work.write(answerOf(BODY)))
    const client = await EdgeClient.login(hub, { clientId: 'nas' })
    await client.register(WEB, service)
    await (await hub.fetch('http://web.test/')).text()
    // What ran until a crash is booked every few seconds; what was closed is booked.
    client.send({ type: 'CloseProxy', proxy_name: 'web' })
    await client.ping()
    await quiet(hub)
    await evictDurableObject(hub, { webSockets: 'close' })
    const seen = await inside(hub, ({ relay }) => ({
      proxies: relay.registry.list(),
      clients: relay.registry.listClients(),
    }))
    expect(seen.clients).toMatchObject([{ clientId: 'nas', isOnline: false }])
    expect(seen.proxies).toMatchObject([{ name: 'web', type: 'http', clientId: 'nas', message: undefined }])
    expect(seen.proxies[0]?.days[0]?.bytesOut).toBe(BODY.length)
    const again = await EdgeClient.login(hub, { clientId: 'nas' })
    await again.register(WEB, service)
    await (await hub.fetch('http://web.test/')).text()
    const bytesOut = await inside(hub, ({ relay }) => relay.registry.find('web')?.days[0]?.bytesOut)
    expect(bytesOut).toBe(2 * BODY.length)
  })
})
