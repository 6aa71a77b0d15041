import { describe, expect, it } from 'vitest'
import { codeOf } from '../../../contract/errors.ts'
import { nodeCrypto } from '../../../node/crypto.ts'
import { aeadKey, type Role, type Suite } from '../../../protocol/frp/aead.ts'
import { answerHello, clientHello, readServerHello, transcriptHash } from '../../../protocol/frp/hello.ts'
import { MessageChannel } from '../../../protocol/frp/message-channel.ts'
import { type Message, messageTypeOfId, type Outgoing } from '../../../protocol/frp/messages.ts'
import { loginCodec, Opening, streamCodec, withMagic } from '../../../protocol/frp/opening.ts'
import { encodeV1 } from '../../../protocol/frp/v1.ts'
import {
  CLIENT_HELLO,
  decodeV2,
  encodeV2,
  frameLengthV2,
  frameV2,
  SERVER_HELLO,
  V2_MAGIC,
} from '../../../protocol/frp/v2.ts'
import { HEAD_ROOM, MAX_V2_PAYLOAD_BYTES } from '../../../protocol/limits.ts'
import { Below, cutAt, fixedRandom } from './harness.ts'
import { bytesOf, hex, toHex, utf8, vector, vectors } from './vectors.ts'

const TOKEN = '12345678'
const ALGORITHMS = ['aes-256-gcm', 'xchacha20-poly1305'] as const
const frameNames = Object.keys(vectors).filter((name) => /^v2\.(full\.|login|req_work_conn|udp_packet)/.test(name))
const clientPayload = utf8(vector('v2.client_hello.payload').value)
const serverRandom = Uint8Array.from({ length: 32 }, (_, i) => 0x20 + i)

function failure(run: () => unknown): { code: string | undefined; text: string } {
  try {
    run()
  } catch (error) {
    return { code: codeOf(error), text: String(error) }
  }
  throw new Error('nothing was thrown')
}

function hello(algorithms: string, more = ''): Uint8Array {
  const random = Buffer.from(new Uint8Array(32)).toString('base64')
  const crypto = `{"algorithms":${algorithms},"clientRandom":"${random}"}`
  return utf8(`{"bootstrap":{},"capabilities":{"message":{"codecs":["json"]},"crypto":${crypto}}${more}}`)
}

describe('frames', () => {
  it('there is a vector for each of the 18 messages', () => {
    const types = frameNames.flatMap((name) => (name.startsWith('v2.full.') ? [name.slice(8)] : []))
    const all = Array.from({ length: 18 }, (_, i) => messageTypeOfId(i + 1))
    expect(types.sort()).toEqual(all.sort())
  })

  it.each(frameNames)('%s is read and written to the same bytes', (name) => {
    const frame = bytesOf(name)
    expect(frameLengthV2(frame)).toBe(frame.length)
    expect(toHex(encodeV2(decodeV2(frame) as Outgoing))).toBe(vector(name).value)
  })

  it('have room for the headers of the layers below', () => {
    expect(encodeV2({ type: 'Ping' }).byteOffset).toBe(HEAD_ROOM)
    expect(withMagic(encodeV2({ type: 'Ping' })).byteOffset).toBe(HEAD_ROOM)
  })

  it.each([
    ['0003', 'MESSAGE_TYPE', 'v2 frame of type 3, expected 16'],
    ['0001', 'MESSAGE_TYPE', 'v2 frame of type 1, expected 16'],
    ['00100001', 'MESSAGE_FIELD', 'v2 frame of type 16: flags 1, expected 0'],
    ['0010000000010001', 'MESSAGE_LENGTH', 'v2 frame of type 16: length 65537, expected 2 to 65536'],
    ['00100000ffffffff', 'MESSAGE_LENGTH', 'length 4294967295'],
    ['0010000000000001', 'MESSAGE_LENGTH', 'length 1, expected 2'],
    ['00100000000000040063', 'MESSAGE_TYPE', 'message id 99'],
    ['00100000000000040000', 'MESSAGE_TYPE', 'message id 0'],
  ])('%s is refused as soon as it is there', (bytes, code, text) => {
    const head = hex(bytes)
    const thrown = failure(() => frameLengthV2(head))
    expect(thrown.code).toBe(code)
    expect(thrown.text).toContain(text)
    // What comes before the wrong field alone says nothing yet.
    expect(frameLengthV2(head.subarray(0, 1))).toBeUndefined()
  })

  it('the longest message is written, and a longer one is not', () => {
    const longest = MAX_V2_PAYLOAD_BYTES - 2 - '{"error":""}'.length
    const frame = encodeV2({ type: 'Pong', error: 'x'.repeat(longest) })
    expect(frameLengthV2(frame)).toBe(8 + MAX_V2_PAYLOAD_BYTES)
    const thrown = failure(() => encodeV2({ type: 'Pong', error: 'x'.repeat(longest + 1) }))
    expect(thrown).toEqual({ code: 'MESSAGE_LENGTH', text: expect.stringContaining('Pong: 65537 bytes to send') })
  })
})

