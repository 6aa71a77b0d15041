import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { CleanUp, type Ending } from './client-rig.ts'
import { CARRIERS, WRAPPINGS } from './rig/carriers.ts'
import { dialUser, endingOf, service, wordFor } from './rig/sockets.ts'
import { batched, startTunnel, type Tunnel } from './rig/tunnel.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

/** How often each ending has to come out right, over all wrappings of a carrier. */
const ALL_TIMES = 200
const TIMES = ALL_TIMES / WRAPPINGS.length
const AT_ONCE = 20
/** More than one yamux frame or TLS record holds in one piece, and not compressible to nothing. */
const ANSWER_BYTES = 20_000

function answerTo(request: Uint8Array): Buffer {
  const digest = createHash('sha256').update(request).digest()
  return Buffer.concat(Array.from({ length: ANSWER_BYTES / digest.length }, () => digest))
}

/** A request that no other has, 1 to some thousand bytes long. */
function requestOf(index: number): Buffer {
  return Buffer.from(`${index}:`.repeat(1 + ((index * 37) % 900)))
}

/** Answers what came until the other side's FIN, then ends. */
function answering(socket: Socket): void {
  const parts: Buffer[] = []
  socket.on('data', (part) => parts.push(part))
  socket.on('end', () => socket.end(answerTo(Buffer.concat(parts))))
}

function tunnelTo(localPort: number, transport: object): Promise<Tunnel> {
  const proxies = WRAPPINGS.map(({ wrapping, transport: wrap }) => ({
    name: wrapping,
    type: 'tcp',
    localPort,
    transport: wrap,
  }))
  return startTunnel(cleanUp, { transport, proxies })
}

/** `ok`, or what went wrong: so that a failure names its cause and how often it came. */
function tally(results: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const result of results) counts[result] = (counts[result] ?? 0) + 1
  return counts
}

describe.each(CARRIERS)('over $name', { timeout: 60_000 }, ({ transport }) => {
  it('a request that ends in a half-close gets its whole answer', async () => {
    const tunnel = await tunnelTo(await service(cleanUp, answering), transport)
    for (const { wrapping } of WRAPPINGS) {
      const port = tunnel.portOf(wrapping)
      const results = await batched(TIMES, AT_ONCE, async (index) => {
        const request = requestOf(index)
        const { bytes, ended, error } = await ask(port, request, true)
        if (error !== undefined) return error.message
        if (!ended) return 'no end'
        return bytes.equals(answerTo(request)) ? 'ok' : `${bytes.length} bytes of another answer`
      })
      expect({ wrapping, ...tally(results) }).toEqual({ wrapping, ok: TIMES })
    }
  })

  it('a service that ends first still gets all that its user sends', async () => {
    const heard = new Map<string, string>()
    const port = await service(cleanUp, (socket) => {
      const parts: Buffer[] = []
      let error: string | undefined
      socket.end('go on')
      socket.on('data', (part) => parts.push(part))
      socket.on('error', ({ message }) => {
        error = message
      })
      socket.on('close', () => {
        const text = Buffer.concat(parts).toString()
        heard.set(text.slice(0, text.indexOf(':') + 1), error ?? text)
      })
    })
    const tunnel = await tunnelTo(port, transport)
    for (const { wrapping } of WRAPPINGS) {
      heard.clear()
      const results = await batched(TIMES, AT_ONCE, (index) => sendAfterEnd(tunnel.portOf(wrapping), index))
      expect({ wrapping, ...tally(results) }).toEqual({ wrapping, ok: TIMES })
      await expect.poll(() => heard.size).toBe(TIMES)
      for (const [key, text] of heard) expect(text).toBe(requestOf(Number.parseInt(key, 10)).toString())
    }
  })

  it('a reset by the service is an error for the user, with whatever came before', async () => {
    const port = await service(cleanUp, (socket) => {
      socket.once('data', () => socket.write(answerTo(Buffer.alloc(0)), () => socket.resetAndDestroy()))
    })
    const tunnel = await tunnelTo(port, transport)
    for (const { wrapping } of WRAPPINGS) {
      const results = await batched(TIMES, AT_ONCE, async (index) => {
        return wordFor(await ask(tunnel.portOf(wrapping), requestOf(index), index % 2 === 0))
      })
      expect({ wrapping, ...tally(results) }).toEqual({ wrapping, ECONNRESET: TIMES })
    }
  })

  it('a reset by the user is an error for the service', async () => {
    const endings: string[] = []
    const port = await service(cleanUp, (socket) => {
      socket.once('data', () => socket.write('go on'))
      void endingOf(socket).then((ending) => endings.push(wordFor(ending)))
    })
    const tunnel = await tunnelTo(port, transport)
    for (const { wrapping } of WRAPPINGS) {
      endings.length = 0
      await batched(TIMES, AT_ONCE, (index) => resetAfterAnswer(tunnel.portOf(wrapping), requestOf(index)))
      await expect.poll(() => endings.length).toBe(TIMES)
      expect({ wrapping, ...tally(endings) }).toEqual({ wrapping, ECONNRESET: TIMES })
    }
  })
})

/** Sends a request, half-closes if asked, and reads until the connection is over. */
function ask(port: number, request: Buffer, isEnding: boolean): Promise<Ending> {
  const socket = dialUser(cleanUp, port)
  socket.write(request)
  if (isEnding) socket.end()
  else socket.on('end', () => socket.end())
  return endingOf(socket)
}

/** Says its request only when the service has ended. */
async function sendAfterEnd(port: number, index: number): Promise<string> {
  const socket = dialUser(cleanUp, port)
  socket.on('end', () => socket.end(requestOf(index)))
  const ending = await endingOf(socket)
  return ending.bytes.toString() === 'go on' ? 'ok' : wordFor(ending)
}

async function resetAfterAnswer(port: number, request: Buffer): Promise<void> {
  const socket = dialUser(cleanUp, port)
  socket.write(request)
  socket.once('data', () => socket.resetAndDestroy())
  await endingOf(socket)
}
