import { describe, expect, it } from 'vitest'
import { codeOf } from '../../../contract/errors.ts'
import { nodeCrypto } from '../../../node/crypto.ts'
import { ReframedStream } from '../../../protocol/frp/reframe.ts'
import { MAX_UDP_PAYLOAD, MAX_UDP_PAYLOAD_V2, udpPacket } from '../../../protocol/frp/udp.ts'
import { encodeV1 } from '../../../protocol/frp/v1.ts'
import { encodeV2 } from '../../../protocol/frp/v2.ts'
import { reviveWrap, saveWrap, wrap } from '../../../protocol/frp/wrap.ts'
import { Below, Reader } from './harness.ts'
import { toHex } from './vectors.ts'

const address = { ip: '203.0.113.9', port: 50_000 }

function open(wire: 'v1' | 'v2') {
  const below = new Below()
  const stream = new ReframedStream(below, wire)
  const reader = new Reader()
  stream.attach(reader)
  return { below, stream, reader }
}

describe('a reframed stream', () => {
  it('drops a datagram that the other version cannot carry, and goes on', () => {
    const long = udpPacket(new Uint8Array(MAX_UDP_PAYLOAD + 1), address)
    const short = udpPacket(new Uint8Array(MAX_UDP_PAYLOAD), address)
    const { below, stream, reader } = open('v2')
    below.deliver(new Uint8Array(Buffer.concat([encodeV2(long), encodeV2(short)])))
    expect(toHex(reader.bytes)).toBe(toHex(encodeV1(short)))
    // The other way everything fits.
    stream.write(encodeV1(short))
    expect(toHex(below.bytes)).toBe(toHex(encodeV2(short)))
    const back = open('v1')
    back.stream.write(encodeV2(udpPacket(new Uint8Array(MAX_UDP_PAYLOAD_V2), address)))
    expect(back.below.written).toEqual([])
    expect(back.below.isDestroyed).toBe(false)
  })

  it('ends at any other message', () => {
    const { below, reader } = open('v2')
    below.deliver(encodeV2({ type: 'ReqWorkConn' }))
    expect(codeOf(reader.error)).toBe('MESSAGE_UNEXPECTED')
    expect(reader.error?.message).toBe('ReqWorkConn on a sudp connection')
    const other = open('v2')
    expect(other.stream.write(encodeV1({ type: 'ReqWorkConn' }))).toBe(true)
    expect(codeOf(other.reader.error)).toBe('MESSAGE_UNEXPECTED')
  })

  it('ended inside a message is cut, after one over', () => {
    const frame = encodeV2({ type: 'Ping' })
    const cut = open('v2')
    cut.below.deliver(frame.slice(0, 5))
    cut.below.handler?.onEnd()
    expect(codeOf(cut.reader.error)).toBe('MESSAGE_TRUNCATED')
    const whole = open('v2')
    whole.below.deliver(frame)
    whole.below.handler?.onEnd()
    expect(whole.reader.isEnded).toBe(true)
  })

  it('is the outermost of what wraps a stream, and revived there', () => {
    const options = { key: nodeCrypto.randomBytes(16), compression: true, reframe: 'v2' as const }
    const frame = encodeV1(udpPacket(new Uint8Array(40), address))
    const straight = new Below()
    const first = wrap(straight, options, nodeCrypto)
    first.attach(new Reader())
    first.write(frame.slice(0, 9))
    const saved = saveWrap(first, straight)
    expect(saved).toHaveLength(3)
    const below = new Below()
    const again = reviveWrap(below, options, nodeCrypto, saved ?? [])
    again.attach(new Reader())
    again.write(frame.slice(9))
    const far = new Below()
    const peer = wrap(far, { key: options.key, compression: true }, nodeCrypto)
    const reader = new Reader()
    peer.attach(reader)
    far.deliver(new Uint8Array(Buffer.concat([straight.bytes, below.bytes])))
    expect(toHex(reader.bytes)).toBe(toHex(encodeV2(udpPacket(new Uint8Array(40), address))))
  })
})
