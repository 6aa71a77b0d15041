import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { nodeCrypto } from '../../node/crypto.ts'
import { socketStream } from '../../node/socket.ts'
import { deriveKey } from '../../protocol/frp/cipher.ts'
import type { NewVisitorConn, NewVisitorConnResp, StartWorkConn } from '../../protocol/frp/messages.ts'
import { privilegeKey } from '../../protocol/frp/token.ts'
import { wrap } from '../../protocol/frp/wrap.ts'
import { type ByteStream, READ_ONLY } from '../../protocol/stream/byte-stream.ts'
import { prefixed } from '../../protocol/stream/prefixed.ts'
import { Session } from '../../protocol/yamux/session.ts'
import { type HostileClient, logIn, WorkConn } from '../faults/hostile-client.ts'
import { hostRelay, TOKEN } from '../faults/hostile-relay.ts'
import { CleanUp } from './client-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const KEY = 'secret-key'
const TIME = 7

type Asked = Partial<NewVisitorConn> & { proxy_name: string }

/** Asks for a visit as stock frpc does, and waits for the answer. */
async function visit(visitor: HostileClient, asked: Asked): Promise<{ answer: NewVisitorConnResp; work: WorkConn }> {
  const work = new WorkConn(visitor.session.open(), {
    type: 'NewVisitorConn',
    run_id: visitor.answer.run_id,
    sign_key: privilegeKey(nodeCrypto, KEY, TIME),
    timestamp: TIME,
    ...asked,
  })
  await work.until(() => work.messages.length > 0 || work.isClosed)
  const [answer] = work.messages
  if (answer?.type !== 'NewVisitorConnResp') throw new Error('no answer to the visit')
  return { answer, work }
}

async function errorOf(visitor: HostileClient, asked: Asked): Promise<string> {
  return (await visit(visitor, asked)).answer.error
}

/** The bytes behind the first message, unwrapped. */
function payload(work: WorkConn, secret: string, flags: { encrypted: boolean; compressed: boolean }): ByteStream {
  const { stream, head } = work.channel.detach()
  const key = flags.encrypted ? { key: deriveKey(nodeCrypto, secret) } : {}
  return wrap(prefixed(stream, head), { ...key, compression: flags.compressed }, nodeCrypto)
}

/** Reads until `count` bytes came. */
function read(stream: ByteStream, count: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    stream.attach({
      onData(chunk) {
        parts.push(Buffer.from(chunk))
        const all = Buffer.concat(parts)
        if (all.length >= count) resolve(all)
        return true
      },
      onEnd: () => reject(new Error('ended')),
      onDrain: () => undefined,
      onClose: () => reject(new Error('closed')),
    })
    stream.resume()
  })
}

/** An owner whose service sends everything back, and says who came. */
async function owner(port: number, proxy: Record<string, unknown>, user = ''): Promise<StartWorkConn[]> {
  const client = await logIn(cleanUp, port, { user })
  const starts: StartWorkConn[] = []
  client.serve((work) => {
    const [start] = work.messages
    if (start?.type === 'StartWorkConn') starts.push(start)
    const encrypted = proxy['use_encryption'] === true
    const stream = payload(work, TOKEN, { encrypted, compressed: proxy['use_compression'] === true })
    stream.attach({
      onData(chunk) {
        stream.write(chunk.slice())
        return true
      },
      onEnd: () => stream.end(),
      onDrain: () => undefined,
      onClose: () => undefined,
    })
  })
  expect(await client.register({ proxy_type: 'stcp', sk: KEY, ...proxy })).toMatchObject({ error: '', remote_addr: '' })
  return starts
}

