import { describe, expect, it } from 'vitest'
import { codeOf } from '../../../contract/errors.ts'
import { fastWebsocket } from '../../../node/fast-websocket.ts'
import type { WebsocketLink, WebsocketOptions } from '../../../node/websocket-link.ts'
import { pair } from '../../../protocol/stream/pair.ts'
import { isSame, Probe, pattern, turns } from '../../contract/probe.ts'

const KEY = [0x11, 0x22, 0x33, 0x44]

/** A link and the raw other end of its connection. */
function connected(options: Partial<WebsocketOptions> = {}): { link: WebsocketLink; user: Probe; raw: Probe } {
  const [below, other] = pair()
  const link = fastWebsocket(below, { role: 'server', isOwnPeer: false, ...options })
  return { link, user: new Probe(link), raw: new Probe(other) }
}

/** A frame; `first` holds FIN, RSV and opcode. */
function frame(first: number, payload: Uint8Array | number[], isMasked = true): Uint8Array {
  const { length } = payload
  const size = length < 126 ? [length] : length < 65_536 ? [126, length >> 8, length & 255] : [127, 0, 0, 0, 0]
  if (length >= 65_536) size.push(length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255)
  if (isMasked) size[0] = (size[0] ?? 0) | 0x80
  const body = Uint8Array.from(payload, (byte, index) => (isMasked ? byte ^ (KEY[index & 3] ?? 0) : byte))
  return new Uint8Array([first, ...size, ...(isMasked ? KEY : []), ...body])
}

function closeFrame(code: number, isMasked = true): Uint8Array {
  return frame(0x88, [code >> 8, code & 255], isMasked)
}

