import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { EdgeClient } from './client.ts'
import { evict, newHub } from './hub.ts'
import { answerOf, echo, web } from './services.ts'

let hubCount = 0
const usersHub = () => newHub(`users-${++hubCount} FRPS_USERS`)

/** What the plugin was asked, and what it answers. */
const asked: { op: string; content: Record<string, unknown> }[] = []
let answer: (op: string) => object = () => ({ unchange: true })
beforeEach(() => {
  asked.length = 0
  answer = () => ({ unchange: true })
  vi.stubGlobal('fetch', async (url: string, init: { body: string }) => {
    expect(url).toMatch(/^http:\/\/plugin\.test\/h\?op=[A-Za-z]+&version=0\.1\.0$/)
    const { op, content } = JSON.parse(init.body)
    asked.push({ op, content })
    return Response.json(answer(op))
  })
})
afterEach(() => {
  vi.unstubAllGlobals()
})

const ANNA = { user: 'anna', token: 'anna-token' }
const HELLO = web((_head, _reader, work) => work.write(answerOf('hello')))

describe('a hub with users of its own', () => {
  it('lets them in with their tokens, and keeps them apart, over sleep too', async () => {
    const hub = usersHub()
    const anna = await EdgeClient.login(hub, ANNA)
    const bob = await EdgeClient.login(hub, { user: 'bob', token: 'bob-token' })
    expect((await anna.register({ proxy_name: 'anna.ssh', proxy_type: 'tcp', remote_port: 6000 }, echo)).error).toBe('')
    const taken = await bob.register({ proxy_name: 'anna.x', proxy_type: 'tcp', remote_port: 6001 }, echo)
    expect(taken.error).toContain('has to begin with [bob.]')
    await evict(hub)
    const visitor = await EdgeClient.login(hub, ANNA)
    await visitor.visit(6000)
    await expect(bob.visit(6000)).rejects.toThrow('no proxy at [tcp:6000]')
    // The key of the control stream, woken, is still the one of her own token.
    await anna.ping()
    await expect(EdgeClient.login(hub, { user: 'anna', token: 'bob-token' })).rejects.toThrow('token of user [anna]')
    await expect(EdgeClient.login(hub, { token: '' })).rejects.toThrow('token of user []')
  })

  it('asks its plugins with fetch, and does what they say', async () => {
    const hub = usersHub()
    answer = (op) => (op === 'NewUserConn' ? { reject: true, reject_reason: 'no' } : { unchange: true })
    const anna = await EdgeClient.login(hub, ANNA)
    await anna.register({ proxy_name: 'anna.ssh', proxy_type: 'tcp', remote_port: 6000 }, echo)
    const visit = await anna.visit(6000)
    const closed = new Promise<Error | undefined>((resolve) => {
      visit.attach({ onData: () => true, onEnd: () => undefined, onDrain: () => undefined, onClose: resolve })
    })
    expect(await closed).toBeDefined()
    expect(asked.map(({ op }) => op)).toEqual(['Login', 'NewProxy', 'NewUserConn'])
    expect(asked[1]?.content).toMatchObject({ user: { user: 'anna' }, proxy_name: 'anna.ssh', remote_port: 6000 })
    answer = (op) => (op === 'Login' ? { reject: true, reject_reason: 'not today' } : { unchange: true })
    await expect(EdgeClient.login(hub, ANNA)).rejects.toThrow('not today')
  })

  it('turns away users by address, and domains that are not theirs', async () => {
    const hub = usersHub()
    const anna = await EdgeClient.login(hub, ANNA)
    const site = (domain: string) => ({ proxy_name: 'anna.web', proxy_type: 'http', custom_domains: [domain] })
    expect((await anna.register(site('a.bob.test'), HELLO)).error).toContain('is not allowed for user [anna]')
    expect((await anna.register(site('a.anna.test'), HELLO)).error).toBe('')
    const from = async (ip: string) =>
      (await hub.fetch('http://a.anna.test/', { headers: { 'CF-Connecting-IP': ip } })).status
    expect(await from('192.0.2.1')).toBe(200)
    expect(await from('203.0.113.9')).toBe(403)
  })
})
