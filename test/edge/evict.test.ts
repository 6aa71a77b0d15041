import { describe, expect, it } from 'vitest'
import { deriveKey } from '../../protocol/frp/cipher.ts'
import { wrap } from '../../protocol/frp/wrap.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { workerCrypto } from '../../worker/crypto.ts'
import { EdgeClient, TOKEN, upgrade } from './client.ts'
import { eventually, evict, evictIfQuiet, type HubStub, inside, newHub, quiet, relaysSeen, turn } from './hub.ts'
import { acceptedWeb } from './server-socket.ts'
import { answerOf, bytesOf, echo, Reader, textOf, web } from './services.ts'

/** Repeatable randomness: a failing seed can be run again. */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** Sends what waits in random pieces, with an eviction after each. */
async function sendCut(
  hub: HubStub,
  client: EdgeClient,
  below: (n: number) => number,
  largest: number,
): Promise<number> {
  let evictions = 0
  while (client.link.waiting.length > 0) {
    client.link.sendSome(1 + below(largest))
    if (await evictIfQuiet(hub)) evictions += 1
  }
  return evictions
}

const WRAPS = [
  { name: 'plain', use_encryption: false, use_compression: false },
  { name: 'encrypted', use_encryption: true, use_compression: false },
  { name: 'compressed', use_encryption: false, use_compression: true },
  { name: 'both', use_encryption: true, use_compression: true },
]

/** A work connection as the service sees it. */
function unwrapped(work: ByteStream, flags: { use_encryption: boolean; use_compression: boolean }): ByteStream {
  const key = flags.use_encryption ? { key: deriveKey(workerCrypto, TOKEN) } : {}
  return wrap(work, { ...key, compression: flags.use_compression }, workerCrypto)
}

async function withWeb(hub: HubStub): Promise<EdgeClient> {
  const client = await EdgeClient.login(hub)
  let count = 0
  const service = web((head, _reader, work) => work.write(answerOf(`${++count} ${head.split(' ')[1]}`)))
  await client.register({ proxy_name: 'web', proxy_type: 'http', custom_domains: ['web.test'] }, service)
  return client
}