describe('a stcp or sudp proxy', () => {
  const cases = ['stcp', 'sudp'].flatMap((type) =>
    [0, 1, 2, 3].flatMap((own) => [0, 1, 2, 3].map((visitors) => ({ type, own, visitors }))),
  )

  it.each(cases)('carries bytes: $type, its leg $own, the visitor leg $visitors', async ({ type, own, visitors }) => {
    const relay = await hostRelay(cleanUp)
    const starts = await owner(relay.port, {
      proxy_name: 's',
      proxy_type: type,
      use_encryption: (own & 1) !== 0,
      use_compression: (own & 2) !== 0,
    })
    const visitor = await logIn(cleanUp, relay.port)
    const use = { use_encryption: (visitors & 1) !== 0, use_compression: (visitors & 2) !== 0 }
    const { answer, work } = await visit(visitor, { proxy_name: 's', ...use })
    expect(answer).toMatchObject({ proxy_name: 's', error: '' })
    const stream = payload(work, KEY, { encrypted: use.use_encryption, compressed: use.use_compression })
    stream.write(new TextEncoder().encode('hello through the relay'), READ_ONLY)
    expect((await read(stream, 23)).toString()).toBe('hello through the relay')
    expect(starts).toMatchObject([
      { proxy_name: 's', src_addr: '127.0.0.1', src_port: visitor.socket.localPort, dst_addr: '127.0.0.1' },
    ])
    expect(starts[0]?.dst_port).toBe(relay.port)
  })

  it('has a name that nobody else can have, and no port', async () => {
    const relay = await hostRelay(cleanUp, {}, { maxPortsPerClient: 1 })
    await owner(relay.port, { proxy_name: 's' })
    const other = await logIn(cleanUp, relay.port)
    expect(await other.register({ proxy_name: 's', proxy_type: 'sudp' })).toMatchObject({
      error: 'proxy [s] already exists',
    })
    for (const name of ['a', 'b']) {
      expect(await other.register({ proxy_name: name, proxy_type: 'stcp' })).toMatchObject({ error: '' })
    }
  })
})

describe('who may visit', () => {
  it.each([
    ['the same user', 'alice', undefined, 'alice', true],
    ['another user', 'alice', undefined, 'bob', false],
    ['nobody in particular, of nobody', '', undefined, '', true],
    ['nobody in particular, of somebody', 'alice', undefined, '', false],
    ['one of a list', 'alice', ['bob', 'carol'], 'carol', true],
    ['the owner, who is not on the list', 'alice', ['bob'], 'alice', false],
    ['anybody', 'alice', ['*'], 'dave', true],
  ])('%s', async (_who, ownerUser, allowUsers, visitorUser, mayEnter) => {
    const relay = await hostRelay(cleanUp)
    await owner(relay.port, { proxy_name: 's', ...(allowUsers && { allow_users: allowUsers }) }, ownerUser)
    const visitor = await logIn(cleanUp, relay.port, { user: visitorUser })
    const refusal = `visitor connection of [s] user [${visitorUser}] not allowed`
    expect(await errorOf(visitor, { proxy_name: 's' })).toBe(mayEnter ? '' : refusal)
  })

  it('a client before 0.50, which names no run, counts as a user without name', async () => {
    const relay = await hostRelay(cleanUp)
    await owner(relay.port, { proxy_name: 's' })
    await owner(relay.port, { proxy_name: 'a' }, 'alice')
    const visitor = await logIn(cleanUp, relay.port, { user: 'alice' })
    expect(await errorOf(visitor, { proxy_name: 's', run_id: '' })).toBe('')
    expect(await errorOf(visitor, { proxy_name: 'a', run_id: '' })).toContain('user [] not allowed')
  })

  it('nobody under the run id of somebody else', async () => {
    const relay = await hostRelay(cleanUp)
    await owner(relay.port, { proxy_name: 's' })
    const [one, two] = [await logIn(cleanUp, relay.port), await logIn(cleanUp, relay.port)]
    expect(await errorOf(one, { proxy_name: 's', run_id: two.answer.run_id })).toContain('no client control found')
    expect(await errorOf(one, { proxy_name: 's', run_id: 'made up' })).toContain('no client control found')
  })

  it('nobody without the key; a client that is logged in is told more', async () => {
    const relay = await hostRelay(cleanUp)
    await owner(relay.port, { proxy_name: 's' })
    const visitor = await logIn(cleanUp, relay.port)
    const wrong = privilegeKey(nodeCrypto, 'guess', TIME)
    expect(await errorOf(visitor, { proxy_name: 's', sign_key: wrong })).toBe('visitor connection of [s] auth failed')
    expect(await errorOf(visitor, { proxy_name: 's', timestamp: TIME + 1 })).toContain('auth failed')
    expect(await errorOf(visitor, { proxy_name: 'x' })).toBe("custom listener for [x] doesn't exist")
  })

  it('tells a summary when details are off', async () => {
    const relay = await hostRelay(cleanUp, {}, { detailedErrorsToClient: false })
    const visitor = await logIn(cleanUp, relay.port)
    expect(await errorOf(visitor, { proxy_name: 'x' })).toBe('register visitor conn error')
  })
})

