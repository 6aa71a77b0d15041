import { describe, expect, it } from 'vitest'
import { codeOf } from '../../../contract/errors.ts'
import { MAX_QUEUED_BYTES, MessageChannel } from '../../../protocol/frp/message-channel.ts'
import type { Message, Outgoing } from '../../../protocol/frp/messages.ts'
import { encodeV1 } from '../../../protocol/frp/v1.ts'
import { pair } from '../../../protocol/stream/pair.ts'
import { Below, Reader } from './harness.ts'
import { bytesOf, hex, toHex, utf8, vector } from './vectors.ts'

class Log {
  readonly messages: Message[] = []
  ends = 0
  closes = 0
  error: Error | undefined
  onTold: ((message: Message) => void) | undefined

  onMessage(message: Message): void {
    this.messages.push(message)
    this.onTold?.(message)
  }

  onEnd(): void {
    this.ends += 1
  }

  onClose(error?: Error): void {
    this.closes += 1
    this.error = error
  }

  get types(): string[] {
    return this.messages.map((message) => message.type)
  }
}

function open(head?: Uint8Array) {
  const below = new Below()
  const log = new Log()
  const channel = new MessageChannel(below, log, head === undefined ? {} : { head })
  return { below, log, channel }
}

const three = new Uint8Array(Buffer.concat([bytesOf('v1.full.Login'), bytesOf('v1.ping'), bytesOf('v1.full.NewProxy')]))

describe('reading', () => {
  it('finds messages wherever the bytes are cut', () => {
    for (let cut = 0; cut <= three.length; cut++) {
      const { below, log } = open()
      if (cut > 0) below.deliver(three.subarray(0, cut))
      if (cut < three.length) below.deliver(three.subarray(cut))
      expect(log.types, `cut at ${cut}`).toEqual(['Login', 'Ping', 'NewProxy'])
      expect(log.messages[2]).toMatchObject({ proxy_name: 'alice.web', multiplexer: 'httpconnect' })
    }
  })

  it('finds them byte by byte', () => {
    const { below, log } = open()
    for (const byte of three) below.deliver(Uint8Array.of(byte))
    expect(log.types).toEqual(['Login', 'Ping', 'NewProxy'])
  })

  it('ignores a message whose body is null', () => {
    const { below, log } = open()
    below.deliver(hex('6800000000000000046e756c6c'))
    below.deliver(bytesOf('v1.ping'))
    expect(log.types).toEqual(['Ping'])
  })

  it('refuses an unknown type from its one byte', () => {
    const { below, log } = open()
    below.deliver(Uint8Array.of(0x7a))
    expect(log.error).toMatchObject({ code: 'MESSAGE_TYPE', message: 'type byte 0x7a is no message of frp' })
    expect(below.destroyed).toBe(log.error)
  })

  it.each([
    ['v1.obs.length_10241', 'MESSAGE_LENGTH', 'Ping: length 10241, expected 0 to 10240'],
    ['v1.obs.length_negative', 'MESSAGE_LENGTH', 'Ping: length -1, expected 0 to 10240'],
  ])('refuses %s from the header alone', (name, code, message) => {
    const { below, log } = open()
    below.deliver(hex(vector(name).note.replace('input ', '')).subarray(0, 9))
    expect(log.error).toMatchObject({ code, message })
    expect(log.closes).toBe(1)
  })

  it('takes a message of 10,240 bytes and waits for all of it without taking memory for it', () => {
    const { below, log, channel } = open()
    below.deliver(hex('680000000000002800'))
    expect(channel.snapshot().length).toBe(9)
    below.deliver(utf8(`{}${' '.repeat(10_238)}`))
    expect(log.types).toEqual(['Ping'])
  })

  it('tells an end between messages from one inside', () => {
    const clean = open()
    clean.below.deliver(bytesOf('v1.ping'))
    clean.below.handler?.onEnd()
    expect(clean.log.ends).toBe(1)
    expect(clean.log.closes).toBe(0)
    const cut = open()
    cut.below.deliver(hex(vector('v1.obs.truncated').note.replace('input ', '')))
    cut.below.handler?.onEnd()
    expect(cut.log.ends).toBe(0)
    expect(codeOf(cut.log.error)).toBe('MESSAGE_TRUNCATED')
  })

  it('tells nothing more after malformed input, not even from the same chunk', () => {
    const { below, log } = open()
    below.deliver(new Uint8Array(Buffer.concat([bytesOf('v1.ping'), Uint8Array.of(0), bytesOf('v1.ping')])))
    expect(log.types).toEqual(['Ping'])
    expect(log.closes).toBe(1)
  })

  it('goes on elsewhere from a snapshot at any byte', () => {
    for (let cut = 0; cut <= three.length; cut++) {
      const first = open()
      if (cut > 0) first.below.deliver(three.subarray(0, cut))
      const [a, b] = pair()
      const log = new Log()
      new MessageChannel(a, log, { head: first.channel.snapshot() })
      b.write(three.subarray(cut))
      expect([...first.log.types, ...log.types], `cut at ${cut}`).toEqual(['Login', 'Ping', 'NewProxy'])
    }
  })
})