/** Hears a channel. */
class Log {
  readonly types: string[] = []
  error: Error | undefined

  onMessage({ type }: Message): void {
    this.types.push(type)
  }

  onClose(error?: Error): void {
    this.error = error
  }
}

describe('a stream that begins', () => {
  function opened(bytes: Uint8Array, cuts: number[] = []) {
    const below = new Below()
    const log = new Log()
    const hellos: string[] = []
    const opening = new Opening((payload) => hellos.push(new TextDecoder().decode(payload)))
    const channel = new MessageChannel(below, log, { codec: opening })
    for (const piece of cutAt(bytes, cuts)) if (!below.isDestroyed) below.deliver(piece)
    return { below, log, hellos, opening, channel }
  }
  const both = new Uint8Array(
    Buffer.concat([V2_MAGIC, bytesOf('v2.client_hello.frame'), bytesOf('v2.login.frame'), bytesOf('v2.full.Ping')]),
  )

  /** Where one part ends and the next begins. */
  const WHOLE = [7, 7 + 236, 7 + 236 + 235]

  it('is v2 after the magic, cut anywhere', () => {
    expect(toHex(V2_MAGIC)).toBe(vector('v2.magic').value)
    for (let cut = 1; cut < both.length; cut++) {
      const { log, hellos, opening } = opened(both, [cut, cut + 3])
      expect(hellos).toEqual([vector('v2.client_hello.payload').value])
      expect(log.types).toEqual(['Login', 'Ping'])
      expect(opening.wire).toBe('v2')
    }
  })

  it('is v1 otherwise, cut anywhere', () => {
    const wire = new Uint8Array(Buffer.concat([encodeV1({ type: 'Login', user: 'u' }), encodeV1({ type: 'Ping' })]))
    for (let cut = 1; cut < wire.length; cut++) {
      const { log, opening } = opened(wire, [cut, cut + 3])
      expect(log.types).toEqual(['Login', 'Ping'])
      expect(opening.wire).toBe('v1')
    }
  })

  it('is answered as it came', () => {
    const two = opened(both)
    two.channel.send({ type: 'Pong' })
    expect(toHex(two.below.bytes)).toBe(toHex(encodeV2({ type: 'Pong' })))
    const one = opened(encodeV1({ type: 'Ping' }))
    one.channel.send({ type: 'Pong' })
    expect(toHex(one.below.bytes)).toBe(toHex(encodeV1({ type: 'Pong' })))
  })

  it('that has half a magic is neither', () => {
    const { error } = opened(hex('46525000030d0a')).log
    expect(codeOf(error)).toBe('WIRE_VERSION')
    expect(error?.message).toBe(
      'the stream begins with 46 52 50 00 03, expected 46 52 50 00 02 0d 0a (v2) or a type byte of v1',
    )
  })

  it('takes one hello of the right end and no second', () => {
    const magic = [...V2_MAGIC]
    const client = [...bytesOf('v2.client_hello.frame')]
    expect(codeOf(opened(Uint8Array.from([...magic, ...client, ...client])).log.error)).toBe('MESSAGE_TYPE')
    const server = [...bytesOf('v2.aes-256-gcm.server_hello.frame')]
    expect(codeOf(opened(Uint8Array.from([...magic, ...server])).log.error)).toBe('MESSAGE_TYPE')
  })

  it('of a client has the magic once, before its message', () => {
    const frame = streamCodec('v2').encode({ type: 'NewWorkConn', run_id: 'r' })
    expect(toHex(frame)).toBe(toHex(V2_MAGIC) + toHex(encodeV2({ type: 'NewWorkConn', run_id: 'r' })))
    expect(streamCodec('v1').encode({ type: 'Ping' })).toEqual(encodeV1({ type: 'Ping' }))
  })

  it('of a login reads the ServerHello, then messages', () => {
    const below = new Below()
    const seen: string[] = []
    const codec = loginCodec('v2', (payload) => seen.push(new TextDecoder().decode(payload)))
    new MessageChannel(below, { onMessage: ({ type }) => seen.push(type) }, { codec })
    below.deliver(bytesOf('v2.aes-256-gcm.server_hello.frame'))
    below.deliver(bytesOf('v2.full.LoginResp'))
    expect(seen).toEqual([vector('v2.aes-256-gcm.server_hello.payload').value, 'LoginResp'])
  })

  it('ended inside a frame is cut, not over', () => {
    for (let cut = 1; cut < both.length; cut++) {
      const { below, log } = opened(both.subarray(0, cut))
      below.handler?.onEnd()
      const isWhole = WHOLE.includes(cut)
      expect(codeOf(log.error), `cut at ${cut}`).toBe(isWhole ? undefined : 'MESSAGE_TRUNCATED')
    }
  })
})