/** A visit without any login. */
async function strangerVisit(port: number, asked: Asked): Promise<{ answer: string; closed: boolean }> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => undefined)
  cleanUp.add(() => void socket.destroy())
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()))
  const session = new Session(socketStream(socket), { role: 'client', nowMs: () => performance.now() })
  session.start()
  const work = new WorkConn(session.open(), { type: 'NewVisitorConn', timestamp: TIME, ...asked })
  await work.until(() => work.messages.length > 0 || work.isClosed)
  const [answer] = work.messages
  socket.destroy()
  return { answer: answer?.type === 'NewVisitorConnResp' ? answer.error : '', closed: answer === undefined }
}

describe('a stranger', () => {
  it('gets in with the key alone, and cannot tell an unknown name from a wrong key', async () => {
    const relay = await hostRelay(cleanUp)
    await owner(relay.port, { proxy_name: 's' })
    const sign_key = privilegeKey(nodeCrypto, KEY, TIME)
    expect(await strangerVisit(relay.port, { proxy_name: 's', sign_key })).toEqual({ answer: '', closed: false })
    const wrong = await strangerVisit(relay.port, { proxy_name: 's', sign_key: 'x'.repeat(32) })
    const unknown = await strangerVisit(relay.port, { proxy_name: 'n', sign_key })
    expect([wrong.answer, unknown.answer]).toEqual([
      'visitor connection of [s] auth failed',
      'visitor connection of [n] auth failed',
    ])
  })

  it('is closed without an answer after too many wrong keys, like a failed login', async () => {
    const relay = await hostRelay(cleanUp, { failedLoginsBurst: 3 })
    const tries = []
    for (let i = 0; i < 4; i++) tries.push(await strangerVisit(relay.port, { proxy_name: 'n', sign_key: 'x' }))
    expect(tries.map(({ closed }) => closed)).toEqual([false, false, false, true])
  })
})

describe('guessing', () => {
  it('is slow for one address and proxy, even for the right guess, and other proxies stay open', async () => {
    const relay = await hostRelay(cleanUp)
    await owner(relay.port, { proxy_name: 's' })
    await owner(relay.port, { proxy_name: 'other' })
    const visitor = await logIn(cleanUp, relay.port)
    for (let i = 0; i < 40; i++) {
      const guess = privilegeKey(nodeCrypto, `guess ${i}`, TIME)
      expect(await errorOf(visitor, { proxy_name: 's', sign_key: guess })).toContain('auth failed')
    }
    expect(await errorOf(visitor, { proxy_name: 's' })).toContain('auth failed')
    expect(await errorOf(visitor, { proxy_name: 'other' })).toBe('')
    relay.clock.advance(10_000)
    expect(await errorOf(visitor, { proxy_name: 's' })).toBe('')
    // Its own session was never at stake.
    expect(visitor.session.isClosed).toBe(false)
  })
})
