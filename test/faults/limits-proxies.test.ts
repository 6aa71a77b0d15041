import { afterEach, describe, expect, it } from 'vitest'
import { nodeCrypto } from '../../node/crypto.ts'
import { CleanUp } from '../e2e/client-rig.ts'
import { dataFrame, type HostileClient, logIn, rawMessage } from './hostile-client.ts'
import { hostile } from './hostile-peer.ts'
import { freePort, hostRelay } from './hostile-relay.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const HTTP = { vhostHTTPPort: await freePort() }

describe('L8: proxies of one client', () => {
  it('C4: is refused beyond the number and the rate, and a closed one makes room', async () => {
    const relay = await hostRelay(cleanUp, { maxProxiesPerClient: 3, newProxiesBurst: 6, newProxiesPerSecond: 2 }, HTTP)
    const client = await logIn(cleanUp, relay.port)
    for (let i = 0; i < 3; i++) expect((await client.register(http(`a${i}`))).error).toBe('')
    expect((await client.register(http('b'))).error).toContain('more than 3 proxies')
    client.send({ type: 'CloseProxy', proxy_name: 'a0' })
    expect((await client.register(http('c'))).error).toBe('')
    expect((await client.register(http('d'))).error).toContain('more than 3 proxies')
    expect((await client.register(http('e'))).error).toContain('more than 2 new proxies a second')
    relay.clock.advance(500)
    expect((await client.register(http('e'))).error).toContain('more than 3 proxies')
  })

  it('C11: refuses names that are too long or speak to terminals, and an answer never ends the session', async () => {
    const relay = await hostRelay(cleanUp, {}, HTTP)
    const client = await logIn(cleanUp, relay.port)
    const names = ['x'.repeat(256), 'y'.repeat(9_000), 'a\u001b[2Jb', 'a\nb', 'a\u0085b', '\u{1f600}'.repeat(2_000)]
    for (const name of names) {
      const answers = client.messages.length
      client.send({ type: 'NewProxy', ...http('h'), proxy_name: name })
      await client.until(() => client.messages.length > answers)
      expect(client.messages.at(-1)).toMatchObject({
        type: 'NewProxyResp',
        error: expect.stringMatching(/limit|control/),
      })
    }
    client.send({ type: 'NewProxy', proxy_name: 't', proxy_type: 'z'.repeat(9_900) })
    await client.until(() => client.messages.some((one) => one.type === 'NewProxyResp' && one.proxy_name === 't'))
    const many = Array.from({ length: 900 }, (_, i) => `d${i}`)
    const locations = Array.from({ length: 3 }, (_, i) => `/${i}`)
    const routes = await client.register({ ...http('m'), custom_domains: many, locations })
    expect(routes.error).toContain('more than 1024 routes')
    await client.pong()
    expect(relay.lines.lines.filter((line) => line.length > 2_000)).toEqual([])
  })

  it('reads no more messages than it can register meanwhile', async () => {
    const relay = await hostRelay(cleanUp, { maxProxiesPerClient: 2 }, HTTP)
    const client = await logIn(cleanUp, relay.port)
    const count = 2_000
    for (let i = 0; i < count; i++)
      client.send({ type: i % 2 === 0 ? 'NewProxy' : 'CloseProxy', ...http(`n${i >> 1}`) })
    const answers = () => client.messages.filter((message) => message.type === 'NewProxyResp')
    await client.until(() => answers().length === count / 2)
    expect(answers().filter((one) => one.type === 'NewProxyResp' && one.error !== '')).toEqual([])
  })

  it('L9, C4: remembers only so many that are gone, and so long', async () => {
    const relay = await hostRelay(cleanUp, { maxRemembered: 10, rememberDays: 2 }, HTTP)
    const client = await logIn(cleanUp, relay.port)
    const { registry } = relay.server.relay
    for (let i = 0; i < 300; i++) {
      await client.register(http(`n${i}`))
      client.send({ type: 'CloseProxy', proxy_name: `n${i}` })
    }
    await client.register(http('last'))
    expect(registry.list().map((record) => record.name)).toEqual(
      [...Array.from({ length: 10 }, (_, i) => `n${290 + i}`), 'last'].sort(),
    )
    relay.clock.advance(2 * 86_400_000 + 1)
    expect(registry.list().map((record) => record.name)).toEqual(['last'])
  })

  it('C5: gets as many ports as allowed, and the next client still gets one', async () => {
    const first = await freePort()
    const relay = await hostRelay(cleanUp, {}, { maxPortsPerClient: 2, allowPorts: [{ start: first, end: first + 9 }] })
    const greedy = await logIn(cleanUp, relay.port)
    const answers = []
    for (let i = 0; i < 10; i++) answers.push((await greedy.register({ proxy_name: `g${i}`, remote_port: 0 })).error)
    expect(answers.filter((error) => error === '')).toHaveLength(2)
    expect(answers[9]).toBe('exceed the max_ports_per_client')
    const other = await logIn(cleanUp, relay.port)
    expect((await other.register({ proxy_name: 'o', remote_port: 0 })).error).toBe('')
  })

  it('C13: any order of registering and closing ends as a model says', async () => {
    const relay = await hostRelay(cleanUp, {}, HTTP)
    const clients = [await logIn(cleanUp, relay.port), await logIn(cleanUp, relay.port)]
    const model = new Map<string, HostileClient>()
    const random = randoms(7)
    for (let i = 0; i < 400; i++) {
      const name = `p${random(5)}`
      const client = clients[random(2)] as HostileClient // one of two
      if (random(2) === 0) {
        client.send({ type: 'CloseProxy', proxy_name: name })
        if (model.get(name) === client) model.delete(name)
        await client.pong()
      } else {
        const isFree = !model.has(name)
        expect((await client.register(http(name))).error === '', `${i}: ${name}`).toBe(isFree)
        if (isFree) model.set(name, client)
      }
      // Closing waits behind what the same client registers.
      await client.register({ proxy_name: 'none', proxy_type: 'no type' })
    }
    const online = relay.server.relay.registry.list().filter((record) => record.message !== undefined)
    expect(online.map((record) => record.name)).toEqual([...model.keys()].sort())
  })
})