describe('pause', () => {
  it('holds the messages of a chunk back until resume', () => {
    const { below, log, channel } = open()
    log.onTold = () => channel.pause()
    expect(below.deliver(three)).toBe(false)
    expect(log.types).toEqual(['Login'])
    channel.resume()
    expect(log.types).toEqual(['Login', 'Ping'])
    channel.resume()
    expect(log.types).toEqual(['Login', 'Ping', 'NewProxy'])
    expect(below.isPaused).toBe(true)
    channel.resume()
    expect(below.isPaused).toBe(false)
    expect(below.isWaiting).toBe(false)
  })

  it('may be taken back inside the message', () => {
    const { below, log, channel } = open()
    log.onTold = () => {
      channel.pause()
      channel.resume()
    }
    expect(below.deliver(three)).toBe(true)
    expect(log.types.length).toBe(3)
    expect(below.isPaused).toBe(false)
  })
})

describe('detach', () => {
  const payload = utf8('raw bytes after the message')

  it('from inside onMessage gives what follows, at any cut', () => {
    const login = bytesOf('v1.login')
    const all = new Uint8Array(Buffer.concat([login, payload]))
    for (let cut = 1; cut <= all.length; cut++) {
      const [ours, peer] = pair()
      const reader = new Reader()
      const channel = new MessageChannel(ours, {
        onMessage: () => {
          const { stream, head } = channel.detach()
          stream.attach(reader, head)
        },
      })
      peer.write(all.subarray(0, cut))
      peer.write(all.subarray(cut))
      peer.end()
      expect(toHex(reader.bytes), `cut at ${cut}`).toBe(toHex(payload))
      expect(reader.isEnded).toBe(true)
    }
  })

  it('lets nobody read until the next attach', () => {
    const [ours, peer] = pair()
    let handedOver: ReturnType<MessageChannel['detach']> | undefined
    const channel = new MessageChannel(ours, {
      onMessage: () => {
        handedOver = channel.detach()
      },
    })
    peer.attach(new Reader())
    peer.write(bytesOf('v1.login'))
    expect(peer.write(payload)).toBe(false)
    const reader = new Reader()
    handedOver?.stream.attach(reader, handedOver.head)
    expect(toHex(reader.bytes)).toBe(toHex(payload))
  })

  it('passes on a close that came in between', () => {
    const [ours, peer] = pair()
    let handedOver: ReturnType<MessageChannel['detach']> | undefined
    const log = new Log()
    const channel = new MessageChannel(ours, log)
    log.onTold = () => {
      handedOver = channel.detach()
    }
    peer.write(bytesOf('v1.login'))
    peer.destroy()
    const reader = new Reader()
    handedOver?.stream.attach(reader, handedOver.head)
    expect(reader.closes).toBe(1)
    expect(codeOf(reader.error)).toBe('STREAM_RESET')
    expect(log.closes).toBe(0)
  })

  it('sends what was queued before what the next owner writes', () => {
    const { below, channel } = open()
    below.keepNext = 1
    channel.send({ type: 'LoginResp', version: '1' })
    channel.send({ type: 'ReqWorkConn' })
    const { stream } = channel.detach()
    const reader = new Reader()
    stream.attach(reader)
    expect(stream.write(payload.slice())).toBe(false)
    stream.end()
    expect(below.isEnded).toBe(false)
    below.drain()
    const expected = [encodeV1({ type: 'LoginResp', version: '1' }), encodeV1({ type: 'ReqWorkConn' }), payload]
    expect(toHex(below.bytes)).toBe(toHex(new Uint8Array(Buffer.concat(expected))))
    expect(reader.drains).toBe(1)
    expect(below.isEnded).toBe(true)
  })

  it('silences the channel', () => {
    const { below, channel, log } = open()
    channel.detach()
    channel.send({ type: 'Ping' })
    channel.destroy()
    channel.end()
    expect(below.written).toEqual([])
    expect(below.isDestroyed).toBe(false)
    expect(log.closes).toBe(0)
  })
})

describe('sending', () => {
  it('waits in order while the stream is backed up', () => {
    const { below, channel } = open()
    below.keepNext = 2
    const messages: Outgoing[] = [
      { type: 'Ping' },
      { type: 'Pong' },
      { type: 'ReqWorkConn' },
      { type: 'Pong', error: 'e' },
    ]
    for (const message of messages) channel.send(message)
    expect(below.written.length).toBe(1)
    expect(channel.isBackedUp).toBe(true)
    channel.end()
    below.drain()
    expect(below.written.length).toBe(2)
    expect(below.isEnded).toBe(false)
    below.drain()
    expect(toHex(below.bytes)).toBe(messages.map((message) => toHex(encodeV1(message))).join(''))
    expect(below.isEnded).toBe(true)
    expect(channel.isBackedUp).toBe(false)
  })

  it('gives up on a peer that never reads', () => {
    const { below, channel, log } = open()
    below.keepNext = 1
    const error = 'x'.repeat(8_000)
    for (let i = 0; i < MAX_QUEUED_BYTES / 8_000 + 1; i++) channel.send({ type: 'Pong', error })
    expect(codeOf(log.error)).toBe('LIMIT')
    expect(log.closes).toBe(1)
    channel.send({ type: 'Ping' })
    expect(below.written.length).toBe(1)
  })

  it('refuses to write what no peer would read', () => {
    const { channel } = open()
    expect(() => channel.send({ type: 'Pong', error: 'x'.repeat(10_240) })).toThrow(/Pong: 10252 bytes/)
  })
})
