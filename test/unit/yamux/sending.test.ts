import { describe, expect, it } from 'vitest'
import { HEAD_ROOM } from '../../../protocol/limits.ts'
import { READ_ONLY } from '../../../protocol/stream/byte-stream.ts'
import {
  FLAG_ACK,
  FLAG_FIN,
  FLAG_RST,
  FLAG_SYN,
  header,
  MAX_DATA_BYTES,
  TYPE_DATA,
  TYPE_PING,
  TYPE_WINDOW_UPDATE,
} from '../../../protocol/yamux/frame.ts'
import { concat, data, type Frame, pattern, Reader, Side } from './harness.ts'

const WINDOW = 262_144
const grant = (id: number, delta: number) => header(TYPE_WINDOW_UPDATE, 0, id, delta)

function bodies(frames: Frame[], id: number): Uint8Array {
  return concat(frames.filter((frame) => frame.id === id).map((frame) => frame.body))
}

function roomy(bytes: Uint8Array): Uint8Array {
  const memory = new Uint8Array(HEAD_ROOM + bytes.length)
  memory.set(bytes, HEAD_ROOM)
  return memory.subarray(HEAD_ROOM)
}

describe('a chunk on its way out', () => {
  it('takes its header in its head room, in one write', () => {
    const side = new Side()
    const { stream } = side.accept(1)
    const before = side.link.writes
    expect(stream.write(roomy(pattern(10_000)), HEAD_ROOM)).toBe(true)
    expect(side.link.writes - before).toBe(1)
    expect(bodies(side.frames(), 1)).toEqual(pattern(10_000))
  })

  it.each([0, 11, READ_ONLY])('with %i bytes of head room is written behind a header of its own', (room) => {
    const side = new Side()
    const { stream } = side.accept(1)
    const chunk = roomy(pattern(5000))
    const memory = new Uint8Array(chunk.buffer)
    memory.fill(0x77, 0, HEAD_ROOM)
    expect(stream.write(chunk, room)).toBe(true)
    expect(bodies(side.frames(), 1)).toEqual(pattern(5000))
    expect(memory.subarray(0, HEAD_ROOM - Math.max(0, room))).toEqual(
      new Uint8Array(HEAD_ROOM - Math.max(0, room)).fill(0x77),
    )
    if (room === READ_ONLY) expect(chunk).toEqual(pattern(5000))
  })

  it.each([0, HEAD_ROOM, READ_ONLY])('is split by the window and kept until it is out (head room %i)', (room) => {
    const side = new Side()
    const { stream, reader } = side.accept(1)
    const bytes = pattern(WINDOW + 5000)
    const chunk = roomy(bytes)
    expect(stream.write(chunk, room)).toBe(false)
    const frames = side.frames()
    expect(frames.map((frame) => frame.length)).toEqual([WINDOW])
    side.feed(grant(1, 10))
    expect(reader.events).toEqual([])
    side.feed(grant(1, 4990))
    frames.push(...side.frames())
    expect(frames.map((frame) => frame.length)).toEqual([WINDOW, 10, 4990])
    expect(reader.events).toEqual(['drain'])
    expect(bodies(frames, 1)).toEqual(bytes)
    if (room === READ_ONLY) expect(chunk.every((byte, index) => byte === bytes[index])).toBe(true)
  })

  it('goes in frames of at most 256 KiB', () => {
    const side = new Side()
    const { stream } = side.accept(1, 1_000_000)
    expect(stream.write(roomy(pattern(600_000)), HEAD_ROOM)).toBe(true)
    const frames = side.frames()
    expect(frames.map((frame) => frame.length)).toEqual([MAX_DATA_BYTES, MAX_DATA_BYTES, 600_000 - 2 * MAX_DATA_BYTES])
    expect(bodies(frames, 1)).toEqual(pattern(600_000))
  })

  it('is kept while the link keeps it, and its FIN waits', () => {
    const side = new Side()
    const { stream, reader } = side.accept(1)
    side.link.isSlow = true
    expect(stream.write(roomy(pattern(9000)), HEAD_ROOM)).toBe(false)
    stream.end()
    expect(side.frames().map((frame) => frame.type)).toEqual([TYPE_DATA])
    side.link.isSlow = false
    side.link.drain()
    expect(reader.events).toEqual(['drain'])
    expect(side.frames().map((frame) => frame.flags)).toEqual([FLAG_FIN])
  })

  it('follows its header when the link keeps the header', () => {
    const side = new Side()
    const { stream, reader } = side.accept(1)
    side.link.isSlow = true
    expect(stream.write(pattern(50))).toBe(false)
    side.feed(header(TYPE_PING, FLAG_SYN, 0, 1))
    side.link.drain()
    expect(reader.events).toEqual([])
    side.link.isSlow = false
    side.link.drain()
    expect(reader.events).toEqual(['drain'])
    const frames = side.frames()
    expect(frames.map((frame) => frame.type)).toEqual([TYPE_DATA, TYPE_PING])
    expect(bodies(frames, 1)).toEqual(pattern(50))
  })

  it('may not be written while another is kept', () => {
    const side = new Side()
    const { stream } = side.accept(1)
    stream.write(pattern(WINDOW + 1))
    expect(() => stream.write(pattern(1))).toThrow('write before onDrain')
  })
})

