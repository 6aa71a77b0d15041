import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { discoverNat } from '../../../client/nathole/discover.ts'
import { bindingAnswer, bindingRequest } from '../../../client/nathole/stun.ts'
import { FrpError } from '../../../contract/errors.ts'
import { nodeRuntime } from '../../../node/runtime.ts'
import { CleanUp } from '../../e2e/client-rig.ts'
import { startStun } from '../../e2e/rig/stun.ts'

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))
/** What frp 0.70.1 sends, and an answer that it takes. */
const ID = hex('000102030405060708090a0b')
const REQUEST = '000100002112a442000102030405060708090a0b'
const ANSWER = '010100182112a442000102030405060708090a0b002000080001bd52ea12d54b802c000800010d97c0000202'

describe('a binding request', () => {
  it('is the one that frp sends', () => {
    expect(Buffer.from(bindingRequest(ID)).toString('hex')).toBe(REQUEST)
  })
})

describe('the answer to it', () => {
  const attribute = (type: string, port: string, ip: string): string => `${type}00080001${port}${ip}`
  const answer = (...attributes: string[]): Uint8Array => {
    const body = attributes.join('')
    return hex(`0101${(body.length / 2).toString(16).padStart(4, '0')}2112a442000102030405060708090a0b${body}`)
  }

  it('tells where we are, and the other address of the server', () => {
    expect(bindingAnswer(hex(ANSWER), ID)).toEqual({ mapped: '203.0.113.9:40000', other: '192.0.2.2:3479' })
  })

  it('may be spelled as in RFC 3489', () => {
    const old = answer(attribute('0001', '9c40', 'cb007109'), attribute('0005', '0d97', 'c0000202'))
    expect(bindingAnswer(old, ID)).toEqual({ mapped: '203.0.113.9:40000', other: '192.0.2.2:3479' })
  })

  it('may hold what we do not know, of any length, and nothing at all', () => {
    expect(bindingAnswer(answer('802200056162636465000000', attribute('0020', 'bd52', 'ea12d54b')), ID)?.mapped).toBe(
      '203.0.113.9:40000',
    )
    expect(bindingAnswer(answer(), ID)).toEqual({ mapped: undefined, other: undefined })
  })

  it('is none when kind, cookie or id are others', () => {
    for (const at of [0, 1, 4, 7, 8, 19]) {
      const other = hex(ANSWER)
      other[at] = (other[at] ?? 0) ^ 1
      expect(bindingAnswer(other, ID)).toBeUndefined()
    }
    expect(bindingAnswer(hex(ANSWER).subarray(0, 19), ID)).toBeUndefined()
  })

  it('is refused when it breaks off', () => {
    expect(() => bindingAnswer(hex(ANSWER).subarray(0, 40), ID)).toThrow('attributes of 24 bytes in a datagram of 40')
    expect(() => bindingAnswer(answer('00200009', '00'.repeat(8)), ID)).toThrow('attribute 0x20 of 9 bytes')
  })

  it('does nothing worse to us, whatever comes', () => {
    const head = hex(ANSWER).subarray(0, 20)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200, size: 'max' }), fc.boolean(), (bytes, hasLength) => {
        const datagram = new Uint8Array([...head, ...bytes])
        if (hasLength) new DataView(datagram.buffer).setUint16(2, bytes.length)
        try {
          bindingAnswer(datagram, ID)
        } catch (error) {
          expect(error).toBeInstanceOf(FrpError)
        }
      }),
    )
  })
})

describe('discoverNat', () => {
  const cleanUp = new CleanUp()
  afterEach(() => cleanUp.run())

  it('asks both addresses of a server from one socket', async () => {
    const server = `127.0.0.1:${await startStun(cleanUp, { portStep: 3 })}`
    const { addresses, localAddress } = await discoverNat(server, '127.0.0.1:0', nodeRuntime())
    const [, port] = localAddress.split(':')
    expect(addresses).toEqual([`127.0.0.1:${port}`, `127.0.0.1:${Number(port) + 3}`])
  })

  it('gives one address when the server has no other', async () => {
    const server = `127.0.0.1:${await startStun(cleanUp, { isAlone: true })}`
    expect((await discoverNat(server, '', nodeRuntime())).addresses).toHaveLength(1)
  })

  it('says what is wrong with an address', async () => {
    await expect(discoverNat('127.0.0.1:99999', '', nodeRuntime())).rejects.toThrow('expected ip:port')
    await expect(discoverNat('127.0.0.1:1', '203.0.113.9:1', nodeRuntime())).rejects.toThrow(
      'listen udp4 203.0.113.9:1',
    )
  })
})
