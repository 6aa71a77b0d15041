import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NatHoleLine } from '../../../client/nathole/nat-hole-line.ts'
import { makeHole } from '../../../client/nathole/punch.ts'
import { decodeSid, encodeSid } from '../../../client/nathole/sid-datagram.ts'
import type { Runtime } from '../../../contract/runtime.ts'
import { nodeRuntime } from '../../../node/runtime.ts'
import { deriveKey } from '../../../protocol/frp/cipher.ts'
import type { NatHoleResp, Outgoing } from '../../../protocol/frp/messages.ts'
import { freePorts } from '../../e2e/client-rig.ts'
import { bytesOf } from '../frp/vectors.ts'

const runtime = nodeRuntime()
const { crypto } = runtime
const KEY = deriveKey(crypto, 'abcdefg')

/** A clock that runs so many times as fast. */
function hasty(speed: number): Runtime {
  return { ...runtime, after: (delayMs, run) => runtime.after(delayMs / speed, run) }
}

describe('a datagram that knocks', () => {
  const datagram = bytesOf('cfb.datagram.nathole_sid')
  const message = {
    type: 'NatHoleSid',
    transaction_id: '17000000000123456789abcdef',
    sid: '1700000001fedcba9876543210',
    nonce: '000',
  } as const

  it('is read as frp writes it, and written as frp reads it', () => {
    expect(decodeSid(datagram, KEY, crypto)).toEqual({ ...message, response: false })
    const fixed = { ...crypto, randomBytes: (length: number) => datagram.slice(0, length) }
    expect(Buffer.from(encodeSid(message, KEY, fixed)).toString('hex')).toBe(Buffer.from(datagram).toString('hex'))
  })

  it('is nothing with another key, cut, or of another kind', () => {
    expect(decodeSid(datagram, deriveKey(crypto, 'other'), crypto)).toBeUndefined()
    for (let length = 0; length < datagram.length; length++) {
      expect(decodeSid(datagram.subarray(0, length), KEY, crypto)).toBeUndefined()
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300, size: 'max' }), (bytes) => {
        expect(decodeSid(bytes, KEY, crypto)).toBeUndefined()
      }),
    )
  })
})

type Behavior = NatHoleResp['detect_behavior']

function answer(peerPort: number, does: Partial<Behavior>, more: Partial<NatHoleResp> = {}): NatHoleResp {
  return {
    type: 'NatHoleResp',
    transaction_id: 't',
    sid: 'sid',
    protocol: 'quic',
    candidate_addrs: [`127.0.0.1:${peerPort}`],
    assisted_addrs: [],
    error: '',
    detect_behavior: {
      role: 'sender',
      mode: 0,
      ttl: 0,
      send_delay_ms: 0,
      read_timeout: 5_000,
      candidate_ports: [],
      send_random_ports: 0,
      listen_random_ports: 0,
      ...does,
    },
    ...more,
  }
}

describe('makeHole', () => {
  it.each([
    ['both knock', {}, {}],
    ['datagrams end early', {}, { ttl: 1 }],
    ['the sender waits', { send_delay_ms: 40 }, {}],
    ['the receiver listens at many ports', {}, { listen_random_ports: 5 }],
  ])('finds the peer when %s', async (_how, sends, receives) => {
    const [a = 0, b = 0] = await freePorts(2)
    const [sender, receiver] = await Promise.all([
      makeHole(a, answer(b, { role: 'sender', ...sends }), 's', runtime),
      makeHole(b, answer(a, { role: 'receiver', ...receives }), 's', runtime),
    ])
    expect([sender, receiver]).toEqual([
      { localPort: a, ip: '127.0.0.1', port: b },
      { localPort: b, ip: '127.0.0.1', port: a },
    ])
  })

  it('tries the ports of a range, and those near the one that was named', async () => {
    const [a = 0, b = 0] = await freePorts(2)
    const ports = (port: number) => [{ from: port - 4, to: port + 4 }]
    const [sender, receiver] = await Promise.all([
      makeHole(a, answer(b - 2, { role: 'sender', candidate_ports: ports(b - 2) }), 's', runtime),
      makeHole(b, answer(a - 2, { role: 'receiver', candidate_ports: ports(a - 2) }), 's', runtime),
    ])
    expect([sender.port, receiver.port]).toEqual([b, a])
  })

  it('takes nobody who has not the secret, or means another meeting', async () => {
    const fast = hasty(20)
    for (const [secret, sid] of [
      ['other', 'sid'],
      ['s', 'another'],
    ] as const) {
      const [a = 0, b = 0] = await freePorts(2)
      const results = await Promise.allSettled([
        makeHole(a, answer(b, { role: 'sender' }), 's', fast),
        makeHole(b, answer(a, { role: 'receiver' }, { sid }), secret, fast),
      ])
      expect(results).toMatchObject([
        { status: 'rejected', reason: { code: 'TIMEOUT', message: 'wait detect message timeout' } },
        { status: 'rejected', reason: { code: 'TIMEOUT' } },
      ])
    }
  })

  it('does no more than it should, whatever a relay asks for', async () => {
    const [a = 0] = await freePorts(1)
    const huge = 1_000_000_000
    const ranges = Array.from({ length: 50 }, () => ({ from: 1, to: 65_535 }))
    const does = { role: 'sender', send_delay_ms: huge, read_timeout: huge, send_random_ports: huge, ttl: huge }
    const asked = answer(1, { ...does, candidate_ports: ranges }, { candidate_addrs: ['127.0.0.1:1'] })
    const began = performance.now()
    await expect(makeHole(a, asked, 's', hasty(100))).rejects.toThrow('wait detect message timeout')
    // Half a minute, a thousand ports and a minute, of a clock that runs a hundred times as fast.
    expect(performance.now() - began).toBeLessThan(8_000)
  })

  it('leaves its port to whoever comes next', async () => {
    const [a = 0, b = 0] = await freePorts(2)
    await expect(makeHole(a, answer(b, { read_timeout: 1 }), 's', runtime)).rejects.toThrow('timeout')
    await expect(makeHole(a, answer(b, { read_timeout: 1 }), 's', runtime)).rejects.toThrow('timeout')
  })
})

describe('questions about holes', () => {
  it('get the answer with their id, the reason, or none in 5 s', async () => {
    const sent: Outgoing[] = []
    const line = new NatHoleLine(hasty(100), (message) => sent.push(message))
    const ask = (): Promise<NatHoleResp> => line.ask({ type: 'NatHoleVisitor', proxy_name: 'p', pre_check: true })
    const asked = [ask(), ask(), ask()]
    const ids = sent.map((message) => (message.type === 'NatHoleVisitor' ? (message.transaction_id ?? '') : ''))
    expect(new Set(ids).size).toBe(3)
    const empty = answer(0, {})
    line.answered({ ...empty, transaction_id: 'of nobody' })
    line.answered({ ...empty, transaction_id: ids[1] ?? '', sid: 'second' })
    line.answered({ ...empty, transaction_id: ids[0] ?? '', error: 'no' })
    expect(await Promise.allSettled(asked)).toMatchObject([
      { reason: { code: 'VISIT_REFUSED', message: 'no' } },
      { value: { sid: 'second' } },
      { reason: { code: 'TIMEOUT' } },
    ])
  })
})
