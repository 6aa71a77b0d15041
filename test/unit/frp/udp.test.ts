import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeBase64, encodeBase64 } from '../../../protocol/frp/base64.ts'
import type { UdpAddress } from '../../../protocol/frp/fields.ts'
import { decode, decodeByFields, encode, type OutgoingOf } from '../../../protocol/frp/messages.ts'
import {
  datagramOf,
  fitsUdpPacket,
  MAX_UDP_PAYLOAD,
  MAX_UDP_PAYLOAD_IPV6,
  udpPacket,
} from '../../../protocol/frp/udp.ts'
import { decodeV1, encodeV1 } from '../../../protocol/frp/v1.ts'
import { encodeV2 } from '../../../protocol/frp/v2.ts'
import { HEAD_ROOM, MAX_V1_MESSAGE_BYTES } from '../../../protocol/limits.ts'
import { toHex, utf8, vector } from './vectors.ts'

function there(payload: Uint8Array, ip: string, port: number) {
  const message = decodeV1(encodeV1(udpPacket(payload, { ip, port })))
  if (message?.type !== 'UDPPacket') throw new Error('no UDPPacket')
  return datagramOf(message)
}

describe('UDPPacket', () => {
  it('carries a datagram, empty ones too', () => {
    expect(there(utf8('hello'), '203.0.113.9', 50_000)).toEqual({
      payload: utf8('hello'),
      ip: '203.0.113.9',
      port: 50_000,
    })
    expect(there(new Uint8Array(0), 'fe80::1', 1)).toEqual({ payload: new Uint8Array(0), ip: 'fe80::1', port: 1 })
  })

  it.each([
    ['223.255.255.255', MAX_UDP_PAYLOAD],
    ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', MAX_UDP_PAYLOAD_IPV6],
  ])('fits up to its limit with %s and not with three bytes more', (ip, limit) => {
    expect(encodeV1(udpPacket(new Uint8Array(limit), { ip, port: 65_535 })).length).toBeLessThanOrEqual(
      MAX_V1_MESSAGE_BYTES + 9,
    )
    expect(fitsUdpPacket(limit, ip, 'v1')).toBe(true)
    expect(() => encodeV1(udpPacket(new Uint8Array(limit + 3), { ip, port: 65_535 }))).toThrow(/UDPPacket: \d+ bytes/)
    expect(fitsUdpPacket(limit + 1, ip, 'v1')).toBe(false)
  })

  it('has the limit that frp has', () => {
    expect(MAX_UDP_PAYLOAD).toBe(Number(vector('v1.obs.max_udp_payload').value))
  })

  it('without an address is for nobody', () => {
    expect(datagramOf({ type: 'UDPPacket', c: utf8('x'), l: null, r: null })).toMatchObject({ ip: '', port: 0 })
  })
})

const payload = fc.uint8Array({ maxLength: 2_000, size: 'max' })
const user = fc.record({
  IP: fc.constantFrom('203.0.113.9', '10.0.0.1', '2001:db8::1', '::ffff:1.2.3.4', 'fe80::1', '', 'no address'),
  Port: fc.constantFrom(0, 1, 53, 50_000, 65_535),
  Zone: fc.constantFrom('', '', '', 'eth0', '"', '\ud800', 'é'),
})
const packet: fc.Arbitrary<OutgoingOf<'UDPPacket'>> = fc.record(
  {
    type: fc.constant('UDPPacket' as const),
    c: payload,
    l: fc.option<UdpAddress>(user, { freq: 4 }),
    r: fc.option<UdpAddress>(user, { freq: 9 }),
  },
  { requiredKeys: ['type'] },
)

/** Type byte and length; frame head and message id. */
const V1_BODY_AT = 9
const V2_BODY_AT = 10

/** What came out of it, or what was thrown. */
function outcome(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    return String(error)
  }
}

/** The same message in other words, or none at all. */
const CHANGES: readonly ((json: string, at: number) => string)[] = [
  (json) => json,
  (json) => json,
  (json) => json.replace(/}$/, ',"c":"AAAA"}'),
  (json) => json.replace(/}$/, ',"C":null}'),
  (json) => json.replace(/}$/, ',"x":[{"c":1}]}'),
  (json) => json.replace('"r"', '"R"'),
  (json) => json.replace('{"c":"', '{ "c":"'),
  (json) => json.replace('{"c":"', '{"c":"\\n'),
  (json) => json.replace('{"c":"', '{"c":"="'),
  (json) => json.replace('"Zone":""', '"Zone":null'),
  (json) => json.replace('"Port":', '"Port":0'),
  (json) => json.replace('=', ''),
  (json) => `${json} `,
  (json, at) => json.slice(0, at % (json.length + 1)),
  (json, at) => {
    const i = at % (json.length + 1)
    return `${json.slice(0, i)}${'"=\\\n{},:A1é'.charAt(at % 11)}${json.slice(i + (at & 1))}`
  },
]

describe('a UDPPacket that comes for every datagram', () => {
  it('is read as the table of fields reads it, whatever came before', () => {
    fc.assert(
      fc.property(packet, fc.constantFrom(...CHANGES), fc.nat(), (message, change, at) => {
        const json = utf8(change(encode(message), at))
        const expected = outcome(() => decodeByFields('UDPPacket', json))
        for (let time = 0; time < 2; time++) {
          const copy = json.slice()
          expect(outcome(() => decode('UDPPacket', json))).toEqual(expected)
          expect(json).toEqual(copy)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it('is written as the table of fields writes it', () => {
    fc.assert(
      fc.property(packet, (message) => {
        const body = utf8(encode(message))
        expect(toHex(encodeV1(message).subarray(V1_BODY_AT))).toBe(toHex(body))
        expect(toHex(encodeV2(message).subarray(V2_BODY_AT))).toBe(toHex(body))
        expect(encodeV1(message).byteOffset).toBeGreaterThanOrEqual(HEAD_ROOM)
      }),
      { numRuns: 300 },
    )
  })

  it('has memory of its own', () => {
    const frames = Array.from({ length: 200 }, (_, i) =>
      encodeV1(udpPacket(new Uint8Array(i * 38).fill(i), { ip: '203.0.113.9', port: 1 })),
    )
    const read = frames.map((frame) => decodeV1(frame))
    // A stream may write into the head room.
    for (const frame of frames) new Uint8Array(frame.buffer, frame.byteOffset - HEAD_ROOM, HEAD_ROOM).fill(255)
    for (const [i, message] of read.entries()) {
      expect(message).toMatchObject({ c: new Uint8Array(i * 38).fill(i), r: { IP: '203.0.113.9', Port: 1 } })
      expect(decodeV1(frames[i] ?? new Uint8Array(0))).toEqual(message)
    }
  })
})

describe('base64', () => {
  it('is what Node makes of it', () => {
    for (let length = 0; length < 300; length++) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 91 + length) & 255)
      const text = encodeBase64(bytes)
      expect(text).toBe(Buffer.from(bytes).toString('base64'))
      const back = decodeBase64(text)
      expect(back && toHex(back)).toBe(toHex(bytes))
    }
  })

  it.each(['a', 'ab', 'abc', 'ab=c', '====', 'a===', '=abc', 'ab c', '__79', 'é==='])('refuses %j', (text) => {
    expect(decodeBase64(text)).toBeUndefined()
  })
})
