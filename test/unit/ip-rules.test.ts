import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IpRules, wrongBlock } from '../../contract/ip-rules.ts'

describe('IpRules', () => {
  it.each([
    [[], [], '192.0.2.1', true],
    [['192.0.2.0/24'], [], '192.0.2.255', true],
    [['192.0.2.0/24'], [], '192.0.3.0', false],
    [['192.0.2.0/25'], [], '192.0.2.128', false],
    [['192.0.2.7'], [], '192.0.2.7', true],
    [['0.0.0.0/0'], [], '203.0.113.9', true],
    [['0.0.0.0/0'], [], '2001:db8::1', false],
    [['2001:db8::/33'], [], '2001:db8:7fff::1', true],
    [['2001:db8::/33'], [], '2001:db8:8000::1', false],
    [[], ['192.0.2.0/24'], '192.0.2.1', false],
    [[], ['192.0.2.0/24'], '192.0.3.1', true],
    [['192.0.2.0/24'], ['192.0.2.1'], '192.0.2.1', false],
    [['192.0.2.0/24'], ['192.0.2.1'], '192.0.2.2', true],
    [['0.0.0.0/0', '::/0'], [], 'unknown', false],
    [[], ['192.0.2.1'], 'unknown', true],
    [[], ['::ffff:10.0.0.0/104'], '10.1.2.3', false],
    [[], ['::ffff:10.0.0.0/104'], '11.1.2.3', true],
    [['::ffff:10.0.0.1'], [], '10.0.0.1', true],
    [[], ['10.0.0.0/8'], '::ffff:10.1.2.3', false],
    [['::/0'], [], '10.0.0.1', false],
  ])('allow %j and deny %j: %s is %s', (allow, deny, ip, isAllowed) => {
    expect(new IpRules(allow, deny).allows(ip)).toBe(isAllowed)
  })

  it.each([
    '',
    '1.2.3',
    '1.2.3.4/33',
    '::/129',
    '1.2.3.4/',
    '1.2.3.4/8/8',
    '1.2.3.4/-1',
    'host',
    '01.2.3.4',
    '::ffff:0:0/95',
  ])('says that %j is no block', (text) => {
    expect(wrongBlock(text)).toContain('is no IP address and no CIDR block')
    expect(() => new IpRules([], [text])).toThrow(JSON.stringify(text))
  })

  it('agrees with arithmetic for every IPv4 block', () => {
    const ip = fc.integer({ min: 0, max: 0xffffffff })
    fc.assert(
      fc.property(ip, ip, fc.integer({ min: 0, max: 32 }), (block, other, bits) => {
        const near = bits === 0 ? other : ((block & ~(2 ** (32 - bits) - 1)) | (other & (2 ** (32 - bits) - 1))) >>> 0
        const text = (value: number) => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.')
        const rules = new IpRules([`${text(block)}/${bits}`], [])
        const isSame = (value: number) => bits === 0 || value >>> (32 - bits) === block >>> (32 - bits)
        expect(rules.allows(text(other))).toBe(isSame(other))
        expect(rules.allows(text(near))).toBe(isSame(near))
      }),
    )
  })
})
