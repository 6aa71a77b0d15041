import { describe, expect, it } from 'vitest'
import { codeOf } from '../../../contract/errors.ts'
import {
  decode,
  encode,
  idOf,
  type MessageType,
  messageTypeOfByte,
  messageTypeOfId,
  type Outgoing,
  typeByteOf,
} from '../../../protocol/frp/messages.ts'
import { decodeV1, encodeV1 } from '../../../protocol/frp/v1.ts'
import { bytesOf, toHex, utf8, vector, vectors } from './vectors.ts'

const names = Object.keys(vectors).filter((name) => name.startsWith('v1.') && !name.includes('.obs.'))

function read(type: MessageType, json: string) {
  return decode(type, utf8(json))
}

function failure(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

describe('the wire vectors', () => {
  it('are all there', () => {
    expect(names.length).toBe(55)
  })

  it.each(names.filter((name) => name !== 'v1.login.escape'))('%s is read and written to the same bytes', (name) => {
    const bytes = bytesOf(name)
    const message = decodeV1(bytes)
    expect(message).toBeDefined()
    expect(toHex(encodeV1(message as Outgoing))).toBe(vector(name).value)
  })

  it('escape as Go does, an invalid character as \\ufffd', () => {
    const hostname = 'a"\\/\b\f\n\r\t\u0001\x7f<>&é\u2028\u2029😀\ud800'
    const written = encode({ type: 'Login', hostname })
    expect(written).toBe(Buffer.from(bytesOf('v1.login.escape').subarray(9)).toString())
    const read = decodeV1(bytesOf('v1.login.escape'))
    expect(read).toMatchObject({ hostname: hostname.replace('\ud800', '\ufffd') })
  })

  const shown: Record<string, MessageType> = { 'json.obs.udp.': 'UDPPacket', 'json.obs.': 'Login' }
  const observed = Object.keys(vectors).filter((name) => name.startsWith('json.obs.'))
  it.each(observed)('%s is read as Go reads it', (name) => {
    const { value, note } = vector(name)
    const prefix = Object.keys(shown).find((start) => name.startsWith(start)) ?? ''
    const type = shown[prefix] ?? 'Login'
    const body = name === 'json.obs.bad_utf8' ? Uint8Array.of(...utf8('{"version":"'), 0xff, 0x22, 0x7d) : utf8(note)
    if (value.startsWith('error')) {
      expect(codeOf(failure(() => decode(type, body)))).toMatch(/^MESSAGE_(JSON|FIELD)$/)
    } else if (value === 'null') {
      expect(decode(type, body)).toBeUndefined()
    } else {
      expect(encode(decode(type, body) as Outgoing)).toBe(value)
    }
  })
})

describe('the table', () => {
  it('has every type once, by byte and by id', () => {
    const letters = 'o1p2cwrsv3h4uinm56'
    const types = [...letters].map((letter) => messageTypeOfByte(letter.charCodeAt(0)))
    expect(types.every((type) => type !== undefined)).toBe(true)
    expect(types).toEqual(Array.from(letters, (_, i) => messageTypeOfId(i + 1)))
    for (const [i, type] of types.entries()) {
      if (type === undefined) continue
      expect(typeByteOf(type)).toBe(letters.charCodeAt(i))
      expect(idOf(type)).toBe(i + 1)
    }
    expect(messageTypeOfByte(0x7a)).toBeUndefined()
  })
})

describe('reading', () => {
  it('gives every absent field its zero value', () => {
    expect(read('LoginResp', '{}')).toEqual({ type: 'LoginResp', version: '', run_id: '', error: '' })
    expect(read('NatHoleResp', '{}')).toMatchObject({
      candidate_addrs: [],
      detect_behavior: { role: '', mode: 0, candidate_ports: [] },
    })
    expect(read('UDPPacket', '{}')).toEqual({ type: 'UDPPacket', c: new Uint8Array(0), l: null, r: null })
  })

  it('does not share zero values between messages', () => {
    const first = read('Login', '{"metas":{"a":"1"}}')
    const second = read('Login', '{}')
    expect(first).toMatchObject({ metas: { a: '1' } })
    expect(second?.type === 'Login' && Object.keys(second.metas)).toEqual([])
  })

  it('names message, field and value of what is wrong', () => {
    expect(failure(() => read('NewProxy', '{"remote_port":"x"}'))).toMatchObject({
      code: 'MESSAGE_FIELD',
      message: 'NewProxy.remote_port: expected an integer, got "x"',
    })
    expect(failure(() => read('NewProxy', '{"custom_domains":["a",1]}'))).toMatchObject({
      message: 'NewProxy.custom_domains[1]: expected a string, got 1',
    })
    expect(failure(() => read('Login', '{"client_spec":{"always_auth_pass":"yes"}}'))).toMatchObject({
      message: 'Login.client_spec.always_auth_pass: expected true or false, got "yes"',
    })
    expect(failure(() => read('StartWorkConn', '{"src_port":65536}'))).toMatchObject({
      message: 'StartWorkConn.src_port: expected an integer from 0 to 65535, got 65536',
    })
  })

  it('takes names that are dangerous elsewhere for names', () => {
    const message = read('Login', '{"metas":{"__proto__":"p","constructor":"c"},"__proto__":{"user":"x"}}')
    if (message?.type !== 'Login') throw new Error('no Login')
    expect(Object.keys(message.metas)).toEqual(['__proto__', 'constructor'])
    expect(message.user).toBe('')
    expect(read('Login', '{}')).not.toHaveProperty('p')
    expect(message.metas['toString']).toBeUndefined()
    expect(encode(message)).toBe('{"metas":{"__proto__":"p","constructor":"c"},"client_spec":{}}')
  })

  it('merges what is given twice as Go does', () => {
    expect(read('Login', '{"metas":{"a":"1"},"metas":{"b":"2"},"version":"1","version":null}')).toMatchObject({
      metas: { a: '1', b: '2' },
      version: '1',
    })
    expect(read('NewProxy', '{"locations":["/a","/b"],"locations":["/c"]}')).toMatchObject({ locations: ['/c'] })
  })

  it('folds case as Go does, long s included', () => {
    expect(read('Login', '{"U\u017fER":"x"}')).toMatchObject({ user: 'x' })
  })

  it.each([
    '',
    '{',
    '{"a"}',
    '{"a":1,}',
    '[1,]',
    '{"a":01}',
    '{"a":.5}',
    '{"a":"\u0001"}',
    '{"a":"\\x"}',
    '{"a',
    'nul',
  ])('refuses %j as no JSON', (json) => {
    expect(codeOf(failure(() => read('Login', json)))).toBe('MESSAGE_JSON')
  })

  it('refuses deep nesting instead of running out of stack', () => {
    const deep = `{"x":${'['.repeat(5000)}${']'.repeat(5000)}}`
    expect(codeOf(failure(() => read('Login', deep)))).toBe('MESSAGE_JSON')
  })

  it('refuses a byte order mark, as Go does', () => {
    expect(codeOf(failure(() => read('Login', '\ufeff{}')))).toBe('MESSAGE_JSON')
  })
})

describe('numbers', () => {
  const good = ['0', '-0', '1', '-1', '65535', '-100', '9007199254740991', '-9007199254740991']
  const bad = [
    '1.0',
    '1e3',
    '1E0',
    '-1.5',
    '9007199254740993',
    '9223372036854775807',
    '1e999',
    '"1"',
    'true',
    '[]',
    '{}',
  ]
  const fields: [MessageType, string][] = [
    ['Login', 'timestamp'],
    ['Login', 'pool_count'],
    ['NewProxy', 'remote_port'],
    ['NewWorkConn', 'timestamp'],
    ['StartWorkConn', 'src_port'],
    ['StartWorkConn', 'dst_port'],
    ['NewVisitorConn', 'timestamp'],
    ['Ping', 'timestamp'],
    ['NatHoleVisitor', 'timestamp'],
  ]

  it.each(fields)('%s.%s is an exact integer or an error', (type, field) => {
    for (const text of good) {
      let value: unknown
      try {
        const message = read(type, `{"${field}":${text}}`)
        value = message && Object.entries(message).find(([name]) => name === field)?.[1]
      } catch (error) {
        expect(codeOf(error), text).toBe('MESSAGE_FIELD')
        expect(field).toMatch(/_port$/)
        continue
      }
      expect(Number.isSafeInteger(value) && !Object.is(value, -0), text).toBe(true)
      expect(value).toBe(field === 'pool_count' ? Math.max(0, Number(text)) : Number(text) + 0)
    }
    for (const text of bad) {
      expect(codeOf(failure(() => read(type, `{"${field}":${text}}`))), text).toBe('MESSAGE_FIELD')
    }
    for (const text of ['NaN', 'Infinity', '0x10', '+1', '01']) {
      expect(codeOf(failure(() => read(type, `{"${field}":${text}}`))), text).toBe('MESSAGE_JSON')
    }
  })

  it('are not sent unless they are integers', () => {
    for (const timestamp of [1.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY]) {
      expect(codeOf(failure(() => encode({ type: 'Ping', timestamp })))).toBe('MESSAGE_FIELD')
    }
  })
})

describe('our own key', () => {
  it('is carried where it is due, with what else stands in it', () => {
    const edgefrp = { v: 1, features: ['half-close', 'sleeps'], visit: { type: 'tcp', port: 22, x: [null, true, 1.5] } }
    for (const type of ['Login', 'LoginResp', 'StartWorkConn', 'NewVisitorConn', 'NewVisitorConnResp'] as const) {
      const json = encode({ type, edgefrp })
      expect(read(type, json)).toMatchObject({ edgefrp })
      expect(Object.keys(JSON.parse(json)).at(-1)).toBe('edgefrp')
    }
    expect(encode({ type: 'Pong' })).toBe('{}')
  })

  it('is absent when the peer is stock', () => {
    expect(read('Login', '{}')).not.toHaveProperty('edgefrp')
    expect(read('Login', '{"edgefrp":null}')).toMatchObject({ type: 'Login' })
  })

  it.each(['1', '"x"', '[]', '{"v":"1"}', '{"v":1.5}', '{"features":"half-close"}', '{"features":[1]}', '{"x":1e999}'])(
    'refuses %s',
    (json) => {
      expect(codeOf(failure(() => read('Login', `{"edgefrp":${json}}`)))).toBe('MESSAGE_FIELD')
    },
  )

  it('reaches no prototype', () => {
    const message = read('Login', '{"edgefrp":{"v":1,"__proto__":{"polluted":true},"x":{"__proto__":{"y":1}}}}')
    expect(message).toHaveProperty('edgefrp.v', 1)
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    expect(({} as Record<string, unknown>)['y']).toBeUndefined()
  })
})

describe('addresses', () => {
  it.each([
    ['203.0.113.9', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['FE80::1', 'fe80::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::', '::'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['1::', '1::'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
  ])('%s is spelled %s', (given, expected) => {
    expect(read('UDPPacket', `{"r":{"IP":"${given}","Port":1}}`)).toMatchObject({ r: { IP: expected } })
  })

  it.each([
    '1.2.3',
    '1.2.3.04',
    '1.2.3.256',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8::',
    'fe80::1%eth0',
    'g::',
    '1.2.3.4::',
    '::1.2.3.4:1',
  ])('refuses %s', (ip) => {
    expect(codeOf(failure(() => read('UDPPacket', `{"r":{"IP":"${ip}","Port":1}}`)))).toBe('MESSAGE_FIELD')
  })
})
