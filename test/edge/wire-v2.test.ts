import { describe, expect, it } from 'vitest'
import { hchacha20 } from '../../protocol/frp/hchacha20.ts'
import { MessageChannel, type MessageHandler } from '../../protocol/frp/message-channel.ts'
import type { Message } from '../../protocol/frp/messages.ts'
import { codecOf } from '../../protocol/frp/opening.ts'
import { datagramOf, udpPacket } from '../../protocol/frp/udp.ts'
import { workerCrypto } from '../../worker/crypto.ts'
import { EdgeClient } from './client.ts'
import { eventually, evict, evictIfQuiet, newHub, quiet, relaysSeen } from './hub.ts'
import { KEY, visitSecret } from './secret-visit.ts'
import { answerOf, bytesOf, echo, Reader, textOf, web } from './services.ts'

const CIPHERS = ['aes-256-gcm', 'xchacha20-poly1305'] as const
const PLAIN = { use_encryption: false, use_compression: false }

function hex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))
}

describe('the lent AEAD of the platform', () => {
  // v2.<alg>.c2s.first_message: key, stream nonce, first record (test/fixtures/frp-vectors.json).
  it.each([
    [
      'aes-256-gcm',
      hex('8f7fa4dc15696cf370c174d1a2fdc8d0c9bb99cb3d943fb79094e0928a278293'),
      hex('404142434445464748494a4b'),
      '95e93c171c126b7df521fb4c9fbd5e3be25a309245e39ea2',
    ],
    [
      'chacha20-poly1305',
      hex('36827dca36cb5bf884ba1e08e5557800784aff286213e821f21a5d0357885488'),
      hex('404142434445464748494a4b4c4d4e4f5051525354555657'),
      '95c8541eb526101f39a149c2bc96a5f3d0a8223c7883e19a',
    ],
  ] as const)('%s is what Go has, and tells what was changed', (aead, key, streamNonce, sealedHex) => {
    const isLong = streamNonce.length > 12
    const own = isLong ? hchacha20(key, streamNonce) : key
    const nonce = isLong ? Uint8Array.of(0, 0, 0, 0, ...streamNonce.subarray(16)) : streamNonce
    const aad = Uint8Array.of(...streamNonce, 0, 0, 0, 24)
    const text = hex('0010000000000004')
    const sealed = hex(sealedHex)
    expect(workerCrypto.aeadSeal(aead, own, nonce, aad, text)).toEqual(sealed)
    expect(workerCrypto.aeadOpen(aead, own, nonce, aad, sealed)).toEqual(text)
    for (let i = 0; i < sealed.length; i++) {
      const changed = sealed.slice()
      changed[i] = (changed[i] ?? 0) ^ 1
      expect(workerCrypto.aeadOpen(aead, own, nonce, aad, changed)).toBeUndefined()
    }
    expect(workerCrypto.aeadOpen(aead, own, nonce, aad, sealed.subarray(0, 15))).toBeUndefined()
    expect(workerCrypto.aeadOpen(aead, own, nonce, aad.subarray(1), sealed)).toBeUndefined()
  })
})

