import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  FLAG_ACK,
  FLAG_FIN,
  FLAG_RST,
  FLAG_SYN,
  header,
  TYPE_PING,
  TYPE_WINDOW_UPDATE,
} from '../../../protocol/yamux/frame.ts'
import { MemoryBudget } from '../../../protocol/yamux/memory-budget.ts'
import { concat, data, type Mode, pattern, Reader, Side } from './harness.ts'

const WINDOW = 262_144
const MIB = 1024 * 1024
const update = (flags: number, id: number, delta = 0) => header(TYPE_WINDOW_UPDATE, flags, id, delta)

const script = [
  update(FLAG_SYN, 1),
  data(1, 'hello '),
  header(TYPE_PING, FLAG_SYN, 0, 7),
  data(3, 'other', FLAG_SYN),
  data(1, 'world', FLAG_FIN),
  data(9, 'nobody'),
  data(3, '!'),
  update(FLAG_FIN, 3),
]

describe('frames arrive cut anywhere', () => {
  it.each(['use', 'take', 'keep'] as Mode[])('at every place, for a reader that answers "%s"', (mode) => {
    const bytes = concat(script)
    const whole = new Side()
    whole.link.feed(bytes)
    const answer = whole.link.takeHex()
    for (let cut = 0; cut <= bytes.length; cut++) {
      const side = new Side({}, mode)
      side.link.feed(bytes.subarray(0, cut))
      side.link.feed(bytes.subarray(cut))
      for (let i = 0; i < 10; i++) for (const stream of side.accepted) stream.resume()
      expect(side.link.takeHex()).toBe(answer)
      expect(side.readers.map((reader) => reader.text)).toEqual(['hello world', 'other!'])
      expect(side.readers.map((reader) => reader.events)).toEqual([['end'], ['end']])
      expect(side.session.heldBytes).toBe(0)
    }
  })

  it('a slice is handed on before its frame is whole, with the free memory before it as head room', () => {
    const side = new Side()
    const { reader } = side.accept(1)
    const frame = data(1, pattern(100))
    side.link.feed(frame.subarray(0, 50), 14)
    expect(reader.bytes).toEqual(pattern(100).subarray(0, 38))
    side.link.feed(concat([frame.subarray(50), data(1, 'x')]), 14)
    expect(reader.rooms).toEqual([26, 14, 14 + 62 + 12])
  })

  it('memory that a reader keeps is head room for nobody', () => {
    const side = new Side({}, 'take')
    const { reader } = side.accept(1)
    side.feed(data(1, 'abc'), data(1, 'def'))
    expect(reader.rooms).toEqual([12, 12])
    expect(reader.text).toBe('abcdef')
  })

  it('single bytes cost linear time and no memory', () => {
    const side = new Side({ maxWindow: 6 * MIB })
    const { reader } = side.accept(1)
    let got = 0
    reader.onData = (chunk) => {
      got += chunk.length
      return true
    }
    const body = new Uint8Array(WINDOW)
    const link = side.link
    const chunk = new Uint8Array(1)
    for (let i = 0; i < 4; i++) {
      for (const byte of data(1, body)) {
        chunk[0] = byte
        link.feed(chunk)
      }
    }
    expect(got).toBe(4 * WINDOW)
    expect(side.session.heldBytes).toBe(0)
  })
})

describe('what waits for a reader', () => {
  it('comes in few pieces when it came in many, behind a head too', () => {
    const side = new Side()
    const { stream, reader } = side.accept(1)
    stream.pause()
    stream.attach(reader, pattern(3))
    const chunk = data(1, 'x')
    for (let i = 0; i < 50_000; i++) side.link.feed(chunk)
    side.feed(data(1, pattern(20_000)), data(1, 'y'))
    expect(side.session.heldBytes).toBe(70_001)
    stream.resume()
    const expected = concat([pattern(3), new Uint8Array(50_000).fill(120), pattern(20_000), new Uint8Array([121])])
    expect(reader.bytes).toEqual(expected)
    expect(reader.rooms.length).toBeLessThan(20)
    expect(side.session.heldBytes).toBe(0)
  })
})

