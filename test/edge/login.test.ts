import { env, listDurableObjectIds, SELF } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import { EdgeClient, upgrade } from './client.ts'
import { eventually, inside, newHub } from './hub.ts'
import { answerOf, bytesOf, echo, web } from './services.ts'

describe('a client of the hub', () => {
  it('logs in, registers and serves', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub)
    expect(client.runId).toMatch(/^[0-9a-f]{32}$/)
    const service = web((_head, _reader, work) => work.write(answerOf('hello')))
    const answer = await client.register(
      { proxy_name: 'web', proxy_type: 'http', custom_domains: ['web.test'] },
      service,
    )
    expect(answer).toMatchObject({ error: '', remote_addr: 'web.test' })
    const response = await hub.fetch('http://web.test/')
    expect([response.status, await response.text()]).toEqual([200, 'hello'])
  })

  it('is told the port of a tcp proxy, which visitors ask for', async () => {
    const client = await EdgeClient.login(newHub())
    const answer = await client.register({ proxy_name: 'ssh', proxy_type: 'tcp', remote_port: 6000 }, echo)
    expect(answer).toMatchObject({ error: '', remote_addr: ':6000' })
  })

  it('has its client id for itself while it is on line', async () => {
    const hub = newHub()
    const first = await EdgeClient.login(hub, { clientId: 'nas' })
    const second = await EdgeClient.connect(hub)
    expect((await second.login({ clientId: 'nas' })).error).toBe('client_id [nas] for user [] is already online')
    await EdgeClient.login(hub, { clientId: 'nas', runId: first.runId })
  })

  it('with a wrong token is refused with the reason, and throttled when it goes on', async () => {
    const hub = newHub()
    const first = await EdgeClient.connect(hub)
    expect((await first.login({ token: 'wrong' })).error).toContain('token')
    let closing = { code: 0, reason: '' }
    for (let tries = 0; tries < 50 && closing.code === 0; tries++) {
      const client = await EdgeClient.connect(hub)
      closing = await Promise.race([
        client.link.closing,
        client.login({ token: 'wrong' }).then(
          () => ({ code: 0, reason: '' }),
          () => client.link.closing,
        ),
      ])
    }
    // The right token is never refused for its address.
    await EdgeClient.login(hub)
    expect(closing.code).not.toBe(0)
  })

  it.each([
    ['TLS inside the WebSocket', new Uint8Array([0x16, 3, 1]), 'transport.protocol = "wss"'],
    ["frp's mark of TLS", new Uint8Array([0x17]), 'transport.tls.enable = false'],
    ['no yamux', bytesOf('o\0\0\0'), 'transport.tcpMux must be true'],
  ])('with %s is refused at the first byte and told what to set', async (_name, first, reason) => {
    const client = await EdgeClient.connect(newHub())
    client.link.write(first)
    expect(await client.link.closing).toMatchObject({ reason: expect.stringContaining(reason) })
  })

  it('that sends text frames is told to use a newer frpc', async () => {
    const hub = newHub()
    const client = await EdgeClient.connect(hub)
    client.link.sendText('\0\0')
    expect(await client.link.closing).toMatchObject({ code: 1003, reason: expect.stringContaining('frpc 0.70') })
    await eventually(() => inside(hub, ({ relay }) => Reflect.get(relay, 'connections').size === 0))
  })

  it('from a page of another site is refused', async () => {
    const answer = await upgrade(newHub(), 'http://relay.test/~!frp', { 'Sec-Fetch-Site': 'cross-site' })
    expect(answer.status).toBe(403)
  })
})

describe('the worker', () => {
  it('gives each listed host its hub', async () => {
    const client = await EdgeClient.login(env.HUB.get(env.HUB.idFromName('first')))
    const service = web((_head, _reader, work) => work.write(answerOf('by list')))
    await client.register({ proxy_name: 'web', proxy_type: 'http', custom_domains: ['a.first.test'] }, service)
    expect(await (await SELF.fetch('http://a.first.test/')).text()).toBe('by list')
  })

  it('answers 404 for a host in no list, and creates no object', async () => {
    const before = await listDurableObjectIds(env.HUB)
    const answer = await SELF.fetch('http://stranger.test/~!frp')
    expect(answer.status).toBe(404)
    expect(await listDurableObjectIds(env.HUB)).toHaveLength(before.length)
  })

  it('without a token serves nothing and says how to set one', async () => {
    const answer = await SELF.fetch('http://no-token.test/~!frp', { headers: { Upgrade: 'websocket' } })
    expect(answer.status).toBe(503)
    expect(await answer.text()).toContain('npx wrangler secret put FRP_TOKEN')
  })

  it('answers health everywhere, and the API with the password only', async () => {
    const hub = newHub()
    expect((await hub.fetch('http://web.test/~!frp/healthz')).status).toBe(200)
    expect((await hub.fetch('http://web.test/~!frp/api/serverinfo')).status).toBe(401)
    const headers = { Authorization: `Basic ${btoa('admin:secret')}` }
    expect((await hub.fetch('http://web.test/~!frp/api/serverinfo', { headers })).status).toBe(200)
  })
})
