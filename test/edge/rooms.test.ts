import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadFrps } from '../../config/load.ts'
import { codeOf, FrpError } from '../../contract/errors.ts'
import { decodeV1, encodeV1 } from '../../protocol/frp/v1.ts'
import { parseRequestHead } from '../../protocol/http1/head.ts'
import { pair } from '../../protocol/stream/pair.ts'
import { Session } from '../../protocol/yamux/session.ts'
import type { YamuxStream } from '../../protocol/yamux/stream.ts'
import { MemoryDirectory } from '../../relay/directory.ts'

/** Every file of the rooms that know no runtime, loaded into workerd. */
const modules = import.meta.glob('../../{contract,protocol,config,relay}/**/*.ts', { eager: true })
/** What one runtime has and another has not, or what these rooms must ask `Runtime` for. */
const DENIED = ['Buffer', 'process', 'global', 'setTimeout', 'setInterval', 'setImmediate', 'fetch', 'WebSocket']
const originals = new Map<string, PropertyDescriptor | undefined>()
const bytes = (text: string) => new TextEncoder().encode(text)
const text = (chunks: Uint8Array[]) => chunks.map((chunk) => new TextDecoder().decode(chunk)).join('')

describe('in workerd', () => {
  it('every file of the neutral rooms loads', () => {
    expect(navigator.userAgent).toBe('Cloudflare-Workers')
    expect(Object.keys(modules).length).toBeGreaterThanOrEqual(30)
  })
})

describe('without the globals of any runtime', () => {
  let isFenced = false
  beforeEach(() => {
    for (const name of DENIED) {
      const original = Object.getOwnPropertyDescriptor(globalThis, name)
      originals.set(name, original)
      const get = () => {
        // The test runner itself goes on using them between our own steps.
        if (isFenced) throw new Error(`${name} was used`)
        return original?.get === undefined ? original?.value : original.get.call(globalThis)
      }
      Object.defineProperty(globalThis, name, { configurable: true, get })
    }
  })
  afterEach(() => {
    for (const [name, original] of originals) {
      if (original === undefined) Reflect.deleteProperty(globalThis, name)
      else Object.defineProperty(globalThis, name, original)
    }
  })
  /** Runs `use` while the denied globals throw. */
  const fenced = <T>(use: () => T): T => {
    isFenced = true
    try {
      return use()
    } finally {
      isFenced = false
    }
  }

  it('the fence itself holds', () => {
    expect(() => fenced(() => setTimeout(() => undefined, 0))).toThrow('setTimeout was used')
  })

  it('contract: an error has its code', () => {
    expect(fenced(() => codeOf(new FrpError('LIMIT', 'too many')))).toBe('LIMIT')
  })

  it('protocol/frp: a message is written and read', () => {
    const message = fenced(() => decodeV1(encodeV1({ type: 'NewWorkConn', run_id: 'r1', timestamp: 5 })))
    expect(message).toMatchObject({ type: 'NewWorkConn', run_id: 'r1', timestamp: 5 })
  })

  it('protocol/http1: a head is read', () => {
    const head = fenced(() => parseRequestHead(bytes('GET /a?b HTTP/1.1\r\nHost: web.example.com\r\n\r\n')))
    expect(head).toMatchObject({ method: 'GET', path: '/a?b', authority: 'web.example.com' })
  })

  it('protocol/yamux: a stream carries bytes and its end over a pair of links', () => {
    const got: Uint8Array[] = []
    let hasEnded = false
    const receive = (stream: YamuxStream) =>
      stream.attach({
        onData: (chunk) => got.push(chunk.slice()) > 0,
        onEnd: () => {
          hasEnded = true
        },
        onDrain: () => undefined,
        onClose: () => undefined,
      })
    fenced(() => {
      const [ours, theirs] = pair()
      const client = new Session(ours, { role: 'client', nowMs: () => 0 })
      const server = new Session(theirs, { role: 'server', nowMs: () => 0, onStream: receive })
      client.start()
      server.start()
      const stream = client.open()
      stream.write(bytes('hello'))
      stream.end()
    })
    expect([text(got), hasEnded]).toEqual(['hello', true])
  })

  it('config: a file of frps is read', () => {
    const loaded = fenced(() => loadFrps({ text: 'bindPort = 7001', fileName: 'frps.toml', envs: {} }))
    expect(loaded.options.bindPort).toBe(7001)
  })

  it('relay: a key has one owner', async () => {
    const directory = new MemoryDirectory<string>()
    await fenced(() => directory.claim(['proxy:web'], 'a'))
    expect(await fenced(() => directory.claim(['proxy:web'], 'b'))).toMatchObject({ isClaimed: false, owner: 'a' })
  })
})
