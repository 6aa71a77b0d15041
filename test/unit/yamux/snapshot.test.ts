import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HEAD_ROOM } from '../../../protocol/limits.ts'
import { FLAG_FIN, FLAG_RST, FLAG_SYN, header, TYPE_PING, TYPE_WINDOW_UPDATE } from '../../../protocol/yamux/frame.ts'
import { Session } from '../../../protocol/yamux/session.ts'
import { concat, data, framesOf, hex, type Mode, pattern, Reader, Side } from './harness.ts'

const WINDOW = 262_144

type Op =
  | { do: 'peer opens' | 'peer ends' | 'peer resets' | 'open' | 'end' | 'destroy' | 'pause' | 'resume'; at: number }
  | { do: 'peer sends' | 'peer grants' | 'write'; at: number; bytes: number }
  | { do: 'bytes arrive'; bytes: number }
  | { do: 'mode'; at: number; mode: Mode }
  | { do: 'ping' | 'peer pings' | 'link slow' | 'link drains' | 'link fast' | 'time' }

const at = fc.nat(5)
const size = fc.oneof(fc.nat(60), fc.nat(3000), fc.nat(140_000))
const named = <T extends Op['do']>(...names: T[]) => fc.constantFrom(...names)
const operation: fc.Arbitrary<Op> = fc.oneof(
  fc.record({ do: named('peer opens', 'open', 'peer ends', 'end', 'pause', 'resume', 'resume'), at }),
  fc.record({ do: named('peer resets', 'destroy'), at }),
  { weight: 4, arbitrary: fc.record({ do: named('peer sends', 'peer grants', 'write'), at, bytes: size }) },
  { weight: 6, arbitrary: fc.record({ do: named('bytes arrive'), bytes: fc.oneof(fc.nat(30), fc.nat(300_000)) }) },
  fc.record({ do: named('mode'), at, mode: fc.constantFrom<Mode>('use', 'keep', 'take') }),
  fc.record({ do: named('ping', 'peer pings', 'link slow', 'link drains', 'link fast', 'time') }),
)

/** Plays a script: the peer's frames wait in `pending` and arrive in pieces. */
class Play {
  readonly side = new Side()
  private readonly sleeps: boolean
  private pending: Uint8Array = new Uint8Array(0)
  private nextPeerId = 1
  private readonly peerSent = new Map<number, number>()
  private readonly peerEnded = new Set<number>()
  restores = 0

  constructor(sleeps: boolean) {
    this.sleeps = sleeps
  }

  run(script: Op[]): this {
    for (const op of script) {
      this.step(op)
      if (this.side.session.isClosed) break
      if (this.sleeps) {
        this.side.restore()
        this.restores += 1
      }
    }
    return this
  }

  private step(op: Op): void {
    const { side } = this
    const index = 'at' in op && side.accepted.length > 0 ? op.at % side.accepted.length : 0
    const stream = side.accepted[index]
    const reader = side.readers[index]
    const id = stream?.id ?? 0
    switch (op.do) {
      case 'peer opens':
        this.peer(header(TYPE_WINDOW_UPDATE, FLAG_SYN, this.nextPeerId, 1000))
        this.nextPeerId += 2
        break
      case 'peer sends': {
        // Never beyond the first window, and nothing after a FIN: the script is one of a good peer.
        const sent = this.peerSent.get(id) ?? 0
        if (this.peerEnded.has(id)) break
        const length = Math.min(op.bytes, WINDOW - sent)
        this.peerSent.set(id, sent + length)
        this.peer(data(id, pattern(length, sent)))
        break
      }
      case 'peer grants':
        this.peer(header(TYPE_WINDOW_UPDATE, 0, id, op.bytes))
        break
      case 'peer ends':
        if (!this.peerEnded.has(id)) this.peer(header(TYPE_WINDOW_UPDATE, FLAG_FIN, id, 0))
        this.peerEnded.add(id)
        break
      case 'peer resets':
        this.peer(header(TYPE_WINDOW_UPDATE, FLAG_RST, id, 0))
        this.peerEnded.add(id)
        break
      case 'peer pings':
        this.peer(header(TYPE_PING, FLAG_SYN, 0, 5))
        break
      case 'bytes arrive':
        side.link.feed(this.pending.subarray(0, op.bytes))
        this.pending = this.pending.subarray(op.bytes)
        break
      case 'open': {
        const opened = side.session.open()
        side.accepted.push(opened)
        side.readers.push(Reader.of(opened))
        break
      }
      case 'write':
        if (stream === undefined || reader === undefined || reader.isLending || op.bytes === 0) break
        reader.isLending = !stream.write(new Uint8Array(HEAD_ROOM + op.bytes).fill(7).subarray(HEAD_ROOM), HEAD_ROOM)
        break
      case 'end':
        stream?.end()
        break
      case 'destroy':
        this.peerEnded.add(id)
        stream?.destroy()
        break
      case 'pause':
        stream?.pause()
        break
      case 'resume':
        stream?.resume()
        break
      case 'mode':
        if (reader !== undefined) reader.mode = op.mode
        break
      case 'ping':
        side.session.ping()
        break
      case 'time':
        side.nowMs += 100_000
        side.session.tick(side.nowMs)
        break
      case 'link slow':
        side.link.isSlow = true
        break
      case 'link drains':
        side.link.drain()
        break
      case 'link fast':
        side.link.isSlow = false
        side.link.drain()
        break
    }
  }

