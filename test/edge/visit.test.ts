import { describe, expect, it } from 'vitest'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { EdgeClient } from './client.ts'
import { eventually, evict, inside, newHub, quiet, turn } from './hub.ts'
import { bytesOf, echo, Reader, textOf } from './services.ts'

const SSH = { proxy_name: 'ssh', proxy_type: 'tcp', remote_port: 6000 }
const BULK_BYTES = 16 * 1024 * 1024

async function pour(reader: Reader, stream: ByteStream): Promise<void> {
  // In the largest frames there are: each is a marker's worth, and may be the one that fills the link.
  for (let sent = 0; sent < BULK_BYTES; sent += 262_144) await reader.write(new Uint8Array(262_144))
  stream.end()
}

/** Reads to the end, then says how much it was. */
function sink(work: ByteStream): void {
  let got = 0
  work.attach({
    onData: (chunk) => {
      got += chunk.length
      return true
    },
    onEnd: () => {
      work.write(bytesOf(`got ${got}`))
      work.end()
    },
    onDrain: () => undefined,
    onClose: () => undefined,
  })
}

/** Sends much when asked, then a FIN. */
function source(work: ByteStream): void {
  const reader = new Reader(work)
  void reader.take(1).then(() => pour(reader, work))
}

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
  }, 30_000)

  it.each([
    { way: 'up', isUp: true },
    { way: 'down', isUp: false },
  ])(
    'carries 16 MiB $way to a reader that falls behind, then a FIN, then the answer',
    async ({ isUp }) => {
      const hub = newHub()
      const client = await EdgeClient.login(hub)
      const visitor = await EdgeClient.login(hub)
      const reading = isUp ? client : visitor
      await client.register(SSH, isUp ? sink : source)
      const visit = await visitor.visit(6000)
      const reader = new Reader(visit)
      const whole = isUp ? pour(reader, visit) : reader.write(bytesOf('go'))
      let isOver = false
      void reader.ended.then(() => {
        isOver = true
      })
      // Windows grow while it keeps up; then it is always behind, and the hub has to stop and go on again and again.
      await eventually(() => reading.link.receivedBytes > BULK_BYTES / 2)
      reading.link.isReading = false
      while (!isOver) {
        for (let i = 0; i < 5; i++) await turn()
        reading.link.readSome(3)
      }
      await whole
      const answer = await reader.take(BULK_BYTES)
      if (isUp) expect(textOf(answer)).toBe(`got ${BULK_BYTES}`)
      else expect(answer.length).toBe(BULK_BYTES)
      visit.end()
      expect(await reader.closed).toBeUndefined()
    },
    20_000,
  )

  it('is reset at the service when the visitor resets, and the other way round, 200 of 200', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub)
    const services: { reader: Reader; reset: () => void }[] = []
    await client.register(SSH, (work) => services.push({ reader: new Reader(work), reset: () => work.destroy() }))
    const visitor = await EdgeClient.login(hub)
    for (let i = 0; i < 200; i++) {
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
  }, 30_000)

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

  it('needs nothing where the proxy says so, and only there', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub)
    await client.register({ ...SSH, metas: { 'edgefrp.visit': 'public' } }, echo)
    await client.register({ proxy_name: 'closed', proxy_type: 'tcp', remote_port: 6001 }, echo)
    await evict(hub)
    const reader = new Reader(await (await EdgeClient.connect(hub)).visit(6000))
    await reader.write(bytesOf('open'))
    expect(textOf(await reader.take(4))).toBe('open')
    await expect((await EdgeClient.connect(hub)).visit(6001)).rejects.toThrow('auth failed')
  })

  it('is told when nothing is there', async () => {
    const visitor = await EdgeClient.login(newHub())
    await expect(visitor.visit(6000)).rejects.toThrow('no proxy at [tcp:6000]')
  })
})
