import { createDecipheriv } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { nodeCrypto } from '../../node/crypto.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const text = (value: string) => new TextEncoder().encode(value)
const bytes = (value: string) => new Uint8Array(Buffer.from(value, 'hex'))

describe('nodeCrypto', () => {
  it('matches RFC 1321 and FIPS 180 for the digests', () => {
    expect(hex(nodeCrypto.md5(text('abc')))).toBe('900150983cd24fb0d6963f7d28e17f72')
    expect(hex(nodeCrypto.sha256(text('abc')))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  })

  it('matches RFC 6070 for PBKDF2 and RFC 5869 for HKDF', () => {
    expect(hex(nodeCrypto.pbkdf2Sha1(text('password'), text('salt'), 2, 20))).toBe(
      'ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957',
    )
    const key = nodeCrypto.hkdfSha256(
      bytes('0b'.repeat(22)),
      bytes('000102030405060708090a0b0c'),
      bytes('f0f1f2f3f4f5f6f7f8f9'),
      42,
    )
    expect(hex(key)).toBe('3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865')
  })

  it('matches NIST SP 800-38A for AES-128 in ECB and CBC mode, without padding', () => {
    const key = bytes('2b7e151628aed2a6abf7158809cf4f3c')
    const iv = bytes('000102030405060708090a0b0c0d0e0f')
    const plain = bytes('6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51')
    expect(hex(nodeCrypto.aesEcbEncrypt(key, plain))).toBe(
      '3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf',
    )
    expect(hex(nodeCrypto.aesCbcEncrypt(key, iv, plain))).toBe(
      '7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2',
    )
  })

  it('encrypts long data whole', () => {
    const [key, iv, data] = [nodeCrypto.randomBytes(16), nodeCrypto.randomBytes(16), nodeCrypto.randomBytes(65_536)]
    const decipher = createDecipheriv('aes-128-cbc', key, iv).setAutoPadding(false)
    expect(hex(decipher.update(nodeCrypto.aesCbcEncrypt(key, iv, data)))).toBe(hex(data))
  })

  it('refuses data that is no whole number of blocks instead of dropping the rest', () => {
    const key = nodeCrypto.randomBytes(16)
    expect(() => nodeCrypto.aesEcbEncrypt(key, new Uint8Array(17))).toThrow()
  })

  it('compares, and calls different lengths unequal', () => {
    expect(nodeCrypto.timingSafeEqual(text('secret'), text('secret'))).toBe(true)
    expect(nodeCrypto.timingSafeEqual(text('secret'), text('secreT'))).toBe(false)
    expect(nodeCrypto.timingSafeEqual(text('secret'), text('secret '))).toBe(false)
  })

  it('gives each caller random bytes of its own, across refills of the pool', () => {
    const seen = new Set<string>()
    for (let i = 0; i < 2_000; i++) {
      const id = nodeCrypto.randomBytes(16)
      expect(id.length).toBe(16)
      // A caller that clears its copy must not clear the next one's.
      seen.add(hex(id))
      id.fill(0)
    }
    expect(seen.size).toBe(2_000)
    expect(nodeCrypto.randomBytes(5_000).length).toBe(5_000)
    expect(nodeCrypto.randomBytes(0).length).toBe(0)
  })

  it('answers with plain Uint8Arrays, whose slice copies', () => {
    for (const value of [
      nodeCrypto.md5(text('')),
      nodeCrypto.randomBytes(4),
      nodeCrypto.aesEcbEncrypt(new Uint8Array(16), new Uint8Array(16)),
    ]) {
      expect(Buffer.isBuffer(value)).toBe(false)
    }
  })
})