describe('what a WebSocket link reads', () => {
  const script = new Uint8Array([
    ...frame(0x82, pattern(5)),
    ...frame(0x01, pattern(130)),
    ...frame(0x89, [1, 2, 3]),
    ...frame(0x00, []),
    ...frame(0x80, pattern(7)),
    ...frame(0x82, []),
    ...frame(0x81, pattern(70, 2)),
    ...frame(0x8a, [9]),
    ...frame(0x82, pattern(3)),
  ])
  const expected = new Uint8Array([...pattern(5), ...pattern(130), ...pattern(7), ...pattern(70, 2), ...pattern(3)])

  it('is the payload of text, binary and fragments alike, cut at any two places', async () => {
    for (let cut = 0; cut <= script.length; cut++) {
      const { user, raw } = connected()
      await raw.write(script.subarray(0, cut))
      const second = Math.min(script.length, cut + 1 + (cut % 7))
      await raw.write(script.subarray(cut, second))
      await raw.write(script.subarray(second))
      expect(isSame(user.received, expected), `cut at ${cut}`).toBe(true)
      expect([...raw.received]).toEqual([0x8a, 3, 1, 2, 3])
    }
  })

  it('is the same for a reader that keeps parts, byte by byte', async () => {
    const { user, raw } = connected()
    user.answer = 'keep'
    user.onChunk = () => setImmediate(() => user.stream.resume())
    for (const byte of script) await raw.write(new Uint8Array([byte]))
    await user.until(() => user.bytesRead === expected.length)
    expect(isSame(user.received, expected)).toBe(true)
  })

  it('unmasks long frames at every alignment', async () => {
    for (let shift = 0; shift < 9; shift++) {
      const { user, raw } = connected({ maxMessageBytes: 1 << 20 })
      const bytes = pattern(70_000, shift)
      const whole = new Uint8Array([...frame(0x82, pattern(shift)), ...frame(0x82, bytes)])
      await raw.write(whole.subarray(0, 40_000 + shift))
      await raw.write(whole.subarray(40_000 + shift))
      expect(isSame(user.received.subarray(shift), bytes)).toBe(true)
    }
  })

  it('a close frame 1000 is the end; what follows it is dropped', async () => {
    const { user, raw, link } = connected()
    await raw.write(new Uint8Array([...frame(0x82, [1]), ...closeFrame(1000), ...frame(0x82, [2])]))
    expect([user.bytesRead, user.ends, user.closes]).toEqual([1, 1, 0])
    link.end()
    expect([user.closes, user.closeError]).toEqual([1, undefined])
    expect([...raw.received]).toEqual([0x88, 2, 0x03, 0xe8])
    expect(raw.ends).toBe(1)
  })

  it.each([
    ['another close code', closeFrame(1001), 'STREAM_CUT'],
    ['our own reset', closeFrame(4000), 'STREAM_RESET'],
    ['a close frame without a code', frame(0x88, []), 'STREAM_CUT'],
  ])('%s is an error', async (_what, bytes, code) => {
    const { user, raw } = connected()
    await raw.write(bytes)
    expect([user.ends, codeOf(user.closeError)]).toEqual([0, code])
  })

  it('a connection that ends without a close frame is an error', async () => {
    const { user, raw } = connected()
    raw.stream.end()
    expect([user.ends, codeOf(user.closeError)]).toEqual([0, 'STREAM_CUT'])
  })

  it.each([
    ['an unmasked frame', frame(0x82, [1], false), 1002, 'WEBSOCKET_PROTOCOL'],
    ['reserved bits (a compressed frame)', frame(0xc2, [1]), 1002, 'WEBSOCKET_PROTOCOL'],
    ['an unknown data opcode', frame(0x83, [1]), 1002, 'WEBSOCKET_PROTOCOL'],
    ['an unknown control opcode', frame(0x8b, [1]), 1002, 'WEBSOCKET_PROTOCOL'],
    ['a fragmented ping', frame(0x09, [1]), 1002, 'WEBSOCKET_PROTOCOL'],
    ['a ping of 126 bytes', frame(0x89, pattern(126)), 1002, 'WEBSOCKET_PROTOCOL'],
    ['a continuation of nothing', frame(0x80, [1]), 1002, 'WEBSOCKET_PROTOCOL'],
    [
      'a message inside a message',
      new Uint8Array([...frame(0x02, [1]), ...frame(0x82, [1])]),
      1002,
      'WEBSOCKET_PROTOCOL',
    ],
    ['a length of 2^63', new Uint8Array([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, ...KEY]), 1009, 'WEBSOCKET_TOO_LARGE'],
    ['one byte above the limit', frame(0x82, pattern(65_537)), 1009, 'WEBSOCKET_TOO_LARGE'],
  ])('%s is refused', async (_what, bytes, closeCode, code) => {
    const { user, raw } = connected()
    await raw.write(bytes)
    expect(codeOf(user.closeError)).toBe(code)
    expect([...raw.received.slice(-4)]).toEqual([0x88, 2, closeCode >> 8, closeCode & 255])
    expect(raw.ends).toBe(1)
  })

  it('counts the bytes and the fragments of a message; the limit can be raised', async () => {
    const { user, raw, link } = connected()
    await raw.write(frame(0x02, pattern(40_000)))
    link.maxMessageBytes = 100_000
    await raw.write(frame(0x00, pattern(40_000)))
    expect(user.closes).toBe(0)
    await raw.write(frame(0x00, pattern(40_000)))
    expect(codeOf(user.closeError)).toBe('WEBSOCKET_TOO_LARGE')
    const many = connected()
    await many.raw.write(frame(0x02, [1]))
    for (let i = 0; i < 1_024; i++) await many.raw.write(frame(0x00, [1]))
    expect(codeOf(many.user.closeError)).toBe('WEBSOCKET_TOO_LARGE')
  })

  it('a client refuses masked frames', async () => {
    const { user, raw } = connected({ role: 'client' })
    await raw.write(frame(0x82, [1]))
    expect(codeOf(user.closeError)).toBe('WEBSOCKET_PROTOCOL')
  })

  it('between our own ends an empty text frame is a FIN, and bytes after it are refused', async () => {
    const { user, raw } = connected({ isOwnPeer: true })
    await raw.write(frame(0x81, []))
    expect([user.ends, user.closes]).toEqual([1, 0])
    await raw.write(frame(0x82, [1]))
    expect(codeOf(user.closeError)).toBe('WEBSOCKET_PROTOCOL')
  })
})

