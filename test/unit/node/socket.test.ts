import type net from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { codeOf } from '../../../contract/errors.ts'
import { dial } from '../../../node/dial.ts'
import { socketStream } from '../../../node/socket.ts'
import { canUseReadBuffer } from '../../../node/socket-handle.ts'
import { join } from '../../../protocol/stream/join.ts'
import { isSame, Probe, pattern, turns } from '../../contract/probe.ts'
import { connectedSockets } from '../../contract/sockets.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

async function sockets(): Promise<[net.Socket, net.Socket]> {
  const [a, b, close] = await connectedSockets()
  closers.push(
    close,
    () => a.destroy(),
    () => b.destroy(),
  )
  a.on('error', () => {})
  b.on('error', () => {})
  return [a, b]
}

describe('a socket as a Link', () => {
  it('can read into our buffer on this runtime; else it is twice as slow and somebody should know', () => {
    expect(canUseReadBuffer()).toBe(true)
  })

  it('brings bytes with room for headers before them, in plain memory', async () => {
    const [a, b] = await sockets()
    const stream = socketStream(b)
    const seen = new Promise<number>((resolve) => {
      stream.attach({
        onData(chunk, headRoom) {
          // Buffer.slice would not copy.
          expect(chunk.constructor).toBe(Uint8Array)
          expect(chunk.byteOffset).toBeGreaterThanOrEqual(headRoom)
          resolve(headRoom)
          return true
        },
        onEnd() {},
        onDrain() {},
        onClose() {},
      })
    })
    a.write('x')
    expect(await seen).toBe(32)
  })

  it('tells data followed by a reset from data followed by the end', async () => {
    for (const length of [1, 4_096, 10_000, 69_632, 1_000_000]) {
      for (const isReset of [true, false]) {
        const [a, b] = await sockets()
        const probe = new Probe(socketStream(b))
        probe.stream.pause()
        await new Promise((resolve) => a.write(pattern(length), resolve))
        if (isReset) a.resetAndDestroy()
        else a.end()
        await turns(3)
        probe.stream.resume()
        await probe.until(() => probe.ends + probe.closes > 0)
        if (isReset) expect([length, probe.ends, codeOf(probe.closeError)]).toEqual([length, 0, 'STREAM_RESET'])
        else expect([probe.bytesRead, probe.ends, probe.closes]).toEqual([length, 1, 0])
      }
    }
  })

  it('starts with what somebody read and gave back', async () => {
    const [a, b] = await sockets()
    a.write(pattern(1_000))
    await new Promise((resolve) => b.once('readable', resolve))
    const first: unknown = b.read(1_000)
    if (!Buffer.isBuffer(first)) throw new Error('nothing read')
    b.unshift(first)
    const probe = new Probe(socketStream(b))
    a.write(pattern(500, 2))
    await probe.until(() => probe.bytesRead === 1_500)
    expect(isSame(probe.received, new Uint8Array(Buffer.concat([pattern(1_000), pattern(500, 2)])))).toBe(true)
  })

  it('knows an end that came before it took the socket over', async () => {
    const [a, b] = await sockets()
    a.end('bye')
    b.resume()
    await new Promise((resolve) => b.once('end', resolve))
    const probe = new Probe(socketStream(b))
    expect(probe.ends).toBe(1)
  })

  it('sends the small writes of a corked turn in one write', async () => {
    const [a, b] = await sockets()
    const link = socketStream(a)
    const [writer, reader] = [new Probe(link), new Probe(socketStream(b))]
    link.cork()
    for (let i = 0; i < 10; i++) await writer.write(pattern(100, i))
    expect(a.bytesWritten).toBe(0)
    await reader.until(() => reader.bytesRead === 1_000)
    expect(reader.events).toEqual(['data'])
  })

  it('bounds what a corked writer can pile up', async () => {
    const [a, b] = await sockets()
    const link = socketStream(a)
    const writer = new Probe(link)
    const reader = new Probe(socketStream(b))
    reader.stream.pause()
    let drained: Promise<void> | undefined
    for (let i = 0; i < 100_000 && drained === undefined; i++) {
      link.cork()
      drained = writer.tryWrite(pattern(1_000))
      if (i % 50 === 0) await turns(1)
    }
    expect(drained).toBeDefined()
    reader.stream.resume()
    await drained
  })

  it('reads on after a large transfer and a quiet second, with a small buffer again', async () => {
    const [a, b] = await sockets()
    const [writer, reader] = [new Probe(socketStream(a)), new Probe(socketStream(b))]
    await writer.write(pattern(3_000_000))
    await reader.until(() => reader.bytesRead === 3_000_000)
    const sizes: number[] = []
    reader.onChunk = (chunk) => sizes.push(chunk.length)
    await new Promise((resolve) => setTimeout(resolve, 2_200))
    await writer.write(pattern(20_000))
    await reader.until(() => reader.bytesRead === 3_020_000)
    expect(sizes[0]).toBe(4_096)
    expect(isSame(reader.received.subarray(3_000_000), pattern(20_000))).toBe(true)
  })

  it('joins two connections: bytes, half-close and the answer behind it', async () => {
    const [user, userSide] = await sockets()
    const [serviceSide, service] = await sockets()
    const closed = new Promise<Error | undefined>((resolve) => {
      join(socketStream(userSide), socketStream(serviceSide), { onClose: resolve })
    })
    const [a, b] = [new Probe(socketStream(user)), new Probe(socketStream(service))]
    await a.write(pattern(2_000_000))
    a.stream.end()
    await b.until(() => b.ends === 1)
    expect(isSame(b.received, pattern(2_000_000))).toBe(true)
    await b.write(pattern(1_000_000, 2))
    b.stream.end()
    await a.until(() => a.closes === 1)
    expect(a.bytesRead).toBe(1_000_000)
    expect(await closed).toBeUndefined()
  })

  it('joins two connections: a reset on one side is a reset on the other', async () => {
    const [user, userSide] = await sockets()
    const [serviceSide, service] = await sockets()
    join(socketStream(userSide), socketStream(serviceSide))
    const probe = new Probe(socketStream(user))
    service.resetAndDestroy()
    await probe.until(() => probe.closes === 1)
    expect([probe.ends, codeOf(probe.closeError)]).toEqual([0, 'STREAM_RESET'])
  })
})

describe('dial', () => {
  it('fails with CONNECT_FAILED and names the target, and stops with its signal', async () => {
    await expect(dial({ host: '127.0.0.1', port: 1 })).rejects.toThrow('cannot connect to 127.0.0.1:1')
    const stop = new AbortController()
    stop.abort(new Error('enough'))
    await expect(dial({ host: '127.0.0.1', port: 1 }, stop.signal)).rejects.toThrow('enough')
  })
})
