import { describe, expect, it } from 'vitest'
import { Fields } from '../../../protocol/http1/head.ts'
import { clientAddress } from '../../../relay-node/client-address.ts'

const forwarded = (...values: string[]): Fields =>
  Fields.of(...values.map((value) => ['X-Forwarded-For', value] as const))

describe('the address of a client behind proxies', () => {
  const addressOf = clientAddress(['10.0.0.0/8', '192.0.2.7', 'fd00::/8'])

  it('is the connection itself where nobody is trusted, or a stranger speaks', () => {
    expect(clientAddress([])(forwarded('203.0.113.1'), '10.0.0.1')).toBe('10.0.0.1')
    expect(addressOf(forwarded('203.0.113.1'), '198.51.100.9')).toBe('198.51.100.9')
  })

  it('is the last one that no trusted proxy has, whatever the client wrote before', () => {
    expect(addressOf(forwarded('1.2.3.4, 203.0.113.1, 192.0.2.7'), '10.0.0.1')).toBe('203.0.113.1')
    expect(addressOf(forwarded('1.2.3.4', '203.0.113.1'), 'fd00::1')).toBe('203.0.113.1')
    expect(addressOf(forwarded('[2001:db8::1]:443'), '10.0.0.1')).toBe('2001:db8::1')
  })

  it('stays with the proxy when there is nothing to read', () => {
    expect(addressOf(forwarded(), '10.0.0.1')).toBe('10.0.0.1')
    expect(addressOf(forwarded('unknown'), '10.0.0.1')).toBe('10.0.0.1')
  })
})