describe.each(CIPHERS)('a v2 session with %s at a hub that leaves memory', (cipher) => {
  it('between requests serves on, with a pooled work connection', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub, { cipher })
    let count = 0
    const service = web((head, _reader, work) => work.write(answerOf(`${++count} ${head.split(' ')[1]}`)))
    await client.register({ proxy_name: 'web', proxy_type: 'http', custom_domains: ['web.test'] }, service)
    relaysSeen.clear()
    for (let i = 1; i <= 20; i++) {
      await evict(hub)
      expect(await (await hub.fetch(`http://web.test/${i}`)).text()).toBe(`${i} /${i}`)
    }
    expect(relaysSeen.size).toBeGreaterThanOrEqual(20)
    expect(client.session.isClosed).toBe(false)
  })

  it('inside records and messages loses no byte of them', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub, { cipher })
    let evictions = 0
    for (let round = 0; evictions < 60; round++) {
      client.link.isHolding = true
      const proxy = { proxy_name: `ssh-${round}`, proxy_type: 'tcp', remote_port: 7000 + round }
      const answer = client.register(proxy, echo)
      const pong = client.ping()
      for (let size = 1 + round; client.link.waiting.length > 0; size = 1 + ((size * 7) % 41)) {
        client.link.sendSome(size)
        if (await evictIfQuiet(hub)) evictions += 1
      }
      client.link.isHolding = false
      expect(await answer).toMatchObject({ error: '', remote_addr: `:${7000 + round}` })
      await pong
    }
    expect(client.session.isClosed).toBe(false)
  })

  it('inside a record that is longer than an attachment goes on', async () => {
    const hub = newHub()
    const client = await EdgeClient.login(hub, { cipher })
    client.link.isHolding = true
    const metas = { long: 'x'.repeat(50_000) }
    const answer = client.register({ proxy_name: 'long', proxy_type: 'tcp', remote_port: 7000, metas }, echo)
    let evictions = 0
    while (client.link.waiting.length > 0) {
      client.link.sendSome(9_000)
      if (await evictIfQuiet(hub)) evictions += 1
    }
    client.link.isHolding = false
    expect(await answer).toMatchObject({ error: '', remote_addr: ':7000' })
    expect(evictions).toBeGreaterThan(3)
    await evict(hub)
    await client.ping()
  })

  it('inside a visit carries both ways, to a client of v1 too', async () => {
    const hub = newHub()
    const owner = await EdgeClient.login(hub, { cipher })
    await owner.register({ proxy_name: 's', proxy_type: 'stcp', sk: KEY }, echo)
    for (const visitor of [await EdgeClient.login(hub, { cipher }), await EdgeClient.login(hub)]) {
      await evict(hub)
      const reader = new Reader(await visitSecret(visitor, 's', { use_encryption: true, use_compression: true }))
      for (let i = 0; i < 10; i++) {
        await reader.write(bytesOf(`message ${i};`))
        expect(textOf(await reader.take(`message ${i};`.length))).toBe(`message ${i};`)
        await evict(hub)
      }
    }
  })

  it('inside sudp between two versions reads each in its own, cut anywhere', async () => {
    for (const [ownerCipher, visitorCipher] of [
      [cipher, undefined],
      [undefined, cipher],
    ]) {
      const hub = newHub()
      const owner = await EdgeClient.login(hub, ownerCipher === undefined ? {} : { cipher: ownerCipher })
      await owner.register({ proxy_name: 's', proxy_type: 'sudp', sk: KEY }, (work) => {
        const handler: MessageHandler = { onMessage: (message) => channel.send(message) }
        const channel = new MessageChannel(work, handler, { codec: codecOf(owner.wire) })
      })
      const visitor = await EdgeClient.login(hub, visitorCipher === undefined ? {} : { cipher: visitorCipher })
      const heard: Message[] = []
      const stream = await visitSecret(visitor, 's', PLAIN)
      const handler: MessageHandler = { onMessage: (message) => heard.push(message) }
      const channel = new MessageChannel(stream, handler, { codec: codecOf(visitor.wire) })
      let evictions = 0
      for (let i = 0; i < 8; i++) {
        visitor.link.isHolding = true
        channel.send(udpPacket(bytesOf(`datagram ${i}`), { ip: '192.0.2.1', port: 1_000 + i }))
        while (visitor.link.waiting.length > 0) {
          visitor.link.sendSome(13)
          if (await evictIfQuiet(hub)) evictions += 1
        }
        visitor.link.isHolding = false
        await eventually(() => heard.length === i + 1)
        const got = heard[i]
        if (got?.type !== 'UDPPacket') throw new Error(`${got?.type} instead of UDPPacket`)
        const { payload, ip, port } = datagramOf(got)
        expect([textOf(payload), ip, port]).toEqual([`datagram ${i}`, '192.0.2.1', 1_000 + i])
      }
      expect(evictions).toBeGreaterThan(8)
      await quiet(hub)
    }
  })
})

describe('the API of a hub', () => {
  it('says which wire protocol each client speaks, after sleep too', async () => {
    const hub = newHub()
    await EdgeClient.login(hub, { clientId: 'one' })
    await EdgeClient.login(hub, { clientId: 'two', cipher: 'aes-256-gcm' })
    await evict(hub)
    const headers = { Authorization: `Basic ${btoa('admin:secret')}` }
    const response = await hub.fetch('http://relay.test/~!frp/api/clients', { headers })
    const clients: { clientID: string; wireProtocol: string }[] = await response.json()
    expect(clients.map(({ clientID, wireProtocol }) => [clientID, wireProtocol])).toEqual([
      ['one', 'v1'],
      ['two', 'v2'],
    ])
  })
})
