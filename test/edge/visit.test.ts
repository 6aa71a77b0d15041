import { describe, expect, it } from 'vitest'
import { EdgeClient } from './client.ts'
import { eventually, inside, newHub, quiet } from './hub.ts'
import { bytesOf, echo, Reader, textOf } from './services.ts'

const SSH = { proxy_name: 'ssh', proxy_type: 'tcp', remote_port: 6000 }

describe('a visit through the hub', () => {
  it('carries bytes both ways and half-close at both ends, 200 of 200', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub)
    await client.register(SSH, echo)
    const visitor = await EdgeClient.login(hub)
    for (let i = 0; i < 200; i++) {
      const visit = await visitor.visit(6000)
      const reader = new Reader(visit)
      visit.write(bytesOf(`visit ${i}`))
      // The FIN comes with the bytes: a half-close must not cost the answer.
      visit.end()
      await reader.ended
      expect(textOf(await reader.take(100))).toBe(`visit ${i}`)
      expect(await reader.closed).toBeUndefined()
    }
    await quiet(hub)
    expect(await inside(hub, ({ relay }) => relay.joins.size)).toBe(0)
  })

  it('is reset at the service when the visitor resets, and the other way round', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub)
    const services: { reader: Reader; reset: () => void }[] = []
    await client.register(SSH, (work) => services.push({ reader: new Reader(work), reset: () => work.destroy() }))
    const visitor = await EdgeClient.login(hub)
    for (let i = 0; i < 20; i++) {
      const visit = await visitor.visit(6000)
      const reader = new Reader(visit)
      visit.write(bytesOf('x'))
      await eventually(() => services.length === i + 1)
      await services[i]?.reader.take(1)
      if (i % 2 === 0) {
        visit.destroy()
        expect(await services[i]?.reader.closed).toBeInstanceOf(Error)
      } else {
        services[i]?.reset()
        expect(await reader.closed).toBeInstanceOf(Error)
      }
    }
  })

  it('needs a login or the key of the proxy', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub)
    await client.register({ ...SSH, metas: { 'edgefrp.visitKey': 'sesame' } }, echo)
    const stranger = await EdgeClient.connect(hub)
    await expect(stranger.visit(6000)).rejects.toThrow('auth failed')
    await expect((await EdgeClient.connect(hub)).visit(6001, { key: 'sesame' })).rejects.toThrow('auth failed')
    const guest = await EdgeClient.connect(hub)
    const reader = new Reader(await guest.visit(6000, { key: 'sesame' }))
    await reader.write(bytesOf('open'))
    expect(textOf(await reader.take(4))).toBe('open')
  })

  it('is told when nothing is there', async () => {
    const visitor = await EdgeClient.login(newHub())
    await expect(visitor.visit(6000)).rejects.toThrow('no proxy at [tcp:6000]')
  })
})