  private peer(bytes: Uint8Array): void {
    this.pending = concat([this.pending, bytes])
  }

  result(): unknown {
    const { side } = this
    const isOpen = !side.session.isClosed
    return {
      wire: digest(side.link.take()),
      // A close that waited for the link's drain is not told after sleep: the stream is known to be gone.
      readers: side.readers.map((reader) => [
        hex(reader.bytes),
        reader.events.filter((event) => !/^close /.test(event)),
      ]),
      pongs: side.pongs,
      closes: side.closes,
      state: isOpen ? hex(side.session.snapshot()) : '',
      used: [side.session.heldBytes, side.session.budget.used],
    }
  }
}

/** Short bytes as they are, long ones by their hash. */
function digest(bytes: Uint8Array): string {
  return bytes.length < 300 ? hex(bytes) : `${bytes.length} ${createHash('sha1').update(bytes).digest('hex')}`
}

describe('sleep', () => {
  it('changes nothing: any script, run straight and with a restore between every two events', () => {
    let restores = 0
    let carried = 0
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60, size: 'max' }), (script) => {
        const opening: Op[] = [
          { do: 'open', at: 0 },
          { do: 'peer opens', at: 0 },
          { do: 'bytes arrive', bytes: 12 },
        ]
        const straight = new Play(false).run([...opening, ...script])
        const sleeping = new Play(true).run([...opening, ...script])
        restores += sleeping.restores
        carried += straight.side.readers.reduce((sum, reader) => sum + reader.bytes.length, 0)
        expect(sleeping.result()).toEqual(straight.result())
      }),
      { numRuns: 100 },
    )
    expect(restores).toBeGreaterThan(1500)
    expect(carried).toBeGreaterThan(100_000)
  })

  it('keeps a body whose header is with the link, of a live and of a destroyed stream', () => {
    for (const isDestroyed of [false, true]) {
      const side = new Side()
      const { stream, reader } = side.accept(1)
      side.link.isSlow = true
      stream.write(pattern(50))
      if (isDestroyed) stream.destroy()
      side.restore()
      side.link.isSlow = false
      side.link.drain()
      const frames = framesOf(side.link.take())
      expect(frames.map((frame) => frame.flags)).toEqual(isDestroyed ? [0, FLAG_RST] : [0])
      expect(frames[0]?.body).toEqual(pattern(50))
      if (!isDestroyed) expect(reader.events).toEqual(['drain'])
    }
  })

  it('keeps a head that its reader has not taken', () => {
    const side = new Side()
    const { stream, reader } = side.accept(1)
    stream.pause()
    stream.attach(reader, new TextEncoder().encode('head '))
    side.feed(data(1, 'rest'))
    side.restore()
    side.accepted[0]?.resume()
    expect(reader.text).toBe('head rest')
    expect(side.session.heldBytes).toBe(0)
  })

  it('costs about 25 bytes a quiet stream', () => {
    const side = new Side()
    for (let i = 0; i < 400; i++) {
      side.accept(2 * i + 1, 6_029_312)
      side.feed(data(2 * i + 1, pattern(100_000)))
    }
    expect(side.session.snapshot().length).toBeLessThan(400 * 25)
  })

  it('refuses what it cannot read, with a code', () => {
    const side = new Side()
    side.accept(1)
    side.session.stream(1)?.pause()
    side.feed(data(1, 'waiting'))
    const bytes = side.session.snapshot()
    const restore = (from: Uint8Array) => () => Session.restore(side.link, side.session.options, from)
    const bad = expect.objectContaining({ code: 'YAMUX_BAD_SNAPSHOT' })
    for (let cut = 0; cut < bytes.length; cut++) expect(restore(bytes.subarray(0, cut))).toThrow(bad)
    expect(restore(concat([bytes, new Uint8Array(1)]))).toThrow(bad)
    const other = bytes.slice()
    other[0] = 2
    expect(restore(other)).toThrow('version 2, expected 1')
    expect(() => Session.restore(side.link, { ...side.session.options, role: 'client' }, bytes)).toThrow(bad)
    side.session.close()
    expect(() => side.session.snapshot()).toThrow(expect.objectContaining({ code: 'SESSION_ENDED' }))
  })
})