describe('streams share a link', () => {
  it('a stalled stream does not hold up another', () => {
    const side = new Side()
    const one = side.accept(1)
    const two = side.accept(3)
    expect(one.stream.write(pattern(WINDOW + 1))).toBe(false)
    side.link.take()
    for (let i = 0; i < 10; i++) expect(two.stream.write(pattern(1000, i))).toBe(true)
    expect(side.frames().map((frame) => frame.id)).toEqual(Array(10).fill(3))
  })

  it('those that wait for the link take turns, a frame each', () => {
    const side = new Side()
    const streams = [1, 3, 5].map((id) => side.accept(id, 10_000_000))
    side.link.isSlow = true
    for (const { stream } of streams) expect(stream.write(roomy(pattern(3 * MAX_DATA_BYTES)), HEAD_ROOM)).toBe(false)
    while (side.link.isLending) side.link.drain()
    expect(side.frames().map((frame) => frame.id)).toEqual([1, 3, 5, 1, 3, 5, 1, 3, 5])
    expect(streams.map(({ reader }) => reader.events)).toEqual([['drain'], ['drain'], ['drain']])
  })

  it('a writer that writes again in onDrain does not push ahead', () => {
    const side = new Side()
    const one = side.accept(1, 10_000_000)
    const two = side.accept(3, 10_000_000)
    let left = 3
    one.reader.onDrain = () => {
      if (left-- > 0) one.stream.write(roomy(pattern(100)), HEAD_ROOM)
    }
    side.link.isSlow = true
    one.stream.write(roomy(pattern(100)), HEAD_ROOM)
    two.stream.write(roomy(pattern(100)), HEAD_ROOM)
    while (side.link.isLending) side.link.drain()
    expect(side.frames().map((frame) => frame.id)).toEqual([1, 3, 1, 1, 1])
  })

  it('nor ahead of a ping: on the edge it is the answer to one that frees the link', () => {
    const side = new Side()
    const { stream, reader } = side.accept(1, 10_000_000)
    let left = 3
    reader.onDrain = () => {
      if (left-- > 0) stream.write(roomy(pattern(100)), HEAD_ROOM)
    }
    side.link.isSlow = true
    stream.write(roomy(pattern(100)), HEAD_ROOM)
    side.session.ping()
    while (side.link.isLending) side.link.drain()
    expect(side.frames().map((frame) => frame.type)).toEqual([TYPE_DATA, TYPE_PING, TYPE_DATA, TYPE_DATA, TYPE_DATA])
  })

  it('what a slow link leaves to say is kept as numbers: pongs, grants, resets', () => {
    const side = new Side()
    const { stream } = side.accept(1)
    side.accept(3)
    side.link.isSlow = true
    stream.write(roomy(pattern(10)), HEAD_ROOM)
    side.link.take()
    for (let i = 0; i < 100; i++) side.feed(header(TYPE_PING, FLAG_SYN, 0, i))
    for (let i = 0; i < 100; i++) side.feed(data(1, new Uint8Array(2000)))
    side.session.stream(3)?.destroy()
    side.link.isSlow = false
    side.link.drain()
    const frames = side.frames()
    const pongs = frames.filter((frame) => frame.type === TYPE_PING)
    expect(pongs.map((frame) => frame.length)).toEqual([92, 93, 94, 95, 96, 97, 98, 99])
    expect(frames.filter((frame) => frame.flags === FLAG_RST).map((frame) => frame.id)).toEqual([3])
    expect(frames.filter((frame) => frame.flags === 0 && frame.id === 1).map((frame) => frame.length)).toEqual([
      462_144,
    ])
  })

  it('opens beyond the backlog wait for answers', () => {
    const side = new Side({ role: 'client' })
    const streams = Array.from({ length: 258 }, () => side.session.open())
    streams[257]?.write(new Uint8Array([1]))
    expect(side.frames().length).toBe(256)
    side.feed(header(TYPE_WINDOW_UPDATE, FLAG_ACK, 1, 0))
    streams[0]?.destroy()
    side.feed(header(TYPE_WINDOW_UPDATE, FLAG_RST, 3, 0))
    const frames = side.frames()
    expect(frames.map((frame) => [frame.id, frame.type, frame.flags])).toEqual([
      [513, TYPE_WINDOW_UPDATE, FLAG_SYN],
      [1, TYPE_WINDOW_UPDATE, FLAG_RST],
      [515, TYPE_WINDOW_UPDATE, FLAG_SYN],
      [515, TYPE_DATA, 0],
    ])
  })
})

