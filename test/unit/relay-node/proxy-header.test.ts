import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readProxyHeader } from '../../../relay-node/proxy-header.ts'

const latin1 = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0))
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))

const SIGNATURE = '0d0a0d0a000d0a515549540a'
const V4 = { sourceIp: '192.0.2.7', sourcePort: 4242, destinationIp: '198.51.100.1', destinationPort: 443 }
const V6 = { sourceIp: '2001:db8::7', sourcePort: 4242, destinationIp: '2001:db8::1', destinationPort: 443 }
const HEADERS: [string, Uint8Array, object | undefined][] = [
  ['v1 TCP4', latin1('PROXY TCP4 192.0.2.7 198.51.100.1 4242 443\r\n'), V4],
  ['v1 TCP6', latin1('PROXY TCP6 2001:db8::7 2001:db8::1 4242 443\r\n'), V6],
  ['v1 UNKNOWN', latin1('PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n'), undefined],
  ['v2 TCP4', hex(`${SIGNATURE} 21 11 000c c0000207 c6336401 1092 01bb`), V4],
  ['v2 TCP4 with a TLV', hex(`${SIGNATURE} 21 11 0010 c0000207 c6336401 1092 01bb 04000100`), V4],
  [
    'v2 TCP6',
    hex(`${SIGNATURE} 21 21 0024 20010db8000000000000000000000007 20010db8000000000000000000000001 1092 01bb`),
    V6,
  ],
  ['v2 LOCAL', hex(`${SIGNATURE} 20 00 0000`), undefined],
  ['v2 UNIX', hex(`${SIGNATURE} 21 31 0000`), undefined],
]

describe('readProxyHeader', () => {
  it.each(HEADERS)('reads %s, whatever comes behind it', (_name, header, addresses) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50, size: 'max' }), (rest) => {
        const bytes = new Uint8Array([...header, ...rest])
        expect(readProxyHeader(bytes)).toEqual({ byteLength: header.length, addresses })
      }),
      { numRuns: 20 },
    )
  })

  it.each(HEADERS)('waits for the rest of %s wherever it is cut', (_name, header) => {
    for (let end = 0; end < header.length; end++) expect(readProxyHeader(header.subarray(0, end))).toBeUndefined()
  })

  it.each([
    ['SSH', latin1('SSH-2.0-x\r\n')],
    ['a line that is too long', latin1(`PROXY UNKNOWN ${'x'.repeat(120)}\r\n`)],
    ['another family', latin1('PROXY UDP4 192.0.2.7 198.51.100.1 4242 443\r\n')],
    ['IPv6 as TCP4', latin1('PROXY TCP4 2001:db8::7 2001:db8::1 4242 443\r\n')],
    ['a port that cannot be', latin1('PROXY TCP4 192.0.2.7 198.51.100.1 4242 70000\r\n')],
    ['a line end without CR', latin1('PROXY TCP4 192.0.2.7 198.51.100.1 4242 443\n')],
    ['v3', hex(`${SIGNATURE} 31 11 000c c0000207 c6336401 1092 01bb`)],
    ['v2 that is too short for its addresses', hex(`${SIGNATURE} 21 11 0004 c0000207`)],
    ['v2 that is too long', hex(`${SIGNATURE} 21 11 ffff c0000207`)],
  ])('refuses %s', (_name, bytes) => {
    expect(() => readProxyHeader(bytes)).toThrow('no PROXY header, which edgefrp.proxyProtocolFrom demands')
  })

  it('never throws anything else', () => {
    const start = fc.constantFrom(new Uint8Array(0), latin1('PROXY '), hex(SIGNATURE))
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 300, size: 'max' }), (head, rest) => {
        try {
          readProxyHeader(new Uint8Array([...head, ...rest]))
        } catch (error) {
          expect(error).toMatchObject({ code: 'MESSAGE_FIELD' })
        }
      }),
    )
  })
})