describe('hellos', () => {
  it("a client's is written as Go writes it", () => {
    const crypto = fixedRandom(Uint8Array.from({ length: 32 }, (_, i) => i))
    const payload = clientHello({ transport: 'tcp', tls: true, tcpMux: true }, crypto)
    expect(new TextDecoder().decode(payload)).toBe(vector('v2.client_hello.payload').value)
    expect(toHex(frameV2(CLIENT_HELLO, payload))).toBe(vector('v2.client_hello.frame').value)
  })

  it('the first algorithm of the client that we know is taken', () => {
    const answer = answerHello(clientPayload, fixedRandom(serverRandom.slice()))
    expect(new TextDecoder().decode(answer.payload)).toBe(vector('v2.aes-256-gcm.server_hello.payload').value)
    expect(toHex(frameV2(SERVER_HELLO, answer.payload))).toBe(vector('v2.aes-256-gcm.server_hello.frame').value)
    const other = answerHello(hello('["future","xchacha20-poly1305","aes-256-gcm"]'), fixedRandom(serverRandom.slice()))
    expect(new TextDecoder().decode(other.payload)).toBe(vector('v2.xchacha20-poly1305.server_hello.payload').value)
  })

  it.each([
    ['[]', 'no supported crypto algorithm'],
    ['["des"]', 'no supported crypto algorithm'],
  ])('algorithms %s are refused in words of frp', (algorithms, text) => {
    const answer = answerHello(hello(algorithms), nodeCrypto)
    expect(answer).toMatchObject({ error: { code: 'WIRE_HELLO', message: `ClientHello: ${text}` } })
    expect(toHex(frameV2(SERVER_HELLO, answer.payload))).toBe(vector('v2.server_hello.error').value)
  })

  it.each([
    ['{}', 'unsupported message codec'],
    ['null', 'unsupported message codec'],
    ['{"capabilities":{"message":{"codecs":["json"]}}}', 'invalid crypto client random length 0, want 32'],
    [
      '{"capabilities":{"message":{"codecs":["json"]},"crypto":{"clientRandom":"AAAA"}}}',
      'invalid crypto client random length 3, want 32',
    ],
  ])('%s is refused in words of frp', (json, text) => {
    const answer = answerHello(utf8(json), nodeCrypto)
    expect('error' in answer && answer.error.message).toBe(`ClientHello: ${text}`)
    expect(new TextDecoder().decode(answer.payload)).toBe(
      `{"selected":{"message":{"codec":"json"},"crypto":{}},"error":"${text}"}`,
    )
  })

  it.each([
    ['[]', 'MESSAGE_FIELD'],
    ['{"capabilities":1}', 'MESSAGE_FIELD'],
    ['{"capabilities":{"crypto":{"clientRandom":"?"}}}', 'MESSAGE_FIELD'],
    ['{', 'MESSAGE_JSON'],
    ['', 'MESSAGE_JSON'],
  ])('%s is no hello at all', (json, code) => {
    expect(failure(() => answerHello(utf8(json), nodeCrypto)).code).toBe(code)
  })

  it('keys that we do not know are ignored', () => {
    expect('suite' in answerHello(hello('["aes-256-gcm"]', ',"future":{"a":[1]}'), nodeCrypto)).toBe(true)
  })

  it.each([
    ['{"selected":{"message":{"codec":"json"},"crypto":{}},"error":"no"}', 'LOGIN_REFUSED', 'no'],
    ['{"selected":{"message":{"codec":"xml"},"crypto":{}}}', 'WIRE_HELLO', 'message codec "xml", expected "json"'],
    [
      '{"selected":{"message":{"codec":"json"},"crypto":{"algorithm":"des"}}}',
      'WIRE_HELLO',
      'crypto algorithm "des", expected one of aes-256-gcm, xchacha20-poly1305',
    ],
    [
      '{"selected":{"message":{"codec":"json"},"crypto":{"algorithm":"aes-256-gcm","serverRandom":"AAAA"}}}',
      'WIRE_HELLO',
      'serverRandom of 3 bytes, expected 32',
    ],
  ])('the answer %s is not accepted', (json, code, text) => {
    const thrown = failure(() => readServerHello(utf8(json), clientPayload, nodeCrypto))
    expect(thrown.code).toBe(code)
    expect(thrown.text).toContain(text)
  })
})