describe('what a WebSocket link sends', () => {
  it('one unmasked frame for each write of a server, in all three lengths', async () => {
    for (const length of [1, 125, 126, 65_535, 65_536]) {
      const { user, raw } = connected()
      await user.write(pattern(length))
      expect(isSame(raw.received, frame(0x82, pattern(length), false)), String(length)).toBe(true)
    }
  })

  it('masked frames from a client: zeros for our own relay, at random for others', async () => {
    const own = connected({ role: 'client', isOwnPeer: true })
    await own.user.write(pattern(10))
    expect([...own.raw.received]).toEqual([0x82, 0x8a, 0, 0, 0, 0, ...pattern(10)])
    const keys = new Set<string>()
    for (let i = 0; i < 20; i++) {
      const { user, raw } = connected({ role: 'client' })
      await user.write(pattern(1_000), i % 2 === 0 ? 32 : 0)
      const sent = raw.received
      const key = sent.subarray(4, 8)
      keys.add(key.join())
      expect(sent.subarray(8).every((byte, index) => (byte ^ (key[index & 3] ?? 0)) === pattern(1_000)[index])).toBe(
        true,
      )
    }
    expect(keys.size).toBeGreaterThan(15)
  })

  it('small writes of a turn in one frame, and before a large one', async () => {
    const { user, raw, link } = connected()
    link.cork()
    await user.write(pattern(10))
    await user.write(pattern(20))
    expect(raw.bytesRead).toBe(0)
    await turns(2)
    expect(isSame(raw.received, frame(0x82, [...pattern(10), ...pattern(20)], false))).toBe(true)
    link.cork()
    await user.write(pattern(3))
    await user.write(pattern(5_000))
    expect(
      isSame(
        raw.received.subarray(32),
        new Uint8Array([...frame(0x82, pattern(3), false), ...frame(0x82, pattern(5_000), false)]),
      ),
    ).toBe(true)
  })

  it('close 1000 and the end to a stock peer, as frpc sends it', () => {
    const { raw, link } = connected()
    link.end()
    expect([...raw.received]).toEqual([0x88, 2, 0x03, 0xe8])
    expect(raw.ends).toBe(1)
  })

  it('an empty text frame to our own peer, and close 1000 when both have ended', async () => {
    const { raw, user, link } = connected({ isOwnPeer: true })
    link.end()
    expect([...raw.received]).toEqual([0x81, 0])
    expect(raw.ends).toBe(0)
    await raw.write(frame(0x82, [7]))
    await raw.write(frame(0x81, []))
    expect([user.bytesRead, user.closes, user.closeError]).toEqual([1, 1, undefined])
    expect([...raw.received]).toEqual([0x81, 0, 0x88, 2, 0x03, 0xe8])
    expect(raw.ends).toBe(1)
  })

  it('close 4000 and a reset to our own peer, only a reset to others', () => {
    const own = connected({ isOwnPeer: true })
    own.link.destroy()
    expect([...own.raw.received]).toEqual([0x88, 2, 0x0f, 0xa0])
    expect(own.raw.closeError).toBeInstanceOf(Error)
    const stock = connected()
    stock.link.destroy()
    expect([stock.raw.bytesRead, stock.raw.closes]).toEqual([0, 1])
  })

  it('no pong but the answer to a ping, and of many that wait only the last', async () => {
    const { raw, user } = connected()
    await raw.write(frame(0x8a, [1]))
    expect(raw.bytesRead).toBe(0)
    raw.stream.pause()
    const drained = user.tryWrite(pattern(10))
    for (let i = 0; i < 5; i++) await raw.write(frame(0x89, [i]))
    raw.stream.resume()
    await drained
    expect([...raw.received.subarray(12)]).toEqual([0x8a, 1, 4])
  })
})

describe('the pings of a WebSocket link', () => {
  /** A clock that the test moves. */
  function lentClock() {
    const due: { at: number; run: () => void }[] = []
    let now = 0
    return {
      after(delayMs: number, run: () => void) {
        const entry = { at: now + delayMs, run }
        due.push(entry)
        return { cancel: () => due.splice(due.indexOf(entry), due.includes(entry) ? 1 : 0) }
      },
      advance(ms: number) {
        now += ms
        for (const entry of due.filter(({ at }) => at <= now)) {
          due.splice(due.indexOf(entry), 1)
          entry.run()
        }
      },
    }
  }

  it('reset a peer that sends nothing after one, and count anything as an answer', async () => {
    const { raw, user, link } = connected()
    const clock = lentClock()
    let pongs = 0
    link.onPong = () => {
      pongs += 1
    }
    link.startPings(10_000, 5_000, clock)
    clock.advance(10_000)
    expect([...raw.received]).toEqual([0x89, 0])
    await raw.write(frame(0x8a, []))
    clock.advance(5_000)
    clock.advance(5_000)
    expect([pongs, raw.bytesRead]).toEqual([1, 4])
    await raw.write(frame(0x82, [1]))
    clock.advance(5_000)
    expect(user.closes).toBe(0)
    clock.advance(5_000)
    clock.advance(5_000)
    expect(codeOf(user.closeError)).toBe('TIMEOUT')
  })

  it('say nothing while we do not read, and stop with the link', () => {
    const { raw, user, link } = connected()
    const clock = lentClock()
    link.startPings(10_000, 5_000, clock)
    link.pause()
    clock.advance(10_000)
    clock.advance(5_000)
    expect(user.closes).toBe(0)
    link.destroy()
    const before = raw.bytesRead
    clock.advance(60_000)
    expect(raw.bytesRead).toBe(before)
  })
})