describe('the end of a stream', () => {
  it('destroy resets at once and drops what waits', () => {
    const side = new Side()
    const { stream, reader } = side.accept(1)
    stream.write(pattern(WINDOW + 1))
    side.link.take()
    stream.destroy()
    expect(reader.events).toEqual(['close STREAM_ABORTED'])
    expect(side.frames().map((frame) => frame.flags)).toEqual([FLAG_RST])
    expect(side.session.streamCount).toBe(0)
    expect(stream.write(pattern(5))).toBe(true)
    stream.end()
    stream.destroy()
    side.feed(grant(1, 100), data(1, 'late'))
    expect(side.link.takeHex()).toBe('')
    expect(reader.events.length).toBe(1)
  })

  it('comes only when the link has given the memory back', () => {
    for (const end of ['destroy', 'reset', 'close'] as const) {
      for (const room of [0, HEAD_ROOM]) {
        const side = new Side()
        const { stream, reader } = side.accept(1)
        side.link.isSlow = true
        const chunk = roomy(pattern(100))
        stream.write(chunk, room)
        if (end === 'destroy') stream.destroy()
        else if (end === 'reset') side.feed(header(TYPE_WINDOW_UPDATE, FLAG_RST, 1, 0))
        else side.session.close()
        stream.resume()
        expect(reader.events).toEqual([])
        side.link.drain()
        side.link.drain()
        const code = { destroy: 'STREAM_ABORTED', reset: 'STREAM_RESET', close: 'SESSION_ENDED' }[end]
        expect(reader.events).toEqual([`close ${code}`])
        if (end === 'close') continue
        const frames = side.frames()
        expect(bodies(frames, 1)).toEqual(pattern(100))
      }
    }
  })

  it('a link that closes frees what it had', () => {
    const side = new Side()
    const { stream, reader } = side.accept(1)
    side.link.isSlow = true
    stream.write(roomy(pattern(100)), HEAD_ROOM)
    side.link.destroy(new Error('cable'))
    expect(reader.events).toEqual(['close SESSION_ENDED'])
    expect(reader.error?.cause).toEqual(new Error('cable'))
    expect(side.closes).toEqual(['cable'])
  })

  it('half-closed streams are reset after 5 silent minutes, not while the peer sends', () => {
    const side = new Side()
    const one = side.accept(1)
    const two = side.accept(3)
    expect(side.session.tick(0)).toBe(undefined)
    one.stream.end()
    two.stream.end()
    expect(side.session.tick(1000)).toBe(300_000)
    side.feed(data(3, 'still here'))
    side.nowMs = 300_000
    expect(side.session.tick(300_000)).toBe(600_000)
    expect(one.reader.events).toEqual(['close TIMEOUT'])
    expect(two.reader.events).toEqual([])
    side.feed(header(TYPE_WINDOW_UPDATE, FLAG_FIN, 3, 0))
    expect(two.reader.events).toEqual(['end', 'close'])
    expect(side.session.tick(600_000)).toBe(undefined)
  })

  it('a link that the peer does not close after us is cut', () => {
    const side = new Side()
    side.session.close()
    expect(side.session.tick(9999)).toBe(10_000)
    expect(side.link.destroyedBy).toBe(undefined)
    side.session.tick(10_000)
    expect(side.link.destroyedBy).toBeDefined()
  })

  it('leaves nothing behind: 2000 streams opened, used and closed', () => {
    const side = new Side()
    for (let i = 0; i < 2000; i++) {
      const { stream } = side.accept(2 * i + 1)
      side.feed(data(stream.id, pattern(100)))
      stream.write(pattern(100))
      if (i % 3 === 0) stream.destroy()
      else if (i % 3 === 1) {
        stream.end()
        side.feed(header(TYPE_WINDOW_UPDATE, FLAG_FIN, stream.id, 0))
      } else side.feed(header(TYPE_WINDOW_UPDATE, FLAG_RST, stream.id, 0))
    }
    expect(side.session.streamCount).toBe(0)
    expect(side.session.heldBytes).toBe(0)
    expect(side.session.budget.used).toBe(0)
    expect(side.session.snapshot().length).toBeLessThan(40)
  })
})

