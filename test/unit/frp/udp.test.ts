import { describe, expect, it } from 'vitest'
import { decodeBase64, encodeBase64 } from '../../../protocol/frp/base64.ts'
import {
  datagramOf,
  fitsUdpPacket,
  MAX_UDP_PAYLOAD,
  MAX_UDP_PAYLOAD_IPV6,
  udpPacket,
} from '../../../protocol/frp/udp.ts'
import { decodeV1, encodeV1 } from '../../../protocol/frp/v1.ts'
import { MAX_V1_MESSAGE_BYTES } from '../../../protocol/limits.ts'
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
