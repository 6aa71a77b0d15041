import { describe, expect, it } from 'vitest'
import { EdgeClient } from './client.ts'
import { evict, type HubStub, inside, newHub, quiet } from './hub.ts'

/** Connections in memory. */
const awake = (hub: HubStub): Promise<number> => inside(hub, ({ relay }) => relay.registry.clients.length)

function api(hub: HubStub, password: string): Promise<Response> {
  return hub.fetch('http://relay.test/~!frp/api/clients', {
    headers: { Authorization: `Basic ${btoa(`admin:${password}`)}` },
  })
}

describe('who wakes a hub', () => {
  it('the API wakes all clients for the right password, and nobody for a wrong one or none', async () => {
    const hub = newHub()
    await EdgeClient.login(hub)
    await EdgeClient.login(hub)
    await evict(hub)
    expect((await api(hub, 'wrong')).status).toBe(401)
    expect((await hub.fetch('http://relay.test/~!frp/api/clients')).status).toBe(401)
    expect((await hub.fetch('http://relay.test/~!frp/healthz')).status).toBe(200)
    expect(await awake(hub)).toBe(0)
    const answer = await api(hub, 'secret')
    expect(answer.status).toBe(200)
    expect(await answer.json()).toHaveLength(2)
    expect(await awake(hub)).toBe(2)
  })
})

describe('what lets a hub sleep', () => {
  it('a client that leaves: nothing is waited for', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub)
    await quiet(hub)
    client.close()
    await client.link.closing
    const startedAt = Date.now()
    await quiet(hub)
    expect(Date.now() - startedAt).toBeLessThan(1_000)
    expect(await awake(hub)).toBe(0)
  })

  it('a client that is shown out: its names are free', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub)
    await client.register({ proxy_name: 'ssh', proxy_type: 'tcp', remote_port: 6000 }, () => undefined)
    // A frame of a version that does not exist.
    client.link.write(new Uint8Array(12).fill(9))
    await evict(hub)
    expect(await awake(hub)).toBe(0)
    const other = await EdgeClient.login(hub)
    const answer = await other.register({ proxy_name: 'ssh', proxy_type: 'tcp', remote_port: 6000 }, () => undefined)
    expect(answer.error).toBe('')
  })
})
