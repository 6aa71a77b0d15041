import { describe, expect, it } from 'vitest'
import { nodeCrypto } from '../../../node/crypto.ts'
import { deriveKey } from '../../../protocol/frp/cipher.ts'
import { equalKeys, privilegeKey } from '../../../protocol/frp/token.ts'
import { toHex, vector } from './vectors.ts'

describe('privilegeKey', () => {
  it.each([
    ['auth.privilege_key', '12345678', 1700000000],
    ['auth.privilege_key.empty_token', '', 1700000000],
    ['auth.privilege_key.gotest', '1234', 1488720000],
    ['auth.privilege_key.ts0', '12345678', 0],
    ['auth.privilege_key.ts_negative', '12345678', -1],
    ['auth.privilege_key.utf8', 'päss-密', 1700000000],
    ['auth.sign_key', 'abcdefg', 1700000000],
    ['auth.sign_key.empty_secret', '', 1700000000],
  ])('%s', (name, secret, timestamp) => {
    expect(privilegeKey(nodeCrypto, secret, timestamp)).toBe(vector(name).value)
  })
})

describe('equalKeys', () => {
  it('compares whole texts, case included', () => {
    expect(equalKeys(nodeCrypto, 'abc', 'abc')).toBe(true)
    expect(equalKeys(nodeCrypto, 'abc', 'abC')).toBe(false)
    expect(equalKeys(nodeCrypto, 'abc', 'ab')).toBe(false)
    expect(equalKeys(nodeCrypto, '', '')).toBe(true)
  })
})

describe('deriveKey', () => {
  it.each([
    ['cfb.key', '12345678'],
    ['cfb.key.empty_token', ''],
    ['cfb.key.secret_key', 'abcdefg'],
  ])('%s', (name, secret) => {
    expect(toHex(deriveKey(nodeCrypto, secret))).toBe(vector(name).value)
  })
})
