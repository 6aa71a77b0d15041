import { describe, expect, it } from 'vitest'
import { EdgeClient } from './client.ts'
import { eventually, type HubStub, inside, newHub, turn } from './hub.ts'
import { answerOf, bytesOf, type Reader, web } from './services.ts'

const MEBIBYTE = 1024 * 1024
const held = (hub: HubStub): Promise<number> => inside(hub, ({ budget }) => budget.total)

/** Pours bytes until the reader is gone. */
async function pour(reader: Reader): Promise<void> {
  const chunk = new Uint8Array(32_768)
  while (!reader.isOver) await reader.write(chunk.slice())
}

async function withDownloads(hub: HubStub): Promise<EdgeClient> {
  const client = await EdgeClient.login(hub)
  const service = web(async (_head, reader, work) => {
    work.write(bytesOf(`HTTP/1.1 200 OK\r\nContent-Length: ${100 * MEBIBYTE}\r\n\r\n`))
    await pour(reader)
  })
  await client.register({ proxy_name: 'down', proxy_type: 'http', custom_domains: ['down.test'] }, service)
  return client
}

async function stalled(hub: HubStub, count: number): Promise<ReadableStream<Uint8Array>[]> {
  const bodies: ReadableStream<Uint8Array>[] = []
  for (let i = 0; i < count; i++) {
    const { body } = await hub.fetch('http://down.test/')
    if (body !== null) bodies.push(body)
  }
  return bodies
}

/** Until nothing more comes in. */
async function settled(hub: HubStub): Promise<number> {
  let before = -1
  for (let now = await held(hub); now !== before; now = await held(hub)) {
    before = now
    for (let i = 0; i < 20; i++) await turn()
  }
  return before
}

describe('a hub under load', () => {
  it('serves on beside 50 stalled downloads and 20 uploads to a client that does not read', async () => {
    const hub = newHub()
    await withDownloads(hub)
    const slow = await EdgeClient.login(hub)
    const uploads: { got: number }[] = []
    const total = 512 * 1024 + 'begin'.length
    await slow.register(
      { proxy_name: 'up', proxy_type: 'http', custom_domains: ['up.test'] },
      web(async (_head, reader, work) => {
        const upload = { got: 0 }
        uploads.push(upload)
        while (upload.got < total && !reader.isOver) {
          const bytes = await reader.until((some) => some.length > 0)
          upload.got += bytes.length
        }
        work.write(answerOf(String(upload.got)))
      }),
    )
    const quick = await EdgeClient.login(hub)
    const web1 = web((_head, _reader, work) => work.write(answerOf('quick')))
    await quick.register({ proxy_name: 'quick', proxy_type: 'http', custom_domains: ['quick.test'] }, web1)

    const bodies = await stalled(hub, 50)
    const controllers: ReadableStreamDefaultController<Uint8Array>[] = []
    const answers = Array.from({ length: 20 }, () => {
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controllers.push(controller)
          controller.enqueue(bytesOf('begin'))
        },
      })
      return hub.fetch('http://up.test/', { method: 'POST', body, headers: { 'Content-Length': String(total) } })
    })
    await eventually(() => uploads.length === 20)
    slow.link.isReading = false
    for (const controller of controllers) {
      for (let i = 0; i < 16; i++) controller.enqueue(new Uint8Array(32_768))
      controller.close()
    }
    const heldBytes = await settled(hub)
    expect(heldBytes).toBeLessThan(48 * MEBIBYTE)
    // The send side: a mebibyte beyond the last answered marker, and the frame that crossed the line.
    expect(slow.link.unreadBytes).toBeLessThan(1.5 * MEBIBYTE)
    expect(await (await hub.fetch('http://quick.test/')).text()).toBe('quick')

    while (uploads.some(({ got }) => got < total)) {
      slow.link.readSome(8)
      await turn()
    }
    slow.link.readSome(1000)
    slow.link.isReading = true
    for (const answer of answers) expect(Number(await (await answer).text())).toBeGreaterThanOrEqual(total)
    await Promise.all(bodies.map((body) => body.cancel()))
    await eventually(async () => (await held(hub)) === 0)
  }, 30_000)

  it('past its budget refuses with 503, and serves again afterwards', async () => {
    const hub = newHub()
    await withDownloads(hub)
    const bodies: ReadableStream<Uint8Array>[] = []
    let status = 200
    while (status === 200 && bodies.length < 400) {
      const response = await hub.fetch('http://down.test/')
      status = response.status
      if (response.body !== null && status === 200) bodies.push(response.body)
      if (bodies.length % 25 === 0) await settled(hub)
    }
    expect(status).toBe(503)
    expect(await held(hub)).toBeLessThan(48 * MEBIBYTE)
    await Promise.all(bodies.map((body) => body.cancel().catch(() => undefined)))
    await eventually(async () => (await held(hub)) === 0)
    await eventually(async () => {
      const { status: now, body } = await hub.fetch('http://down.test/')
      await body?.cancel()
      return now === 200
    })
  }, 30_000)
})
