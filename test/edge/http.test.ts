import { describe, expect, it } from 'vitest'
import { EdgeClient } from './client.ts'
import { eventually, type HubStub, inside, newHub, turn } from './hub.ts'
import { answerOf, bytesOf, type Reader, type Respond, web } from './services.ts'

const MEBIBYTE = 1024 * 1024
const heads = (head: string): string[] => head.split('\r\n')

/** A hub with one http proxy, `web.test`. */
async function hubWith(respond: Respond, proxy: Record<string, unknown> = {}): Promise<HubStub> {
  const hub = newHub()
  const client = await EdgeClient.login(hub)
  const message = { proxy_name: 'web', proxy_type: 'http', custom_domains: ['web.test'], ...proxy }
  const answer = await client.register(message, web(respond))
  expect(answer.error).toBe('')
  return hub
}

/** Bytes that all streams of the isolate hold or have granted beyond the first window. */
const heldBytes = (hub: HubStub): Promise<number> => inside(hub, ({ budget }) => budget.total)

describe('a request through the hub', () => {
  it('reaches the service with what the proxy and the platform say', async () => {
    let seen = ''
    const hub = await hubWith(
      (head, _reader, work) => {
        seen = head
        work.write(answerOf('ok', 'X-Back: 1', 'Set-Cookie: a=1', 'Set-Cookie: b=2', 'Content-Type: text/plain'))
      },
      { headers: { 'X-Added': 'yes' }, host_header_rewrite: 'inner.test', response_headers: { 'X-Reply': 'too' } },
    )
    const response = await hub.fetch('http://web.test/a/../b?q=1', {
      headers: { 'CF-Connecting-IP': '192.0.2.7', 'X-Forwarded-For': '203.0.113.9', Cookie: 'a=1' },
    })
    expect(response.status).toBe(200)
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    expect(response.headers.get('x-reply')).toBe('too')
    const lines = heads(seen).map((line) => line.toLowerCase())
    expect(lines).toContain('host: inner.test')
    expect(lines).toContain('x-added: yes')
    expect(lines.find((line) => line.startsWith('x-forwarded-for:'))).toMatch(/192\.0\.2\.7$/)
  })

  it('is refused without the password of the proxy', async () => {
    const hub = await hubWith((_head, _reader, work) => work.write(answerOf('in')), { http_user: 'u', http_pwd: 'p' })
    const refused = await hub.fetch('http://web.test/')
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, expect.stringContaining('Basic')])
    const answer = await hub.fetch('http://web.test/', { headers: { Authorization: `Basic ${btoa('u:p')}` } })
    expect(await answer.text()).toBe('in')
  })

  it('goes by location, subdomain and wildcard', async () => {
    const hub = await hubWith((_head, _reader, work) => work.write(answerOf('api')), { locations: ['/api'] })
    const client = await EdgeClient.login(hub)
    const service = (name: string) => web((_head, _reader, work) => work.write(answerOf(name)))
    await client.register({ proxy_name: 's', proxy_type: 'http', subdomain: 'sub' }, service('sub'))
    await client.register({ proxy_name: 'w', proxy_type: 'http', custom_domains: ['*.wild.test'] }, service('wild'))
    const textAt = async (url: string) => (await hub.fetch(url)).text()
    expect(await textAt('http://web.test/api/x')).toBe('api')
    expect((await hub.fetch('http://web.test/other')).status).toBe(404)
    expect(await textAt('http://sub.tunnel.test/')).toBe('sub')
    expect(await textAt('http://a.wild.test/')).toBe('wild')
  })

  it('gets 404 and why when nobody serves the host', async () => {
    const response = await newHub().fetch('http://nobody.test/')
    expect([response.status, response.headers.get('edgefrp-error')]).toEqual([404, 'NO_ROUTE'])
  })

  it('gets 504 when the service does not answer', async () => {
    const hub = await hubWith(() => undefined)
    const response = await hub.fetch('http://web.test/')
    expect([response.status, response.headers.get('edgefrp-error')]).toEqual([504, 'TIMEOUT'])
  })

  it.each(['HEAD', 'OPTIONS', 'DELETE', 'PATCH'])('keeps the method %s', async (method) => {
    const hub = await hubWith((head, _reader, work) =>
      work.write(method === 'HEAD' ? bytesOf('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n') : answerOf(head)),
    )
    const response = await hub.fetch('http://web.test/x', { method })
    const text = await response.text()
    if (method === 'HEAD') expect([response.headers.get('content-length'), text]).toEqual(['99', ''])
    else expect(text).toContain(`${method} /x HTTP/1.1`)
  })

  it.each([204, 304])('passes %d without a body', async (status) => {
    const hub = await hubWith((_head, _reader, work) =>
      work.write(bytesOf(`HTTP/1.1 ${status} Fine\r\nEtag: "1"\r\n\r\n`)),
    )
    const response = await hub.fetch('http://web.test/')
    expect([response.status, response.headers.get('etag'), await response.text()]).toEqual([status, '"1"', ''])
  })

  it('passes a compressed body as it is', async () => {
    const body = 'not really gzip'
    const hub = await hubWith((_head, _reader, work) => work.write(answerOf(body, 'Content-Encoding: x-test')))
    expect(await (await hub.fetch('http://web.test/')).text()).toBe(body)
  })
})

