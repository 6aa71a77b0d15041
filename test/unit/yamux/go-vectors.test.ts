import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { pair } from '../../../protocol/stream/pair.ts'
import {
  FLAG_ACK,
  FLAG_FIN,
  FLAG_RST,
  FLAG_SYN,
  header,
  TYPE_DATA,
  TYPE_GO_AWAY,
  TYPE_PING,
  TYPE_WINDOW_UPDATE,
} from '../../../protocol/yamux/frame.ts'
import { Session } from '../../../protocol/yamux/session.ts'
import type { YamuxStream } from '../../../protocol/yamux/stream.ts'
import { data, fromHex, hex, Reader, Side } from './harness.ts'

/** What fatedier/yamux wrote and answered, and one conversation of two of its ends. */
interface Vectors {
  values: Record<string, { value: string; note: string }>
  transcript: { from: string; bytes: string; what: string }[]
}
const fixture = new URL('../../fixtures/yamux-vectors.json', import.meta.url)
const { values, transcript } = JSON.parse(readFileSync(fixture, 'utf8')) as Vectors
const vector = (name: string): string => {
  const found = values[name]
  if (found === undefined) throw new Error(`no vector ${name}`)
  return found.value
}
const update = (flags: number, id: number, delta = 0) => header(TYPE_WINDOW_UPDATE, flags, id, delta)
const ping = header(TYPE_PING, FLAG_SYN, 0, 7)
const syn = update(FLAG_SYN, 1)

/** What Go answered; our windows start at 256 KiB, so our ACK grants nothing more. */
function goAnswer(name: string): { answer: string; isClosed: boolean; reads: string } {
  const [, answer = '', closed = '', reads = ''] = /^answer=(\S*) closed=(\S+) reads=(.*)$/.exec(vector(name)) ?? []
  return { answer: answer.replaceAll('005c0000', '00000000'), isClosed: closed === 'true', reads }
}

