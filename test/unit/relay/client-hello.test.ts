import { createServer, type Socket } from 'node:net'
import { connect } from 'node:tls'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../../../contract/errors.ts'
import { type ClientHello, ClientHelloReader, MAX_HELLO_BYTES } from '../../../relay/client-hello.ts'

/** A number in `size` bytes, and something in front of which its length stands. */
function number(value: number, size: number): number[] {
  return Array.from({ length: size }, (_, index) => (value >> (8 * (size - 1 - index))) & 255)
}

function counted(bytes: readonly number[], size: number): number[] {
  return [...number(bytes.length, size), ...bytes]
}

function ascii(text: string): number[] {
  return [...new TextEncoder().encode(text)]
}

interface HelloParts {
  name?: string
  /** Extensions before the name. */
  before?: number[]
  sessionId?: number[]
}

/** The handshake message of a hello (RFC 8446 4.1.2). */
function message({ name, before = [], sessionId = [] }: HelloParts): number[] {
  const names = name === undefined ? [] : counted([0, ...counted(ascii(name), 2)], 2)
  const extensions = [...before, ...(name === undefined ? [] : [0, 0, ...counted(names, 2)])]
  const body = [3, 3, ...new Array<number>(32).fill(7), ...counted(sessionId, 1), ...counted([19, 1], 2), 1, 0]
  return [1, ...counted([...body, ...counted(extensions, 2)], 3)]
}

/** `bytes` in records of `size`. */
function records(bytes: readonly number[], size = bytes.length): number[] {
  const out: number[] = []
  for (let at = 0; at < bytes.length; at += size) out.push(22, 3, 1, ...counted(bytes.slice(at, at + size), 2))
  return out
}

function hello(parts: HelloParts, recordBytes?: number): Uint8Array {
  return Uint8Array.from(records(message(parts), recordBytes))
}

/** Reads `bytes` in pieces; undefined: they are not enough. */
function read(bytes: Uint8Array, pieces: readonly number[] = [bytes.length]): ClientHello | undefined {
  const reader = new ClientHelloReader()
  let turn = 0
  for (let at = 0; at < bytes.length; ) {
    const size = pieces[turn++ % pieces.length] ?? 1
    const found = reader.feed(bytes.slice(at, at + size))
    at += size
    if (found === undefined) continue
    expect([...reader.bytes]).toEqual([...bytes.subarray(0, at)])
    return found
  }
  return undefined
}

function failure(bytes: Uint8Array): unknown {
  try {
    return read(bytes)
  } catch (error) {
    return codeOf(error)
  }
}

/** The first bytes that Node's TLS client sends. */
async function helloOfNode(servername: string): Promise<Uint8Array> {
  const sockets: Socket[] = []
  const bytes = new Promise<Uint8Array>((resolve) => {
    const server = createServer((socket) => {
      sockets.push(socket)
      socket.on('error', () => undefined)
      socket.once('data', (chunk) => {
        resolve(new Uint8Array(chunk))
        socket.destroy()
        server.close()
      })
    })
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      const client = connect({ port, host: '127.0.0.1', servername })
      client.on('error', () => undefined)
    })
  })
  return await bytes
}

describe('ClientHelloReader', () => {
  it('reads the name in a hello of a real client', async () => {
    expect(read(await helloOfNode('shop.example.com'))).toEqual({ serverName: 'shop.example.com' })
  })

  it('reads the name behind other extensions and a session id', () => {
    const before = [0, 10, ...counted([1, 2, 3], 2), 255, 1, ...counted([], 2)]
    const bytes = hello({ name: 'a.example.com', before, sessionId: new Array<number>(32).fill(1) })
    expect(read(bytes)).toEqual({ serverName: 'a.example.com' })
  })

  it('takes a hello without a name, and one without extensions', () => {
    expect(read(hello({}))).toEqual({ serverName: undefined })
    const bare = [1, ...counted([3, 3, ...new Array<number>(32).fill(0), 0, ...counted([19, 1], 2), 1, 0], 3)]
    expect(read(Uint8Array.from(records(bare)))).toEqual({ serverName: undefined })
  })

  it('does not mind where it is cut', () => {
    const bytes = hello({ name: 'a.example.com' })
    for (let cut = 1; cut < bytes.length; cut++) {
      expect(read(bytes.subarray(0, cut)), `first ${cut} bytes`).toBeUndefined()
      expect(read(bytes, [cut, bytes.length])).toEqual({ serverName: 'a.example.com' })
    }
    expect(read(bytes, [1])).toEqual({ serverName: 'a.example.com' })
  })

  it('does not mind how many records there are', () => {
    for (let size = 1; size < 40; size++) {
      expect(read(hello({ name: 'a.example.com' }, size), [7])).toEqual({ serverName: 'a.example.com' })
    }
  })

  it('gives back what came behind the hello', () => {
    const bytes = Uint8Array.from([...hello({ name: 'a.example.com' }), 1, 2, 3, ...new Array<number>(40_000).fill(9)])
    expect(read(bytes)).toEqual({ serverName: 'a.example.com' })
  })

  it.each([
    ['another protocol', Uint8Array.from(ascii('GET / HTTP/1.1\r\n'))],
    ['an alert', Uint8Array.of(21, 3, 1, 0, 2, 1, 0)],
    ['SSL 2', Uint8Array.of(0x80, 46, 1, 3, 1)],
    ['another handshake message', Uint8Array.from(records([2, 0, 0, 1, 0]))],
    ['an empty record', Uint8Array.of(22, 3, 1, 0, 0)],
    ['a record above 16 KiB', Uint8Array.of(22, 3, 1, 0x40, 1)],
    ['a hello above the bound', Uint8Array.from(records([1, 1, 0, 0]))],
    [
      'a session id that is longer than the message',
      Uint8Array.from(records([1, ...counted([3, 3, ...new Array<number>(32).fill(0), 9], 3)])),
    ],
  ])('refuses %s', (_what, bytes) => {
    expect(failure(bytes)).toBe('TLS_FAILED')
  })

  it('gives up after 16 KiB', () => {
    const endless = Uint8Array.from(records([1, 0, 0x3f, 0xf0, ...new Array<number>(16_000).fill(0)], 1_000))
    expect(endless.length).toBeLessThan(MAX_HELLO_BYTES)
    expect(read(endless)).toBeUndefined()
    expect(failure(Uint8Array.from([...endless, ...records(new Array<number>(1_000).fill(0))]))).toBe('TLS_FAILED')
  })

  it('answers, waits or refuses, whatever comes', () => {
    const valid = [...hello({ name: 'a.example.com' })]
    const flipped = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 4 }).map((flips) => {
      const bytes = Uint8Array.from(valid)
      for (const [at, value] of flips) bytes[at] = value
      return bytes
    })
    const any = fc.uint8Array({ maxLength: 600, size: 'max' })
    const pieces = fc.array(fc.integer({ min: 1, max: 80 }), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(fc.oneof(any, flipped), pieces, (bytes, sizes) => {
        try {
          read(bytes, sizes)
        } catch (error) {
          if (codeOf(error) !== 'TLS_FAILED') throw error
        }
      }),
      { numRuns: 3_000 },
    )
  })
})
