import { describe, expect, it } from 'vitest'
import { MessageChannel } from '../../protocol/frp/message-channel.ts'
import { privilegeKey } from '../../protocol/frp/token.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { workerCrypto } from '../../worker/crypto.ts'
import { EdgeClient } from './client.ts'
import { evict, newHub } from './hub.ts'
import { KEY, type SecretFlags, visitSecret } from './secret-visit.ts'
import { answerOf, bytesOf, echo, Reader, textOf, web } from './services.ts'

const PLAIN: SecretFlags = { use_encryption: false, use_compression: false }

describe('stcp through the hub', () => {
  it.each([
    { name: 'plain', ...PLAIN },
    { name: 'encrypted', use_encryption: true, use_compression: false },
    { name: 'compressed', use_encryption: false, use_compression: true },
    { name: 'both', use_encryption: true, use_compression: true },
  ])('goes on when the hub leaves memory in between ($name)', async ({ name, ...flags }) => {
    const hub = newHub()
    const owner = await EdgeClient.login(hub)
    expect(await owner.register({ proxy_name: name, proxy_type: 'stcp', sk: KEY }, echo)).toMatchObject({ error: '' })
    const visitor = await EdgeClient.login(hub)
    await evict(hub)
    const visit = await visitSecret(visitor, name, flags)
    const reader = new Reader(visit)
    for (let i = 0; i < 30; i++) {
      await reader.write(bytesOf(`message ${i};`))
      expect(textOf(await reader.take(`message ${i};`.length))).toBe(`message ${i};`)
      await evict(hub)
    }
  })

  it('wakes its owner to learn the secret, and refuses a wrong one', async () => {
    const hub = newHub()
    const owner = await EdgeClient.login(hub)
    await owner.register({ proxy_name: 's', proxy_type: 'stcp', sk: KEY }, echo)
    const visitor = await EdgeClient.login(hub)
    await evict(hub)
    await expect(visitSecret(visitor, 's', PLAIN, 'wrong')).rejects.toThrow('visitor connection of [s] auth failed')
    await expect(visitSecret(visitor, 'n', PLAIN)).rejects.toThrow("custom listener for [n] doesn't exist")
  })
})

describe('a group through the hub', () => {
  const member = (name: string) => ({
    proxy_name: name,
    proxy_type: 'http',
    custom_domains: ['group.test'],
    group: 'g',
    group_key: 'k',
  })
  const service = (name: string) => web((_head, _reader, work) => work.write(answerOf(name)))
  const ask = async (hub: Fetcher) => await (await hub.fetch('http://group.test/')).text()

  it('serves by all its members after sleep, and by those that are left', async () => {
    const hub = newHub()
    const [a, b] = [await EdgeClient.login(hub), await EdgeClient.login(hub)]
    expect(await a.register(member('a'), service('a'))).toMatchObject({ error: '' })
    await evict(hub)
    expect(await b.register(member('b'), service('b'))).toMatchObject({ error: '' })
    // One client may be in a group twice: what it holds stays until both have left.
    expect(await a.register(member('a2'), service('a2'))).toMatchObject({ error: '' })
    a.send({ type: 'CloseProxy', proxy_name: 'a2' })
    await a.ping()
    await evict(hub)
    expect(new Set([await ask(hub), await ask(hub)])).toEqual(new Set(['a', 'b']))
    await evict(hub)
    // Both sleep: who wants the name alone is told that somebody has it.
    const other = await EdgeClient.login(hub)
    const alone = { ...member('c'), group: '' }
    expect(await other.register(alone, service('c'))).toMatchObject({ error: 'router config conflict' })
    expect(await other.register({ ...member('c'), group_key: 'no' }, service('c'))).toMatchObject({
      error: 'group auth failed',
    })
    await evict(hub)
    a.send({ type: 'CloseProxy', proxy_name: 'a' })
    await a.ping()
    await evict(hub)
    expect([await ask(hub), await ask(hub)]).toEqual(['b', 'b'])
    b.send({ type: 'CloseProxy', proxy_name: 'b' })
    await b.ping()
    await evict(hub)
    expect(await other.register(alone, service('c'))).toMatchObject({ error: '' })
    expect(await ask(hub)).toBe('c')
  })
})

describe('what the edge cannot carry', () => {
  it.each(['https', 'tcpmux'])('%s is refused with what to use instead', async (type) => {
    const client = await EdgeClient.login(newHub())
    const proxy = { proxy_name: 'x', proxy_type: type, custom_domains: ['x.test'], multiplexer: 'httpconnect' }
    const { error } = await client.register(proxy, echo)
    expect(error).toContain(`type [${type}] cannot be carried on the edge`)
    expect(error).toContain('use ')
  })
})

describe('xtcp through the hub', () => {
  it('brings a visitor and a sleeping owner together', async () => {
    const hub = newHub()
    const owner = await EdgeClient.login(hub)
    const invited = new Promise<string>((resolve) => {
      const onWork = (work: ByteStream): void => {
        const channel = new MessageChannel(work, {
          onMessage: (message) => resolve(message.type === 'NatHoleSid' ? message.sid : message.type),
          onEnd: () => channel.end(),
        })
      }
      void owner.register({ proxy_name: 'p2p', proxy_type: 'xtcp', sk: KEY, use_encryption: true }, onWork)
    })
    const visitor = await EdgeClient.login(hub)
    await owner.ping()
    await evict(hub)
    const checked = visitor.next('NatHoleResp')
    visitor.send({ type: 'NatHoleVisitor', transaction_id: 'a', proxy_name: 'p2p', pre_check: true })
    expect(await checked).toMatchObject({ transaction_id: 'a', error: '' })
    await evict(hub)
    const answers = [visitor.next('NatHoleResp'), owner.next('NatHoleResp')]
    const addresses = { mapped_addrs: ['203.0.113.9:4000', '203.0.113.9:4000'] }
    const sign_key = privilegeKey(workerCrypto, KEY, 7)
    visitor.send({
      type: 'NatHoleVisitor',
      transaction_id: 'b',
      proxy_name: 'p2p',
      timestamp: 7,
      sign_key,
      ...addresses,
    })
    owner.send({ type: 'NatHoleClient', transaction_id: 'c', proxy_name: 'p2p', sid: await invited, ...addresses })
    expect(await Promise.all(answers)).toMatchObject([
      { transaction_id: 'b', error: '', detect_behavior: { role: 'receiver' } },
      { transaction_id: 'c', error: '', detect_behavior: { role: 'sender' } },
    ])
    await evict(hub)
  })
})