describe('what Go does with a frame, we do', () => {
  const inputs: [string, ...Uint8Array[]][] = [
    ['obs.accept', syn],
    ['obs.ack_on_unopened', syn, update(FLAG_ACK, 1), ping],
    ['obs.bad_type', header(4, 0, 0, 0)],
    ['obs.bad_version', fromHex('010100010000000100000000')],
    ['obs.data_fin', syn, data(1, 'hi', FLAG_FIN)],
    ['obs.data_unknown_stream', data(9, 'abc'), ping],
    ['obs.even_id', update(FLAG_SYN, 2)],
    ['obs.fin_unknown_stream', update(FLAG_FIN, 9), ping],
    ['obs.goaway_internal', header(TYPE_GO_AWAY, 0, 0, 2)],
    ['obs.goaway_normal', header(TYPE_GO_AWAY, 0, 0, 0), syn],
    ['obs.goaway_proto', fromHex(vector('goaway_proto'))],
    ['obs.goaway_unknown', header(TYPE_GO_AWAY, 0, 0, 3)],
    ['obs.id_backwards', update(FLAG_SYN, 5), update(FLAG_SYN, 3)],
    ['obs.id_reuse_after_close', syn, update(FLAG_RST, 1), syn],
    ['obs.id_zero', update(FLAG_SYN, 0)],
    ['obs.ping_ack_unknown', header(TYPE_PING, FLAG_ACK, 0, 3), ping],
    ['obs.ping_no_flags', header(TYPE_PING, 0, 0, 3), ping],
    ['obs.ping_stream_id', header(TYPE_PING, FLAG_SYN, 5, 7)],
    ['obs.rst', syn, update(FLAG_RST, 1)],
    ['obs.syn_data', data(1, 'abc', FLAG_SYN)],
    ['obs.unknown_flags', syn, data(1, 'a', 0x10)],
    ['obs.wu_unknown_stream', update(0, 9, 100), ping],
    ['obs.zero_data', syn, data(1, ''), data(1, 'a')],
  ]
  for (const [name, ...frames] of inputs) {
    it(`${name}: ${values[name]?.note}`, () => {
      const go = goAnswer(name)
      const side = new Side()
      side.feed(...frames)
      const answer = side.link.takeHex()
      // A GoAway before the end arrives "in some runs only".
      expect(go.isClosed ? answer.replace(vector('goaway_proto'), '') : answer).toBe(go.answer)
      expect(side.session.isClosed).toBe(go.isClosed)
      const reads = side.readers.map((reader) => reader.text).join('')
      expect(reads).toBe([...go.reads.matchAll(/"([^"]*)"/g)].map((match) => match[1]).join(''))
      if (go.reads.includes('connection reset')) expect(side.readers[0]?.events).toEqual(['close STREAM_RESET'])
      else if (go.reads.includes('EOF')) expect(side.readers[0]?.events).toEqual(['end'])
    })
  }

  it.each([
    ['a second SYN', [syn, syn], 'YAMUX_DUPLICATE_STREAM'],
    ['a second FIN', [syn, update(FLAG_FIN, 1), update(FLAG_FIN, 1)], 'YAMUX_DOUBLE_FIN'],
    ['more than the window', [syn, header(TYPE_DATA, 0, 1, 262_145)], 'YAMUX_WINDOW_EXCEEDED'],
    ['a giant length', [syn, header(TYPE_DATA, 0, 1, 0xffff_ffff)], 'YAMUX_WINDOW_EXCEEDED'],
    ['a window above 2^32-1', [syn, update(0, 1, 0xffff_ffff)], 'YAMUX_WINDOW_OVERFLOW'],
  ] as const)('%s ends the session with GoAway(1) and a reason', (_, frames, code) => {
    const side = new Side()
    side.feed(...frames)
    expect(side.link.takeHex()).toContain(vector('goaway_proto'))
    expect(side.closes).toEqual([code])
    expect(side.link.destroyedBy).toMatchObject({ code })
    const ends = code === 'YAMUX_DOUBLE_FIN' ? ['end'] : []
    expect(side.readers[0]?.events).toEqual([...ends, 'close SESSION_ENDED'])
  })

  it('data after a FIN does not reach a reader that saw the end', () => {
    const side = new Side()
    side.feed(syn, update(FLAG_FIN, 1), data(1, 'late'), ping)
    expect(side.readers[0]?.text).toBe('')
    expect(side.session.isClosed).toBe(false)
    expect(side.link.takeHex()).toContain('000200020000000000000007')
  })

  it('no open after GoAway(0)', () => {
    const side = new Side()
    side.feed(header(TYPE_GO_AWAY, 0, 0, 0))
    expect(() => side.session.open()).toThrow(expect.objectContaining({ code: 'YAMUX_GO_AWAY' }))
  })

  it('the 257th SYN that we could not answer is reset', () => {
    const side = new Side()
    side.feed(ping)
    side.link.take()
    side.link.isSlow = true
    for (let i = 0; i < 258; i++) side.feed(update(FLAG_SYN, 1 + 2 * i))
    expect(side.accepted.length).toBe(257)
    side.link.isSlow = false
    side.link.drain()
    const resets = side.frames().filter((frame) => frame.flags === FLAG_RST)
    expect(resets.map((frame) => frame.id)).toEqual([515])
  })
})

describe('the bytes that we write are those of Go', () => {
  it('open, data, FIN, ping, pong, reset', () => {
    const side = new Side({ role: 'client' })
    const stream = side.session.open()
    expect(side.link.takeHex()).toBe(vector('open_stream3_small').replace('00000003', '00000001'))
    side.feed(fromHex(vector('accept_stream1')))
    expect(stream.sendWindow).toBe(6 * 1024 * 1024)
    stream.write(new TextEncoder().encode('hello'))
    expect(side.link.takeHex()).toBe(vector('data_hello'))
    stream.end()
    expect(side.link.takeHex()).toBe(vector('fin'))
    expect(side.session.ping()).toBe(0)
    expect(side.link.takeHex()).toBe(vector('ping'))
    side.feed(fromHex(vector('pong')))
    expect(side.pongs).toEqual([0])
    side.feed(fromHex(vector('ping')))
    expect(side.link.takeHex()).toBe(vector('pong'))
    stream.destroy()
    expect(side.link.takeHex()).toBe(vector('rst'))
    side.session.close()
    expect(side.link.takeHex()).toBe(vector('obs.session_close'))
    expect(side.link.isEnded).toBe(true)
  })

  it('a conversation of two Go ends can be read, by either role', () => {
    for (const us of ['client', 'server'] as const) {
      const side = new Side({ role: us })
      const ours: YamuxStream[] = []
      const readers: Reader[] = []
      for (const step of transcript) {
        // Beyond the window that we granted.
        if (step.what.includes('3 MiB')) break
        if (step.from !== us) {
          if (!step.bytes.endsWith('...')) side.link.feed(fromHex(step.bytes))
        } else if (step.what.includes('OpenStream')) {
          const stream = side.session.open()
          ours.push(stream)
          readers.push(Reader.of(stream))
        } else if (step.what.includes('Close stream 1')) {
          const stream = ours[0] ?? side.accepted[0]
          stream?.end()
        } else if (step.what.startsWith(`${us} Ping`)) side.session.ping()
      }
      expect(side.session.isClosed).toBe(false)
      const all = [...readers, ...side.readers]
      expect(all.map((reader) => reader.text)).toEqual(us === 'client' ? ['worldlate', ''] : ['hello', 'x'])
      expect(all.map((reader) => reader.events)).toEqual([['end', 'close'], []])
      expect(side.pongs).toEqual([0])
    }
  })

  it('the window update: at half a window, of what was consumed', () => {
    const side = new Side({ maxWindow: 262_144 })
    const { reader } = side.accept(1)
    side.feed(data(1, new Uint8Array(131_071)))
    expect(side.link.takeHex()).toBe('')
    side.feed(data(1, new Uint8Array(1)))
    expect(side.link.takeHex()).toBe(hex(update(0, 1, 131_072)))
    expect(reader.bytes.length).toBe(131_072)
  })
})

describe('two sessions over a pair', () => {
  it('open, carry bytes both ways, half-close, reset', () => {
    const [a, b] = pair()
    const accepted: YamuxStream[] = []
    const nowMs = () => 0
    const client = new Session(a, { role: 'client', nowMs })
    const server = new Session(b, { role: 'server', nowMs, onStream: (stream) => accepted.push(stream) })
    client.start()
    server.start()
    const near = client.open()
    const nearReader = Reader.of(near)
    expect(near.write(new Uint8Array(3_000_000))).toBe(false)
    const [far] = accepted
    if (far === undefined) throw new Error('not accepted')
    const farReader = Reader.of(far)
    expect(farReader.bytes.length).toBe(3_000_000)
    expect(nearReader.events).toEqual(['drain'])
    near.end()
    far.write(new Uint8Array([9]))
    far.end()
    expect(farReader.events).toEqual(['end', 'close'])
    expect(nearReader.events).toEqual(['drain', 'end', 'close'])
    expect([client.streamCount, server.streamCount]).toEqual([0, 0])
    const reset = Reader.of(client.open())
    accepted[1]?.destroy()
    expect(reset.events).toEqual(['close STREAM_RESET'])
    const last = Reader.of(client.open())
    server.close()
    expect(last.events).toEqual(['close SESSION_ENDED'])
  })
})
