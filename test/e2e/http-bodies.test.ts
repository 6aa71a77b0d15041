import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { Agent, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { CleanUp } from './client-rig.ts'
import { ask, exchangeRaw, type WebServer, webServer } from './rig/http.ts'
import { dialUser, endingOf, wordFor } from './rig/sockets.ts'
import { startTunnel } from './rig/tunnel.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const MIB = 1024 * 1024

async function startWeb(
  onRequest: (request: IncomingMessage, response: ServerResponse) => void,
  more: object = {},
): Promise<WebServer & { vhostPort: number }> {
  const web = await webServer(cleanUp, onRequest)
  const proxies = [{ name: 'h', type: 'http', localPort: web.port, customDomains: ['h'], ...more }]
  const { vhostPort } = await startTunnel(cleanUp, { proxies })
  return Object.assign(web, { vhostPort })
}

/** Blocks that differ, made as they go. */
function* blocks(bytes: number): Generator<Buffer> {
  for (let sent = 0; sent < bytes; sent += MIB) yield Buffer.alloc(MIB, String(sent))
}

function digestOf(bytes: number): string {
  const hash = createHash('sha256')
  for (const block of blocks(bytes)) hash.update(block)
  return hash.digest('hex')
}

describe('bodies through the vhost', () => {
  it('of 200 MB arrive whole in both directions at once, by chunks and by length', { timeout: 60_000 }, async () => {
    const bytes = 200 * MIB
    let whole: (digest: string) => void
    const uploaded = new Promise<string>((resolve) => {
      whole = resolve
    })
    const { vhostPort } = await startWeb((asked, response) => {
      const hash = createHash('sha256')
      asked.on('data', (part) => hash.update(part))
      asked.on('end', () => whole(hash.digest('hex')))
      response.setHeader('Content-Length', bytes)
      Readable.from(blocks(bytes)).pipe(response)
    })
    const upload = request({ port: vhostPort, host: '127.0.0.1', method: 'POST', headers: { host: 'h' } })
    const response = once(upload, 'response')
    const sending = pipeline(Readable.from(blocks(bytes)), upload)
    const [answer] = await response
    const hash = createHash('sha256')
    for await (const part of answer) hash.update(part)
    await sending
    // The answer may be through before the last of the upload is.
    expect([hash.digest('hex'), await uploaded]).toEqual([digestOf(bytes), digestOf(bytes)])
  })

  it('go up to their end though the answer is complete long before, and the connection goes on', async () => {
    let received = 0
    let over: () => void
    const isWhole = new Promise<void>((resolve) => {
      over = resolve
    })
    const { vhostPort } = await startWeb((asked, response) => {
      response.end('I know already')
      asked.on('data', (part: Buffer) => {
        received += part.length
      })
      asked.on('end', () => over())
    })
    const socket = dialUser(cleanUp, vhostPort)
    const answers: string[] = []
    socket.setEncoding('utf8').on('data', (text: string) => answers.push(text))
    socket.write(`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${8 * MIB}\r\n\r\n`)
    while (!answers.join('').endsWith('I know already')) await once(socket, 'data')
    await pipeline(Readable.from(blocks(8 * MIB)), socket, { end: false })
    await isWhole
    expect(received).toBe(8 * MIB)
    answers.length = 0
    socket.write('GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n')
    await once(socket, 'end')
    expect(answers.join('')).toMatch(/^HTTP\/1\.1 200 .*I know already/s)
  })

  it('in chunks keep their chunks and trailers in both directions', async () => {
    const { vhostPort } = await startWeb((asked, response) => {
      const parts: Buffer[] = []
      asked.on('data', (part) => parts.push(part))
      asked.on('end', () => {
        response.writeHead(200, { Trailer: 'X-Sum' })
        for (const part of parts) response.write(part)
        response.addTrailers({ 'X-Sum': String(asked.trailers['x-asked']) })
        response.end()
      })
    })
    const chunked = '3;note=x\r\nabc\r\n2\r\nde\r\n0\r\nX-Asked: 42\r\n\r\n'
    const head = 'POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n'
    const text = await exchangeRaw(cleanUp, vhostPort, head + chunked)
    expect(text).toMatch(/\r\nTransfer-Encoding: chunked\r\n/i)
    expect(text).toMatch(/3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 42\r\n\r\n$/)
  })

  it('of events arrive one by one, each before the next is sent', async () => {
    let push: (text: string) => void = () => undefined
    const { vhostPort } = await startWeb((_asked, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' })
      response.flushHeaders()
      push = (text) => void response.write(text)
    })
    const asked = request({ port: vhostPort, host: '127.0.0.1', headers: { host: 'h' } }).end()
    const [answer] = await once(asked, 'response')
    answer.setEncoding('utf8')
    for (let index = 0; index < 50; index++) {
      const event = once(answer, 'data')
      push(`data: ${index}\n\n`)
      expect(await event).toEqual([`data: ${index}\n\n`])
    }
    asked.destroy()
  })

  it('end an answer that comes before the request is whole, without harm for the next user', async () => {
    const { vhostPort } = await startWeb((asked, response) => {
      if (asked.url === '/early') response.writeHead(413, { Connection: 'close' }).end('too large')
      else response.end('fine')
    })
    const socket = dialUser(cleanUp, vhostPort)
    const ending = endingOf(socket)
    socket.write(`POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: ${64 * MIB}\r\n\r\n`)
    const more = Readable.from(blocks(32 * MIB))
    more.pipe(socket, { end: false })
    socket.on('end', () => socket.end())
    const { bytes } = await ending
    expect(bytes.toString()).toMatch(/^HTTP\/1\.1 413 .*\r\nConnection: close\r\n.*\r\ntoo large\r\n0\r\n\r\n$/is)
    expect((await ask(vhostPort, { headers: { host: 'h' } })).text).toBe('fine')
  })

  it('are asked for by 100 Continue, which comes through', async () => {
    const { vhostPort } = await startWeb((asked, response) => void asked.pipe(response))
    const asked = request({
      port: vhostPort,
      host: '127.0.0.1',
      method: 'PUT',
      headers: { host: 'h', expect: '100-continue', 'content-length': 5 },
    })
    asked.flushHeaders()
    await once(asked, 'continue')
    asked.end('hello')
    const [answer] = await once(asked, 'response')
    expect(Buffer.concat(await answer.toArray()).toString()).toBe('hello')
  })
})

describe('answers through the vhost', () => {
  it('without a body end where their head ends', async () => {
    const { vhostPort } = await startWeb((asked, response) => {
      const status = Number(asked.url?.slice(1))
      if (asked.method === 'HEAD') response.setHeader('Content-Length', 12_345)
      response.writeHead(status).end()
    })
    const ask3 = ['HEAD /200', 'GET /204', 'GET /304', 'HEAD /404', 'GET /204']
    const requests = ask3.map((line) => `${line} HTTP/1.1\r\nHost: h\r\n\r\n`).join('')
    const last = 'GET /204 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'
    const text = await exchangeRaw(cleanUp, vhostPort, requests + last)
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual([200, 204, 304, 404, 204, 204].map((code) => `HTTP/1.1 ${code}`))
    expect(text).toMatch(/Content-Length: 12345/i)
  })

  it('to ranges come as the service gives them', async () => {
    const { vhostPort } = await startWeb((asked, response) => {
      response.writeHead(206, { 'Content-Range': 'bytes 2-4/10' }).end(`${asked.headers.range}`)
    })
    const answer = await ask(vhostPort, { headers: { host: 'h', range: 'bytes=2-4' } })
    expect(answer).toMatchObject({ status: 206, text: 'bytes=2-4', headers: { 'content-range': 'bytes 2-4/10' } })
  })

  it('to pipelined requests come in their order, each to its own host', async () => {
    const { vhostPort } = await startWeb((asked, response) => {
      asked.resume().on('end', () => response.end(`<${asked.url}>`))
    })
    let text = ''
    for (let index = 0; index < 100; index++) {
      const body = 'b'.repeat(index)
      text += index % 10 === 9 ? 'GET / HTTP/1.1\r\nHost: nobody\r\n\r\n' : ''
      text += `POST /${index} HTTP/1.1\r\nHost: h\r\nContent-Length: ${index}\r\n\r\n${body}`
    }
    text += 'GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'
    const answers = await exchangeRaw(cleanUp, vhostPort, text)
    const order = [...Array.from({ length: 100 }, (_, index) => `</${index}>`), '</last>']
    expect(answers.match(/<\/\w+>(?=HTTP|$)/g)?.filter((url) => url !== '</html>')).toEqual(order)
    expect(answers.match(/HTTP\/1\.1 404/g)).toHaveLength(10)
  })

  it('share connections to the service: the next request opens none', async () => {
    const web = await startWeb((asked, response) => void asked.pipe(response))
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    cleanUp.add(() => agent.destroy())
    for (let index = 0; index < 20; index++) {
      // The user's own connection is kept or not: the way to the service is another matter.
      const options = index % 2 === 0 ? { agent } : {}
      const answer = await ask(web.vhostPort, { ...options, method: 'POST', headers: { host: 'h' }, body: `${index}` })
      expect(answer.text).toBe(`${index}`)
    }
    expect(web.connections).toBe(1)
  })

  it('survive that the service closed the connection that was kept', async () => {
    const web = await startWeb((_asked, response) => void response.end('fine'))
    for (let index = 0; index < 20; index++) {
      expect((await ask(web.vhostPort, { headers: { host: 'h' } })).text).toBe('fine')
      web.server.closeIdleConnections()
    }
  })

  it('suit a user of HTTP/1.0: no chunks, and the end of the connection ends them', async () => {
    const { vhostPort } = await startWeb((_asked, response) => {
      response.write('in ')
      response.end('chunks')
    })
    const text = await exchangeRaw(cleanUp, vhostPort, 'GET / HTTP/1.0\r\nHost: h\r\n\r\n')
    expect(text).toMatch(/\r\n\r\nin chunks$/)
    expect(text).not.toMatch(/transfer-encoding/i)
  })
})

describe('what breaks on the way', () => {
  it('resets the request to the service when the user aborts, at any place', async () => {
    const ended: string[] = []
    const { vhostPort } = await startWeb((asked, response) => {
      asked.on('error', () => undefined).resume()
      response.on('close', () => ended.push(response.writableFinished ? 'finished' : 'cut'))
      if (asked.url === '/answering') response.write('some')
      else response.flushHeaders()
    })
    const heads = [
      'GET /answering HTTP/1.1\r\nHost: h\r\n\r\n',
      'POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf',
    ]
    for (const head of heads) {
      const socket = dialUser(cleanUp, vhostPort)
      socket.write(head)
      await once(socket, 'data')
      socket.resetAndDestroy()
    }
    await expect.poll(() => ended).toEqual(['cut', 'cut'])
  })

  it('breaks the answer when the service dies inside it, whatever the framing', async () => {
    const { vhostPort } = await startWeb((asked, response) => {
      if (asked.url === '/length') response.setHeader('Content-Length', 1_000)
      if (asked.url === '/reset') response.useChunkedEncodingByDefault = false
      response.write('some', () => {
        if (asked.url === '/reset') asked.socket.resetAndDestroy()
        else asked.socket.destroy()
      })
    })
    for (const path of ['/chunked', '/length', '/reset']) {
      const socket = dialUser(cleanUp, vhostPort)
      socket.write(`GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`)
      expect([path, wordFor(await endingOf(socket))]).toEqual([path, 'ECONNRESET'])
    }
  })
})

describe('an upgrade', () => {
  it('carries a WebSocket both ways, with its close code', async () => {
    const web = await startWeb((_asked, response) => void response.end())
    const wss = new WebSocketServer({ server: web.server })
    wss.on('connection', (socket, asked) => {
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
      socket.on('close', (code) => closes.push(`${asked.url} ${code}`))
    })
    const closes: string[] = []
    await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        const socket = new WebSocket(`ws://127.0.0.1:${web.vhostPort}/${index}`, { headers: { host: 'h' } })
        await once(socket, 'open')
        for (const size of [0, 1, 126, 70_000, MIB]) {
          const message = Buffer.alloc(size, index)
          const back = once(socket, 'message')
          socket.send(message)
          expect(Buffer.compare((await back)[0], message)).toBe(0)
        }
        socket.close(4321)
        await once(socket, 'close')
      }),
    )
    await expect.poll(() => closes.sort()).toEqual(Array.from({ length: 10 }, (_, index) => `/${index} 4321`))
  })

  it('that the service refuses leaves the connection to HTTP: what follows is a request, not passed through', async () => {
    const web = await startWeb((asked, response) => void response.end(`<${asked.url}>`))
    const upgrade = 'GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
    const hidden = 'GET /smuggled HTTP/1.1\r\nHost: nobody\r\n\r\n'
    const last = 'GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'
    const text = await exchangeRaw(cleanUp, web.vhostPort, upgrade + hidden + last)
    expect(text).toContain('</ws>')
    expect(text).toContain('HTTP/1.1 404')
    expect(text).not.toContain('smuggled')
    expect(text).toContain('</last>')
  })
})