describe('a hub that leaves memory at any moment', () => {
  it('between requests, with a pooled work connection: serves on', async () => {
    const hub = newHub()
    const client = await withWeb(hub)
    relaysSeen.clear()
    for (let i = 1; i <= 50; i++) {
      await evict(hub)
      const response = await hub.fetch(`http://web.test/${i}`)
      expect(await response.text()).toBe(`${i} /${i}`)
    }
    expect(relaysSeen.size).toBeGreaterThanOrEqual(50)
    expect(client.session.isClosed).toBe(false)
  })

  it('inside frames and control messages: loses no byte of them', async () => {
    const hub = newHub()
    const client = await withWeb(hub)
    const below = random(1)
    let evictions = 0
    for (let round = 0; evictions < 120; round++) {
      client.link.isHolding = true
      const name = `ssh-${round}`
      const answer = client.register({ proxy_name: name, proxy_type: 'tcp', remote_port: 7000 + round }, echo)
      const pong = client.ping()
      evictions += await sendCut(hub, client, below, 90)
      client.link.isHolding = false
      expect(await answer).toMatchObject({ error: '', remote_addr: `:${7000 + round}` })
      await pong
    }
    expect(await (await hub.fetch('http://web.test/last')).text()).toContain('/last')
    expect(client.session.isClosed).toBe(false)
  })

  it.each(WRAPS)('inside a visit ($name): both sides go on, half-close and all', async ({ name, ...flags }) => {
    const hub = newHub()
    const below = random(2)
    const client = await EdgeClient.login(hub)
    const proxy = { proxy_name: name, proxy_type: 'tcp', remote_port: 6000, ...flags }
    await client.register(proxy, (work) => echo(unwrapped(work, flags)))
    const visitor = await EdgeClient.login(hub)
    const visit = await visitor.visit(6000)
    const reader = new Reader(visit)
    let evictions = 0
    while (evictions < 60) {
      visitor.link.isHolding = true
      client.link.isHolding = true
      const sent = new Uint8Array(1 + below(300)).map(() => below(256))
      visit.write(sent.slice())
      evictions += await sendCut(hub, visitor, below, 200)
      await turn()
      evictions += await sendCut(hub, client, below, 200)
      visitor.link.isHolding = false
      client.link.isHolding = false
      expect(await reader.take(sent.length)).toEqual(sent)
    }
    visit.end()
    await evict(hub)
    await reader.ended
    expect(await reader.closed).toBeUndefined()
  })

  it.each(WRAPS)('after the FIN of a visitor ($name): the answer still comes', async ({ name, ...flags }) => {
    const hub = newHub()
    const client = await EdgeClient.login(hub)
    const proxy = { proxy_name: name, proxy_type: 'tcp', remote_port: 6000, ...flags }
    let service: Reader | undefined
    let end: () => void = () => undefined
    await client.register(proxy, (work) => {
      const stream = unwrapped(work, flags)
      service = new Reader(stream)
      end = () => stream.end()
    })
    const visitor = await EdgeClient.login(hub)
    const visit = await visitor.visit(6000)
    const reader = new Reader(visit)
    await reader.write(bytesOf('question'))
    visit.end()
    await eventually(() => service !== undefined)
    await service?.ended
    await evict(hub)
    await service?.write(bytesOf('answer'))
    await evict(hub)
    expect(textOf(await reader.take(6))).toBe('answer')
    end()
    await reader.ended
    expect(await reader.closed).toBeUndefined()
  })

  it('beside an idle WebSocket of a user: it goes on, with its close', async () => {
    const hub = newHub()
    const frames: number[] = []
    const client = await EdgeClient.login(hub)
    await client.register(
      { proxy_name: 'ws', proxy_type: 'http', custom_domains: ['ws.test'] },
      acceptedWeb(async (socket) => {
        for (let opcode = 0; opcode !== 8; ) {
          const frame = await socket.read()
          opcode = frame.opcode
          frames.push(opcode)
          socket.write(opcode, frame.payload)
        }
        socket.end()
      }),
    )
    const { webSocket } = await upgrade(hub, 'http://ws.test/chat')
    if (webSocket === null) throw new Error('no WebSocket')
    const got: unknown[] = []
    let heard: () => void = () => undefined
    webSocket.binaryType = 'arraybuffer'
    webSocket.addEventListener('message', ({ data }) => {
      got.push(data)
      heard()
    })
    const closed = new Promise<CloseEvent>((resolve) => webSocket.addEventListener('close', resolve))
    webSocket.accept()
    for (let i = 0; i < 20; i++) {
      await evict(hub)
      const message = new Promise<void>((resolve) => {
        heard = resolve
      })
      webSocket.send(`message ${i}`)
      await message
    }
    expect(got).toEqual(Array.from({ length: 20 }, (_, i) => `message ${i}`))
    await evict(hub)
    webSocket.close(4321, 'enough')
    expect((await closed).code).toBe(4321)
    await eventually(() => frames.at(-1) === 8)
    await quiet(hub)
    expect(await inside(hub, ({ relay }) => relay.joins.size)).toBe(0)
  })

  it.each(WRAPS)('with bytes held for a reader who stalls ($name): keeps them', async ({ name, ...flags }) => {
    const hub = newHub()
    const client = await EdgeClient.login(hub)
    const proxy = { proxy_name: name, proxy_type: 'tcp', remote_port: 6000, ...flags }
    await client.register(proxy, (work) => {
      const stream = unwrapped(work, flags)
      const reader = new Reader(stream)
      const serve = async () => {
        await reader.take(1)
        for (let i = 0; i < 40; i++) await reader.write(new Uint8Array(16_384).fill(i))
        stream.end()
      }
      void serve()
    })
    const visitor = await EdgeClient.login(hub)
    const visit = await visitor.visit(6000)
    const got = new Reader(visit)
    visit.pause()
    visit.write(bytesOf('x'))
    await eventually(async () => (await inside(hub, ({ budget }) => budget.used)) > 0)
    for (let i = 0; i < 2; i++) await evict(hub)
    visit.resume()
    for (let i = 0; i < 5; i++) await evictIfQuiet(hub)
    const all = await got.take(40 * 16_384)
    expect(all.length).toBe(40 * 16_384)
    expect(all.findIndex((byte, at) => byte !== Math.floor(at / 16_384))).toBe(-1)
    await got.ended
  })

  it('between a failed registration and the next: names stay held', async () => {
    const hub = newHub()
    const owner = await withWeb(hub)
    const other = await EdgeClient.login(hub)
    await evict(hub)
    const proxy = { proxy_name: 'web', proxy_type: 'http', custom_domains: ['web.test'] }
    expect((await other.register(proxy, echo)).error).toContain('already exists')
    await evict(hub)
    expect((await other.register({ ...proxy, proxy_name: 'other' }, echo)).error).toBe('router config conflict')
    await evict(hub)
    const closed = inside(hub, () => undefined)
    owner.send({ type: 'CloseProxy', proxy_name: 'web' })
    await owner.ping()
    await closed
    await evict(hub)
    expect((await other.register(proxy, echo)).error).toBe('')
  })
})