describe('the window', () => {
  it('is granted on consumption, not on receipt', () => {
    const side = new Side()
    const { stream, reader } = side.accept(1)
    stream.pause()
    side.feed(data(1, pattern(WINDOW)))
    expect(side.link.takeHex()).toBe('')
    expect(side.session.heldBytes).toBe(WINDOW)
    expect(reader.bytes.length).toBe(0)
    stream.resume()
    expect(reader.bytes).toEqual(pattern(WINDOW))
    expect(side.frames().reduce((sum, frame) => sum + frame.length, 0)).toBe(WINDOW)
    expect(side.session.heldBytes).toBe(0)
  })

  it('doubles for a reader that keeps up, to its maximum', () => {
    const side = new Side()
    const { stream } = side.accept(1)
    const sizes: number[] = []
    for (let i = 0; i < 400; i++) {
      side.feed(data(1, new Uint8Array(32_768)))
      if (sizes.at(-1) !== stream.windowBytes) sizes.push(stream.windowBytes)
      expect(stream.recvWindow).toBeLessThanOrEqual(6 * MIB)
    }
    expect(sizes).toEqual([WINDOW, WINDOW * 2, WINDOW * 4, WINDOW * 8, WINDOW * 16, 6 * MIB])
  })

  it.each([
    { path: 'of 40 ms grows until half of it is more than a round trip reads', roundTripMs: 40, windows: 16 },
    { path: 'of 1 ms stays at the first size, for more would only queue', roundTripMs: 1, windows: 1 },
  ])('on a path $path', ({ roundTripMs, windows }) => {
    const side = new Side()
    side.session.measureRoundTrip()
    const [ping] = side.frames()
    side.nowMs += roundTripMs
    side.feed(header(TYPE_PING, FLAG_ACK, 0, ping?.length ?? -1))
    const { stream } = side.accept(1)
    // 32 KiB a millisecond.
    for (let i = 0; i < 1_000; i++) {
      side.nowMs += 1
      side.feed(data(1, new Uint8Array(32_768)))
    }
    expect(stream.windowBytes).toBe(windows * WINDOW)
    expect(side.pongs).toHaveLength(1)
  })

  it('a slower answer moves the measured round trip a little, a faster one at once', () => {
    const side = new Side()
    side.session.measureRoundTrip()
    for (const [answerMs, expected] of [
      [20, 20],
      [500, 22],
      [3, 3],
    ] as const) {
      const ping = side.frames().at(-1)
      side.nowMs += answerMs
      side.feed(header(TYPE_PING, FLAG_ACK, 0, ping?.length ?? -1))
      expect(side.session.roundTrip?.ms).toBeCloseTo(expected, 5)
      side.session.ping()
    }
  })

  it('stays as it is for a reader that is backed up', () => {
    const side = new Side()
    const { stream } = side.accept(1)
    for (let i = 0; i < 20; i++) {
      stream.pause()
      side.feed(data(1, new Uint8Array(stream.recvWindow)))
      stream.resume()
    }
    expect(stream.windowBytes).toBe(WINDOW)
  })

  it('grows within the memory that sessions share, and a paused reader costs at most its window', () => {
    const budget = new MemoryBudget(MIB)
    const sides = [new Side({ memoryBudget: budget }), new Side({ memoryBudget: budget })]
    const streams = sides.map((side) => side.accept(1).stream)
    for (let i = 0; i < 200; i++) {
      for (const side of sides) side.feed(data(1, new Uint8Array(32_768)))
      expect(budget.used).toBeLessThanOrEqual(budget.limit)
    }
    expect(streams.map((stream) => stream.windowBytes)).toEqual([4 * WINDOW, 2 * WINDOW])
    for (const side of sides) side.session.close()
    expect(budget.used).toBe(0)
  })

  it('over the memory limit the stream that holds most is reset', () => {
    const side = new Side({ memoryBudget: new MemoryBudget(600_000) })
    const accepted = [1, 3, 5].map((id) => side.accept(id))
    for (const { stream } of accepted) stream.pause()
    side.feed(data(1, new Uint8Array(200_000)), data(3, new Uint8Array(250_000)), data(5, new Uint8Array(150_000)))
    expect(side.session.streamCount).toBe(3)
    side.feed(data(5, new Uint8Array(1)))
    expect(accepted.map(({ reader }) => reader.events)).toEqual([[], ['close LIMIT'], []])
    expect(side.session.heldBytes).toBe(350_001)
    expect(side.frames().map((frame) => [frame.id, frame.flags])).toEqual([[3, FLAG_RST]])
  })

  it('before login: one stream, and little held', () => {
    const side = new Side({ maxStreams: 1 })
    side.session.maxHeldBytes = 65_536
    const { stream, reader } = side.accept(1)
    side.feed(update(FLAG_SYN, 3))
    expect(side.frames().map((frame) => [frame.id, frame.flags])).toEqual([[3, FLAG_RST]])
    stream.pause()
    side.feed(data(1, new Uint8Array(65_536)))
    expect(reader.events).toEqual([])
    side.feed(data(1, new Uint8Array(1)))
    expect(reader.events).toEqual(['close LIMIT'])
    side.session.maxStreams = 100
    side.accept(5)
  })
})

