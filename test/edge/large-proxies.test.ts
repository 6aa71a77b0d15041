import { describe, expect, it } from 'vitest'
import { EdgeClient } from './client.ts'
import { evict, inside, newHub } from './hub.ts'
import { answerOf, web } from './services.ts'

const METAS = { note: 'x'.repeat(60 * 1024) }
const HELLO = web((_head, _reader, work) => work.write(answerOf('hello')))
const site = (index: number) => ({
  proxy_name: `web-${index}`,
  proxy_type: 'http',
  custom_domains: [`${index}.test`],
  metas: METAS,
})

describe('a v2 client whose proxies say as much as a message holds', () => {
  it('is served on after sleep, with all that they said', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub, { cipher: 'aes-256-gcm' })
    expect((await client.register(site(0), HELLO)).error).toBe('')
    await evict(hub)
    expect(await (await hub.fetch('http://0.test/')).text()).toBe('hello')
    const metas = await inside(hub, ({ relay }) => [...relay.registry.clients][0]?.state.proxies[0]?.metas['note'])
    expect(metas).toBe(METAS.note)
  })

  it('is refused a proxy that would be too much to be written down, also after sleep', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub, { cipher: 'aes-256-gcm' })
    let count = 0
    let error = ''
    while (error === '' && count < 20) {
      error = (await client.register(site(count), HELLO)).error
      if (error === '') count += 1
    }
    expect(count).toBe(12)
    expect(error).toContain('the limit is 786432')
    await evict(hub)
    expect(await (await hub.fetch('http://11.test/')).text()).toBe('hello')
    expect((await client.register(site(count), HELLO)).error).toContain('the limit is 786432')
  })
})
