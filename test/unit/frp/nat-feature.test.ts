import { describe, expect, it } from 'vitest'
import { classifyNat } from '../../../protocol/frp/nat-feature.ts'

const A = '203.0.113.9'
const B = '203.0.113.10'

describe('classifyNat', () => {
  it.each([
    ['one address for all', [`${A}:1`, `${A}:1`], 'EasyNAT', 'BehaviorNoChange', 0, false],
    ['ports that step', [`${A}:100`, `${A}:105`], 'HardNAT', 'BehaviorPortChanged', 5, true],
    ['ports that jump', [`${A}:100`, `${A}:94`], 'HardNAT', 'BehaviorPortChanged', 6, false],
    ['two addresses', [`${A}:100`, `${B}:100`], 'HardNAT', 'BehaviorIPChanged', 0, false],
    ['both differ', [`${A}:100`, `${B}:101`], 'HardNAT', 'BehaviorBothChanged', 0, false],
  ])('%s', (_what, addresses, natType, behavior, portsDifference, regularPortsChange) => {
    const expected = { natType, behavior, portsDifference, regularPortsChange, publicNetwork: false }
    expect(classifyNat(addresses, ['10.0.0.1'])).toEqual(expected)
  })

  it('knows who has no NAT', () => {
    expect(classifyNat([`${A}:1`, `${A}:1`], ['10.0.0.1', A]).publicNetwork).toBe(true)
  })

  it('needs two addresses, and such that are some', () => {
    expect(() => classifyNat([`${A}:1`], [])).toThrow('not enough addresses')
    for (const wrong of ['', A, `${A}:`, `${A}:70000`, ':1', '::1:1', `${A}:1x`]) {
      expect(() => classifyNat([`${A}:1`, wrong], [])).toThrow('expected ip:port')
    }
    expect(classifyNat(['[2001:db8::1]:1', '[2001:db8::1]:1'], []).natType).toBe('EasyNAT')
  })
})
