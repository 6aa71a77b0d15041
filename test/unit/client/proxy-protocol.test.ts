import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { proxyHeader } from '../../../client/proxy-protocol.ts'

const to = { ip: '127.0.0.1', port: 80 }

describe('proxyHeader', () => {
  it('writes version 1 as text', () => {
    const header = (ip: string, destination = to) => proxyHeader('v1', { ip, port: 4000 }, destination)?.toString()
    expect(header('203.0.113.9')).toBe('PROXY TCP4 203.0.113.9 127.0.0.1 4000 80\r\n')
    expect(header('2001:db8::1')).toBe('PROXY TCP6 2001:db8::1 ::ffff:127.0.0.1 4000 80\r\n')
    expect(header('203.0.113.9', { ip: '::1', port: 80 })).toBe('PROXY TCP6 ::ffff:203.0.113.9 ::1 4000 80\r\n')
    expect(proxyHeader('v1', { ip: '203.0.113.9', port: 4000 }, to, 'datagram')?.toString()).toBe('PROXY UNKNOWN\r\n')
  })

  it('writes version 2 in binary, IPv4 beside IPv6 as a mapped address', () => {
    const hex = (ip: string, transport?: 'datagram') =>
      proxyHeader('v2', { ip, port: 0x1234 }, to, transport)?.toString('hex')
    const signature = '0d0a0d0a000d0a515549540a'
    expect(hex('203.0.113.9')).toBe(`${signature}2111000ccb0071097f00000112340050`)
    expect(hex('203.0.113.9', 'datagram')).toBe(`${signature}2112000ccb0071097f00000112340050`)
    expect(hex('2001:db8::1')).toBe(
      `${signature}2121002420010db800000000000000000000000100000000000000000000ffff7f00000112340050`,
    )
  })

  it('writes any IPv6 address in any of its spellings', () => {
    fc.assert(
      fc.property(fc.ipV6(), (ip) => {
        const header = proxyHeader('v2', { ip, port: 1 }, { ip: '::1', port: 1 })
        // The URL parser is another implementation of the same grammar.
        const { hostname } = new URL(`http://[${ip}]/`)
        const again = proxyHeader('v2', { ip: hostname.slice(1, -1), port: 1 }, { ip: '::1', port: 1 })
        expect(header).toEqual(again)
        expect(header?.length).toBe(16 + 36)
      }),
    )
  })

  it('tells nothing from text that is no address, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.constantFrom('v1', 'v2'), (ip, version) => {
        fc.pre(!/^[0-9a-f.:%]+$/i.test(ip))
        expect(proxyHeader(version, { ip, port: 80 }, to)).toBeUndefined()
      }),
    )
    expect(proxyHeader('v1', { ip: '1.2.3.4', port: 0 }, to)).toBeUndefined()
    expect(proxyHeader('', { ip: '1.2.3.4', port: 1 }, to)).toBeUndefined()
  })
})
