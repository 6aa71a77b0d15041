import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../../contract/errors.ts'
import { fastWebsocket } from '../../node/fast-websocket.ts'
import { portableWebsocket } from '../../node/websocket.ts'
import { pair } from '../../protocol/stream/pair.ts'
import { applyMask, headerBytes, putHeader } from '../../protocol/websocket/frame.ts'
import { isSame, Probe, turns } from '../contract/probe.ts'

const KNOWN = ['WEBSOCKET_PROTOCOL', 'WEBSOCKET_TOO_LARGE', 'STREAM_RESET', 'STREAM_CUT', undefined]

const payload = fc.uint8Array({ maxLength: 300, size: 'max' })
/** Frames as their first byte and payload: mostly lawful ones. */
const frames = fc.array(
  fc.tuple(
    fc.oneof(fc.constantFrom(0x82, 0x81, 0x02, 0x00, 0x80, 0x89, 0x8a), fc.integer({ min: 0, max: 255 })),
    payload,
  ),
  { maxLength: 12 },
)
const key = fc.uint8Array({ minLength: 4, maxLength: 4 })
const cuts = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 8 })

function encode(list: [number, Uint8Array][], maskKey: Uint8Array): Uint8Array {
  const parts = list.map(([first, body]) => {
    const header = headerBytes(body.length, true)
    const frame = new Uint8Array(header + body.length)
    putHeader(frame, 0, 0, body.length, maskKey)
    frame[0] = first
    frame.set(body, header)
    applyMask(frame.subarray(header), maskKey, 0)
    return frame
  })
  return new Uint8Array(Buffer.concat(parts))
}

function* pieces(bytes: Uint8Array, sizes: number[]): Generator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    yield bytes.subarray(at, at + size)
    at += size
  }
}

async function feed(bytes: Uint8Array, sizes: number[], answer: 'use' | 'take' = 'use'): Promise<Probe> {
  const [below, other] = pair()
  const user = new Probe(fastWebsocket(below, { role: 'server', isOwnPeer: false }))
  user.answer = answer
  const raw = new Probe(other)
  for (const piece of pieces(bytes, sizes)) {
    if (user.closes > 0) break
    await raw.write(piece)
  }
  return user
}

/** The same bytes through the `ws` package. */
async function feedOracle(bytes: Uint8Array): Promise<Probe> {
  const socket = new PassThrough()
  socket.on('error', () => {})
  // What ws writes goes nowhere; what we push is what it reads.
  socket._write = (_chunk, _encoding, done) => done()
  const user = new Probe(portableWebsocket(socket, { role: 'server', isOwnPeer: false }))
  socket.push(Buffer.from(bytes))
  await turns(6)
  return user
}

describe('the WebSocket link under fire', () => {
  it('any bytes end in data or in a known error, never in an exception', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2_000, size: 'max' }), cuts, async (bytes, sizes) => {
        const user = await feed(bytes, sizes)
        expect(KNOWN).toContain(codeOf(user.closeError))
        expect(user.closes).toBeLessThanOrEqual(1)
      }),
      { numRuns: 3_000 },
    )
  })

  it('frames mean the same however they are cut and whoever keeps the memory', async () => {
    await fc.assert(
      fc.asyncProperty(frames, key, cuts, async (list, maskKey, sizes) => {
        const bytes = encode(list, maskKey)
        const whole = await feed(bytes, [bytes.length + 1])
        for (const answer of ['use', 'take'] as const) {
          const cut = await feed(bytes, sizes, answer)
          expect(isSame(whole.received, cut.received)).toBe(true)
          expect([cut.ends, codeOf(cut.closeError)]).toEqual([whole.ends, codeOf(whole.closeError)])
        }
      }),
      { numRuns: 1_500 },
    )
  })

  it('refuses what the ws package refuses, and reads the same from the rest', async () => {
    await fc.assert(
      fc.asyncProperty(frames, key, async (list, maskKey) => {
        const bytes = encode(list, maskKey)
        const [ours, oracle] = [await feed(bytes, [bytes.length + 1]), await feedOracle(bytes)]
        const isRefused = codeOf(ours.closeError) === 'WEBSOCKET_PROTOCOL'
        if (list.some(([first]) => (first & 0x0f) === 8)) return
        expect(codeOf(oracle.closeError) === 'WEBSOCKET_PROTOCOL').toBe(isRefused)
        // ws hands on whole messages only, we do not wait for the last fragment.
        expect(isSame(ours.received.subarray(0, oracle.bytesRead), oracle.received)).toBe(true)
      }),
      { numRuns: 400 },
    )
  })
})
