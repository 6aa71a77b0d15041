import { describe, expect, it } from 'vitest'
import type { ByteStream } from '../../../protocol/stream/byte-stream.ts'
import { pair } from '../../../protocol/stream/pair.ts'
import { TokenBucket, throttle } from '../../../protocol/stream/throttle.ts'
import { Below, ManualRuntime, Reader } from './harness.ts'
import { toHex } from './vectors.ts'

const text = Uint8Array.from({ length: 10_000 }, (_, i) => i & 255)

function open(bytesPerSecond: number) {
  const runtime = new ManualRuntime()
  const bucket = new TokenBucket(bytesPerSecond, runtime)
  const below = new Below()
  const stream = throttle(below, bucket)
  const reader = new Reader()
  stream.attach(reader)
  return { runtime, bucket, below, stream, reader }
}

describe('TokenBucket', () => {
  it('lets a second pass at once and then the rate', () => {
    const runtime = new ManualRuntime()
    const bucket = new TokenBucket(1_000, runtime)
    expect(bucket.take(1_000)).toBe(true)
    expect(bucket.take(1)).toBe(false)
    const grants: number[] = []
    for (let i = 0; i < 5; i++) bucket.wait(500, () => grants.push(runtime.now))
    while (runtime.step());
    expect(grants).toEqual([500, 1_000, 1_500, 2_000, 2_500])
  })

  it('is first come, first served: a small one does not overtake', () => {
    const runtime = new ManualRuntime()
    const bucket = new TokenBucket(1_000, runtime)
    bucket.take(500)
    const order: string[] = []
    bucket.wait(1_000, () => order.push('large'))
    expect(bucket.take(1)).toBe(false)
    bucket.wait(1, () => order.push('small'))
    while (runtime.step());
    expect(order).toEqual(['large', 'small'])
  })

  it('has a deadline open only while somebody waits', () => {
    const runtime = new ManualRuntime()
    const bucket = new TokenBucket(1_000, runtime)
    bucket.take(1_000)
    expect(runtime.deadlines).toBe(0)
    const first = bucket.wait(10, () => undefined)
    const second = bucket.wait(10, () => undefined)
    expect(runtime.deadlines).toBe(1)
    first.cancel()
    first.cancel()
    expect(runtime.deadlines).toBe(1)
    second.cancel()
    expect(runtime.deadlines).toBe(0)
  })

  it('saves no more than a second up', () => {
    const runtime = new ManualRuntime()
    const bucket = new TokenBucket(1_000, runtime)
    runtime.now = 3_600_000
    expect(bucket.take(1_000)).toBe(true)
    expect(bucket.take(1)).toBe(false)
  })
})

describe('throttle', () => {
  it('reads at the rate, and more than a second holds in pieces', () => {
    const { runtime, below, reader } = open(1_000)
    expect(below.deliver(text)).toBe(false)
    expect(reader.bytes.length).toBe(1_000)
    while (runtime.step()) expect(reader.bytes.length).toBeLessThanOrEqual(1_000 + runtime.now)
    expect(toHex(reader.bytes)).toBe(toHex(text))
    expect(runtime.now).toBe(9_000)
    expect(below.isWaiting).toBe(false)
  })

  it('writes at the rate, and keeps the chunk until it is sent', () => {
    const { runtime, below, stream, reader } = open(1_000)
    expect(stream.write(text.slice())).toBe(false)
    stream.end()
    expect(below.bytes.length).toBe(1_000)
    while (runtime.step()) expect(below.bytes.length).toBeLessThanOrEqual(1_000 + runtime.now)
    expect(toHex(below.bytes)).toBe(toHex(text))
    expect(reader.drains).toBe(1)
    expect(below.isEnded).toBe(true)
    expect(runtime.now).toBe(9_000)
  })

  it('waits for the stream below too, without taking tokens meanwhile', () => {
    const { runtime, below, stream, reader } = open(1_000)
    below.keepNext = 1
    expect(stream.write(text.slice(0, 1_500))).toBe(false)
    expect(below.bytes.length).toBe(1_000)
    expect(runtime.deadlines).toBe(0)
    runtime.now = 10_000
    below.drain()
    expect(below.bytes.length).toBe(1_500)
    expect(reader.drains).toBe(1)
  })

  it('shares a bucket between streams and directions', () => {
    const { runtime, bucket, below, stream, reader } = open(1_000)
    const other = new Below()
    throttle(other, bucket).attach(new Reader())
    stream.write(text.slice(0, 600))
    other.deliver(text.slice(0, 400))
    expect(stream.write(text.slice(0, 100))).toBe(false)
    expect(below.deliver(text.slice(0, 100))).toBe(false)
    runtime.step()
    expect(runtime.now).toBe(100)
    expect(reader.bytes.length).toBe(0)
    runtime.step()
    expect(runtime.now).toBe(200)
    expect(reader.bytes.length).toBe(100)
  })

  it('delivers nothing while the reader pauses or keeps a piece', () => {
    const { runtime, below, stream, reader } = open(1_000)
    reader.keepNext = 1
    expect(below.deliver(text.slice(0, 3_000))).toBe(false)
    runtime.step()
    expect(reader.chunks.length).toBeLessThanOrEqual(1)
    while (runtime.step());
    expect(reader.chunks.length).toBe(1)
    stream.pause()
    stream.resume()
    while (runtime.step());
    expect(toHex(reader.bytes)).toBe(toHex(text.subarray(0, 3_000)))
    expect(below.isPaused || below.isWaiting).toBe(false)
  })

  it('leaves no deadline behind when the stream is destroyed', () => {
    const { runtime, below, stream, reader } = open(1_000)
    stream.write(text.slice())
    below.deliver(text.slice())
    expect(runtime.deadlines).toBe(1)
    stream.destroy()
    expect(runtime.deadlines).toBe(0)
    expect(reader.closes).toBe(1)
    expect(stream.write(text.slice())).toBe(true)
  })

  it('carries FIN both ways, each after its bytes', () => {
    const runtime = new ManualRuntime()
    const [a, b] = pair()
    const stream: ByteStream = throttle(a, new TokenBucket(100, runtime))
    const [ours, theirs] = [new Reader(), new Reader()]
    stream.attach(ours)
    b.attach(theirs)
    b.write(text.slice(0, 250))
    b.end()
    stream.write(text.slice(0, 250))
    stream.end()
    while (runtime.step());
    expect([ours.bytes.length, ours.isEnded, ours.closes, ours.error]).toEqual([250, true, 1, undefined])
    expect([theirs.bytes.length, theirs.isEnded, theirs.closes, theirs.error]).toEqual([250, true, 1, undefined])
  })
})