describe('a flood of frames that carry nothing', () => {
  const floods: [string, (i: number) => Uint8Array[]][] = [
    ['pings', (i) => [header(TYPE_PING, FLAG_SYN, 0, i)]],
    ['answers to no ping', (i) => [header(TYPE_PING, 0, 0, i)]],
    ['empty updates', () => [update(0, 1)]],
    ['empty data', () => [data(1, '')]],
    ['unknown streams', (i) => [data(2 * i + 3, 'x')]],
    ['streams reset unused', (i) => [update(FLAG_SYN, 2 * i + 3), update(FLAG_RST, 2 * i + 3)]],
  ]
  it.each(floods)('%s: 10,000 pass, and 2000 a second', (_, frames) => {
    for (const isSlow of [false, true]) {
      const side = new Side()
      side.accept(1)
      side.link.isSlow = isSlow
      let sent = 0
      const send = (count: number) => {
        for (let i = 0; i < count; i++) side.feed(...frames(sent++))
      }
      send(10_000)
      expect(side.session.isClosed).toBe(false)
      side.nowMs = 1000
      send(2000)
      expect(side.session.isClosed).toBe(false)
      expect(side.session.streamCount).toBe(1)
      expect(side.session.snapshot().length).toBeLessThan(200)
      send(2)
      expect(side.closes).toEqual(['YAMUX_FLOOD'])
    }
  })

  it('a busy peer is none: 20,000 small connections', () => {
    const side = new Side({
      onStream: (stream) => {
        Reader.of(stream)
        stream.end()
      },
    })
    for (let i = 0; i < 20_000; i++) {
      side.feed(update(FLAG_SYN, 2 * i + 1), data(2 * i + 1, 'x', FLAG_FIN))
      side.link.take()
    }
    expect(side.session.isClosed).toBe(false)
  })
})

describe('whatever comes', () => {
  it('any bytes, in any pieces, end in a session or a reason, and are bounded', () => {
    const frame = fc
      .tuple(
        fc.integer({ min: 0, max: 3 }),
        fc.integer({ min: 0, max: 31 }),
        fc.integer({ min: 0, max: 4 }),
        fc.oneof({ weight: 9, arbitrary: fc.nat(300) }, fc.constantFrom(0xffff_ffff, WINDOW, WINDOW + 1)),
        fc.boolean(),
      )
      .map(([type, flags, id, length, hasBody]) =>
        hasBody ? data(id, pattern(length % 300), flags) : header(type, flags, id, length),
      )
    const junk = fc.uint8Array({ maxLength: 40, size: 'max' })
    const pieces = fc.array(fc.oneof({ weight: 20, arbitrary: frame }, junk), { maxLength: 30, size: 'max' })
    let closed = 0
    let open = 0
    fc.assert(
      fc.property(
        pieces,
        fc.array(fc.nat(500), { maxLength: 20 }),
        fc.constantFrom<Mode>('use', 'take', 'keep'),
        (parts, cuts, mode) => {
          const side = new Side({}, mode)
          const bytes = concat(parts)
          let at = 0
          for (const cut of [...cuts, bytes.length]) {
            side.link.feed(bytes.subarray(at, at + cut))
            at += cut
          }
          if (side.session.isClosed) closed += 1
          else open += 1
          expect(side.session.heldBytes).toBeLessThanOrEqual(bytes.length)
          for (const reader of side.readers) {
            if (side.session.isClosed && mode !== 'keep') expect(reader.events.at(-1)).toMatch(/^close/)
          }
        },
      ),
      { numRuns: 600 },
    )
    expect(Math.min(closed, open)).toBeGreaterThan(50)
  })
})