describe('calls from inside', () => {
  it('a write inside onData, onDrain and onEnd', () => {
    const side = new Side()
    const { stream, reader } = side.accept(1)
    reader.onChunk = () => stream.write(new TextEncoder().encode('answer'))
    reader.onEnd = () => stream.write(new TextEncoder().encode('bye'))
    side.feed(data(1, 'ask'), header(TYPE_WINDOW_UPDATE, FLAG_FIN, 1, 0))
    expect(new TextDecoder().decode(bodies(side.frames(), 1))).toBe('answerbye')
  })

  it('destroy inside onData drops the rest of the frame, the session goes on', () => {
    const side = new Side()
    const { stream, reader } = side.accept(1)
    reader.onChunk = () => stream.destroy()
    side.link.feed(data(1, 'hello').subarray(0, 14))
    side.feed(data(1, 'hello').subarray(14), header(TYPE_PING, FLAG_SYN, 0, 4))
    expect(reader.text).toBe('he')
    expect(side.frames().map((frame) => frame.type)).toEqual([TYPE_WINDOW_UPDATE, TYPE_PING])
  })

  it('close of the session inside onData ends the chunk', () => {
    const side = new Side()
    const { reader } = side.accept(1)
    reader.onChunk = () => side.session.close()
    side.feed(data(1, 'a'), data(1, 'b'))
    expect(reader.text).toBe('a')
    expect(reader.events).toEqual(['close SESSION_ENDED'])
  })

  it('a new reader with a head, from inside onData', () => {
    const side = new Side()
    const { stream, reader } = side.accept(1)
    const next = new Reader(stream)
    reader.onChunk = () => stream.attach(next, new TextEncoder().encode('head '))
    side.feed(data(1, 'first'))
    expect(next.text).toBe('head ')
    side.feed(data(1, 'second'), header(TYPE_WINDOW_UPDATE, FLAG_FIN, 1, 0))
    expect(next.text).toBe('head second')
    expect(next.events).toEqual(['end'])
  })
})
