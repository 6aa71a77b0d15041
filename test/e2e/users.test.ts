import { afterEach, describe, expect, it } from 'vitest'
import { visitPlan } from '../../client/cli/visit.ts'
import { runVisit } from '../../client/visit/run.ts'
import { CleanUp, converse, echoTcp, freePorts, startClient } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const ANNA = { name: 'anna', token: 'anna-token' }
const BOB = { name: 'bob', token: 'bob-token' }

async function relayWith(users: object[], more: object = {}) {
  const [bindPort = 0] = await freePorts(1)
  const relay = await startRelay(cleanUp, { bindPort, auth: { token: 'relay-token' }, edgefrp: { users }, ...more })
  const clientAs = (user: string, token: string, proxies: object[] = [], extra: object = {}) =>
    startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: bindPort,
      user,
      auth: { token },
      loginFailExit: false,
      proxies,
      ...extra,
    })
  return { ...relay, bindPort, clientAs }
}

const tcp = (name: string, localPort: number, remotePort: number, more: object = {}) => ({
  name,
  type: 'tcp',
  localPort,
  remotePort,
  ...more,
})

describe('users with tokens of their own', () => {
  it.each(['v1', 'v2'])(
    'log in with their token, which is also the key of what is encrypted, wire %s',
    async (wireProtocol) => {
      const { clientAs } = await relayWith([ANNA, BOB])
      const [port = 0] = await freePorts(1)
      const scopes = { auth: { token: 'anna-token', additionalScopes: ['HeartBeats', 'NewWorkConns'] } }
      const proxy = tcp('ssh', await echoTcp(cleanUp), port, { transport: { useEncryption: true } })
      const { lines } = clientAs('anna', '', [proxy], { ...scopes, transport: { wireProtocol } })
      await lines.waitFor('[ssh] start proxy success')
      expect((await converse(port, Buffer.from('hello'), { end: true })).bytes.toString()).toBe('hello')
    },
  )

  it("are refused with another user's token, the relay's, and none; nobody learns which users there are", async () => {
    const { clientAs } = await relayWith([ANNA, BOB], { auth: { token: '' } })
    for (const [user, token] of [
      ['anna', 'bob-token'],
      ['anna', ''],
      ['carol', ''],
      ['carol', 'anna-token'],
    ] as const) {
      const { lines } = clientAs(user, token)
      await lines.waitFor(`token in login doesn't match token of user [${user}]`)
    }
  })

  it("leave the relay's own token to everybody else", async () => {
    const { clientAs } = await relayWith([ANNA])
    await clientAs('carol', 'relay-token').lines.waitFor('login to server success')
    await clientAs('', 'relay-token').lines.waitFor('login to server success')
    await clientAs('anna', 'relay-token').lines.waitFor("doesn't match token of user [anna]")
  })

  it('keep heartbeats and work connections with their own token where those are checked', async () => {
    const scopes = ['HeartBeats', 'NewWorkConns']
    const { clientAs, lines } = await relayWith([ANNA], { auth: { token: 't', additionalScopes: scopes } })
    const [port = 0] = await freePorts(1)
    const client = clientAs('anna', '', [tcp('a', await echoTcp(cleanUp), port)], {
      auth: { token: 'anna-token', additionalScopes: scopes },
      transport: { heartbeatInterval: 1 },
    })
    await client.lines.waitFor('start proxy success')
    expect((await converse(port, Buffer.from('x'), { end: true })).bytes.toString()).toBe('x')
    await client.lines.waitFor('receive heartbeat from server')
    expect(lines.lines.join('')).not.toContain('invalid')
  })

  it('get names, ports and domains that they may have, and a line for each other one', async () => {
    const [allowed = 0, other = 0] = await freePorts(2)
    const rules = {
      allowProxies: ['web-*', 'ssh', 'free'],
      allowPorts: [{ single: allowed }],
      allowDomains: ['*.anna.example.com'],
    }
    const { clientAs } = await relayWith([{ ...ANNA, ...rules }], { vhostHTTPPort: (await freePorts(1))[0] })
    const http = (name: string, domain: string) => ({ name, type: 'http', localPort: 1, customDomains: [domain] })
    const { lines } = clientAs('anna', 'anna-token', [
      tcp('ssh', 1, 0),
      tcp('free', 1, other),
      tcp('mail', 1, allowed),
      http('web-a', 'a.anna.example.com'),
      http('web-b', 'b.bob.example.com'),
    ])
    await lines.waitFor('[ssh] start proxy success')
    await lines.waitFor('[web-a] start proxy success')
    await lines.waitFor(`[free] start error: port [${other}] is not allowed for user [anna]`)
    await lines.waitFor('[mail] start error: proxy name [mail] is not allowed for user [anna]')
    await lines.waitFor('[web-b] start error: domain [b.bob.example.com] is not allowed for user [anna]')
  })

  it('have a namespace that nobody else gets into', async () => {
    const { clientAs } = await relayWith([ANNA, BOB])
    const outsider = clientAs('', 'relay-token', [tcp('anna.ssh', 1, 0), tcp('ssh', 1, 0)])
    await outsider.lines.waitFor('[ssh] start proxy success')
    await outsider.lines.waitFor('start error: proxy name [anna.ssh] is for user [anna] alone')
  })

  it('have at most so many proxies, all clients together, and get the next when one is gone', async () => {
    const { clientAs } = await relayWith([{ ...ANNA, maxProxies: 2 }])
    const first = clientAs('anna', 'anna-token', [tcp('a', 1, 0), tcp('b', 1, 0)])
    await first.lines.waitFor('[a] start proxy success')
    await first.lines.waitFor('[b] start proxy success')
    const second = clientAs('anna', 'anna-token', [tcp('c', 1, 0)])
    await second.lines.waitFor('start error: user [anna] has 2 proxies already')
    first.service.close()
    await first.over
    const third = clientAs('anna', 'anna-token', [tcp('d', 1, 0)])
    await third.lines.waitFor('[d] start proxy success')
  })

  it('share one bandwidth', async () => {
    const { clientAs } = await relayWith([{ ...ANNA, bandwidthLimit: '100KB' }])
    const [one = 0, two = 0] = await freePorts(2)
    const local = await echoTcp(cleanUp)
    const { lines } = clientAs('anna', 'anna-token', [tcp('a', local, one), tcp('b', local, two)])
    await lines.waitFor('[a] start proxy success')
    await lines.waitFor('[b] start proxy success')
    const begun = performance.now()
    const bytes = Buffer.alloc(64 * 1024, 1)
    const both = await Promise.all([one, two].map((port) => converse(port, bytes, { end: true })))
    expect(both.map((ending) => ending.bytes.length)).toEqual([bytes.length, bytes.length])
    // 256 KiB in all, 100 of them at once, and then 100 a second.
    expect(performance.now() - begun).toBeGreaterThan(1_400)
  })

  it('visit what is their own, and nothing else', async () => {
    const { clientAs, bindPort, lines: relayLines } = await relayWith([ANNA, BOB])
    const [port = 0, own = 0, foreign = 0] = await freePorts(3)
    const { lines } = clientAs('anna', 'anna-token', [tcp('a', await echoTcp(cleanUp), port)])
    await lines.waitFor('start proxy success')
    const visit = (user: string, token: string, bind: number) => {
      const given = new Map<string, unknown>(
        Object.entries({ server: `tcp://127.0.0.1:${bindPort}`, user, token, bind: String(bind), log_level: 'error' }),
      )
      const reading = { strict: true, allowUnsafe: [], edgefrp: undefined }
      const call = {
        type: 'tcp',
        port: String(port),
        given: (name: string) => given.get(name),
        config: undefined,
        reading,
      }
      const stop = new AbortController()
      const over = runVisit(
        visitPlan(call, () => {
          throw new Error('no file')
        }),
        stop.signal,
      )
      cleanUp.add(async () => {
        stop.abort()
        await over
      })
    }
    visit('anna', 'anna-token', own)
    visit('bob', 'bob-token', foreign)
    const talk = async (to: number): Promise<string> =>
      (await converse(to, Buffer.from('hi'), { end: true })).bytes.toString()
    await expect.poll(() => talk(own), { timeout: 5_000 }).toBe('hi')
    expect(await talk(foreign)).toBe('')
    await relayLines.waitFor(`no proxy at [tcp:${port}]`)
  })
})