describe('run ids', () => {
  it('C6: work connections come in on the connection that logged in, and nowhere else', async () => {
    const relay = await hostRelay(cleanUp)
    const victim = await logIn(cleanUp, relay.port, { user: 'victim' })
    const thief = await logIn(cleanUp, relay.port, { user: 'thief' })
    const stranger = await hostile(cleanUp, relay.port)
    stranger.raw(dataFrame(1, rawMessage('w', JSON.stringify({ run_id: victim.answer.run_id })), 1))
    await stranger.until(() => stranger.received.includes('no client control') || stranger.isClosed)
    expect(stranger.received.includes('no client control')).toBe(true)
    const stolen = thief.bring(victim.answer.run_id)
    await stolen.until(() => stolen.messages.length > 0)
    expect(stolen.messages[0]).toMatchObject({ type: 'StartWorkConn', error: expect.stringContaining('no client') })
    const other = await logIn(cleanUp, relay.port, { user: 'thief', run_id: victim.answer.run_id })
    expect(other.answer.run_id).not.toBe(victim.answer.run_id)
    await victim.pong()
  })

  it('C6, C7: a newcomer replaces nobody before it has proved the token, and then at most once a second', async () => {
    const relay = await hostRelay(cleanUp)
    const first = await logIn(cleanUp, relay.port)
    const run_id = first.answer.run_id
    const replay = await logIn(cleanUp, relay.port, { run_id })
    expect(replay.answer.run_id).toBe(run_id)
    await first.pong()
    const second = await logIn(cleanUp, relay.port, { run_id })
    await second.pong()
    await first.until(() => first.isControlClosed)
    const third = await logIn(cleanUp, relay.port, { run_id })
    third.send({ type: 'Ping' })
    await third.until(() => third.isControlClosed)
    await second.pong()
    relay.clock.advance(1_000)
    const fourth = await logIn(cleanUp, relay.port, { run_id })
    await fourth.pong()
    await second.until(() => second.isControlClosed)
  })

  it('C8: wrong visit keys count as failed logins', async () => {
    const relay = await hostRelay(cleanUp, { failedLoginsBurst: 4 })
    const client = await logIn(cleanUp, relay.port)
    const remote_port = await freePort()
    await client.register({ proxy_name: 'v', remote_port, metas: { 'edgefrp.visitKey': 'right' } })
    let answered = 0
    for (let i = 0; i < 10; i++) {
      const peer = await hostile(cleanUp, relay.port)
      const json = JSON.stringify({
        proxy_name: 'v'.repeat(9_000),
        sign_key: `${i}`,
        edgefrp: { v: 1, features: [], type: 'tcp', port: remote_port },
      })
      peer.raw(dataFrame(1, rawMessage('v', json), 1))
      await peer.until(() => peer.isClosed || peer.received.includes('auth failed'))
      if (peer.received.includes('auth failed')) answered += 1
    }
    expect(answered).toBe(4)
  })
})

function http(name: string) {
  return { proxy_name: name, proxy_type: 'http', custom_domains: [`${name}.example`] }
}

/** Numbers below a bound that are the same in each run. */
function randoms(seed: number): (bound: number) => number {
  let count = 0
  return (bound) => {
    count += 1
    const [a = 0, b = 0] = nodeCrypto.sha256(Buffer.from(`${seed} ${count}`))
    return (a * 256 + b) % bound
  }
}