describe('keys', () => {
  it.each(ALGORITHMS)('%s: transcript and both keys are those of Go', (algorithm) => {
    const serverPayload = utf8(vector(`v2.${algorithm}.server_hello.payload`).value)
    const transcript = transcriptHash(clientPayload, serverPayload, nodeCrypto)
    expect(toHex(transcript)).toBe(vector(`v2.${algorithm}.transcript_hash`).value)
    const suite = readServerHello(serverPayload, clientPayload, nodeCrypto)
    expect(suite).toEqual({ algorithm, transcript })
    expect(toHex(aeadKey(suite, TOKEN, 'client', nodeCrypto))).toBe(vector(`v2.${algorithm}.key.c2s`).value)
    expect(toHex(aeadKey(suite, TOKEN, 'server', nodeCrypto))).toBe(vector(`v2.${algorithm}.key.s2c`).value)
  })

  it.each([
    ['v2.hkdf.empty_token', 'aes-256-gcm', ''],
    ['v2.hkdf.gotest', 'xchacha20-poly1305', 'token'],
  ] as const)('%s', (name, algorithm, token) => {
    const suite: Suite = { algorithm, transcript: new Uint8Array(32).fill(0x44) }
    const writer: Role = 'client'
    expect(toHex(aeadKey(suite, token, writer, nodeCrypto))).toBe(vector(name).value)
  })
})