describe('a body through the hub', () => {
  /** Writes `total` bytes, each the low byte of its position / 65536. */
  const pour = async (reader: Reader, total: number): Promise<void> => {
    for (let at = 0; at < total; at += 65_536) await reader.write(new Uint8Array(65_536).fill(at >> 16))
  }
  const isRight = (bytes: Uint8Array, from: number) => bytes.every((byte, i) => byte === (((from + i) >> 16) & 255))

  it('comes down whole, with flat memory, by length', async () => {
    const total = 32 * MEBIBYTE
    const hub = await hubWith(async (_head, reader, work) => {
      work.write(bytesOf(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`))
      await pour(reader, total)
    })
    const response = await hub.fetch('http://web.test/')
    expect(response.headers.get('content-length')).toBe(String(total))
    let [got, most, right] = [0, 0, true]
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      right &&= isRight(chunk, got)
      got += chunk.length
      if (got % MEBIBYTE < chunk.length) most = Math.max(most, await heldBytes(hub))
    }
    expect([got, right]).toEqual([total, true])
    expect(most).toBeLessThan(16 * MEBIBYTE)
  }, 30_000)

  it('goes up whole, chunked', async () => {
    const total = 8 * MEBIBYTE
    const hub = await hubWith(async (head, reader, work) => {
      expect(head.toLowerCase()).toContain('transfer-encoding: chunked')
      let got = 0
      for (let last = ''; !last.endsWith('0\r\n\r\n'); ) {
        const part = await reader.until((bytes) => bytes.length > 0)
        got += part.length
        last = (last + String.fromCharCode(...part.slice(-5))).slice(-5)
      }
      work.write(answerOf(String(got >= total)))
    })
    let sent = 0
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(new Uint8Array(65_536).fill(sent >> 16))
        sent += 65_536
        if (sent >= total) controller.close()
      },
    })
    expect(await (await hub.fetch('http://web.test/', { method: 'POST', body })).text()).toBe('true')
  })

  it('of events arrives one by one', async () => {
    let say: (text: string) => void = () => undefined
    const hub = await hubWith((_head, reader, work) => {
      say = (text) => {
        const event = `data: ${text}\n\n`
        void reader.write(bytesOf(`${event.length.toString(16)}\r\n${event}\r\n`))
      }
      work.write(bytesOf('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n'))
    })
    const response = await hub.fetch('http://web.test/')
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    for (const text of ['one', 'two', 'three']) {
      say(text)
      expect((await reader?.read())?.value).toBe(`data: ${text}\n\n`)
    }
    await reader?.cancel()
  })

  it('that breaks off at the service breaks for the user, by length and chunked', async () => {
    const framings = {
      length: 'Content-Length: 100\r\n\r\nhalf',
      chunked: 'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    }
    for (const framing of Object.values(framings)) {
      let cut: () => void = () => undefined
      const hub = await hubWith((_head, _reader, work) => {
        cut = () => work.end()
        work.write(bytesOf(`HTTP/1.1 200 OK\r\n${framing}`))
      })
      const response = await hub.fetch('http://web.test/')
      cut()
      await expect(response.text()).rejects.toThrow()
    }
  })

  it('that breaks off in the message that brought its head is broken, not missing', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub)
    const service = web((_head, _reader, work) => {
      client.link.isHolding = true
      work.write(bytesOf('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'))
      work.end()
      client.link.isHolding = false
      client.link.sendSome(1_000)
    })
    await client.register({ proxy_name: 'web', proxy_type: 'http', custom_domains: ['web.test'] }, service)
    const response = await hub.fetch('http://web.test/')
    expect(response.status).toBe(200)
    await expect(response.text()).rejects.toThrow()
  })

  it('that the user does not want any more is reset at the service', async () => {
    let closed: Promise<Error | undefined> | undefined
    const hub = await hubWith(async (_head, reader, work) => {
      closed = reader.closed
      work.write(bytesOf('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'))
      while (!reader.isOver) await reader.write(bytesOf(`4000\r\n${'m'.repeat(0x4000)}\r\n`))
    })
    const response = await hub.fetch('http://web.test/')
    const reader = response.body?.getReader()
    await reader?.read()
    await reader?.cancel()
    await eventually(() => closed !== undefined)
    expect(await closed).toBeInstanceOf(Error)
  })

  it('of a request that was given up before its answer resets the service', async () => {
    let closed: Promise<Error | undefined> | undefined
    const hub = await hubWith((_head, reader) => {
      closed = reader.closed
    })
    const abort = new AbortController()
    const request = hub.fetch('http://web.test/', { signal: abort.signal })
    await eventually(() => closed !== undefined)
    abort.abort()
    await expect(request).rejects.toThrow()
    await turn()
    expect(await closed).toBeInstanceOf(Error)
  })
})
