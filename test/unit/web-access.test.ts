import { describe, expect, it } from 'vitest'
import { isLoopbackAddress, WebAccess, type WebRequest } from '../../contract/web-access.ts'
import { nodeRuntime } from '../../node/runtime.ts'

const { crypto } = nodeRuntime()

function request(change: Partial<WebRequest> = {}): WebRequest {
  return {
    method: 'GET',
    host: '127.0.0.1:7500',
    origin: undefined,
    fetchSite: undefined,
    authorization: undefined,
    isChange: false,
    isSecret: false,
    address: '127.0.0.1',
    ...change,
  }
}

/** An access with a clock of its own. */
function access(options: { user?: string; password?: string; isLoopback?: boolean } = {}) {
  let now = 0
  const { user = '', password = '', isLoopback = true } = options
  const runtime = { crypto, monotonicMs: () => now }
  return {
    access: new WebAccess({ runtime, user, password, isLoopback }),
    pass: (ms: number) => {
      now += ms
    },
  }
}

function basic(text: string): Partial<WebRequest> {
  return { authorization: `Basic ${Buffer.from(text).toString('base64')}` }
}

const CHANGE = { method: 'POST', isChange: true }

describe('a web server with a password', () => {
  const withPassword = () => access({ user: 'admin', password: 'pässword', isLoopback: false })

  it('lets in whoever has user and password, by any name of the host', () => {
    const { access: door } = withPassword()
    expect(door.check(request({ ...basic('admin:pässword'), host: 'relay.example.com' }))).toBeUndefined()
    expect(door.check(request({ ...basic('admin:pässword'), ...CHANGE }))).toBeUndefined()
  })

  it.each([
    ['nothing', {}],
    ['another password', basic('admin:password')],
    ['another user', basic('root:pässword')],
    ['a start', basic('admin:p')],
    ['no colon', basic('admin')],
    ['no base64', { authorization: 'Basic ****' }],
    ['another scheme', { authorization: 'Bearer abc' }],
  ])('answers 401 to %s', (_, change) => {
    const refusal = withPassword().access.check(request(change))
    expect(refusal?.status).toBe(401)
    expect(refusal?.headers['WWW-Authenticate']).toBe('Basic realm="Restricted"')
  })

  it('reads no more than one guess a second after twenty, and forgets nobody else for it', () => {
    const { access: door, pass } = withPassword()
    const guess = (address: string) => door.check(request({ ...basic('admin:x'), address }))?.status
    const answers = Array.from({ length: 1000 }, () => guess('203.0.113.9'))
    expect(answers.filter((status) => status === 401)).toHaveLength(20)
    expect(answers.at(-1)).toBe(429)
    expect(door.check(request({ ...basic('admin:pässword'), address: '203.0.113.9' }))?.status).toBe(429)
    expect(door.check(request({ ...basic('admin:pässword'), address: '203.0.113.10' }))).toBeUndefined()
    pass(1000)
    expect(guess('203.0.113.9')).toBe(401)
    expect(guess('203.0.113.9')).toBe(429)
  })
})

describe('a web server without a password', () => {
  it('lets anyone on this machine do anything', () => {
    expect(access().access.check(request({ ...CHANGE, isSecret: true }))).toBeUndefined()
  })

  it('lets others only read what is no secret', () => {
    const { access: door } = access({ isLoopback: false })
    expect(door.check(request({ host: '192.0.2.1:7500' }))).toBeUndefined()
    expect(door.check(request({ host: '192.0.2.1:7500', ...CHANGE }))?.status).toBe(403)
    expect(door.check(request({ host: '192.0.2.1:7500', isSecret: true }))?.status).toBe(403)
  })

  it.each([
    'localhost',
    'LocalHost:7500',
    'frps.localhost:7500',
    'localhost.:7500',
    '127.0.0.1',
    '192.0.2.1:80',
    '[::1]:7500',
    '[2001:db8::1]',
  ])('is found as %s', (host) => expect(access().access.check(request({ host }))).toBeUndefined())

  it.each([
    '',
    'example.com',
    'rebind.example.com:7500',
    'localhost.example.com',
    'notlocalhost',
    'localhost:7500@example.com',
    '127.0.0.1.example.com:7500',
    '127.0.0.1:7500:7500',
    '::1',
    '[::1',
    '1.2.3',
    '0x7f.0.0.1',
    'localhost:port',
    'local host',
    '127.0.0.1,example.com',
  ])('is not found as %j', (host) => expect(access().access.check(request({ host }))?.status).toBe(403))
})

describe('a page of another site', () => {
  const asked = (change: Partial<WebRequest>) => access().access.check(request({ ...CHANGE, ...change }))?.status

  it.each(['cross-site', 'same-site', 'anything'])('changes nothing as %s', (fetchSite) => {
    expect(asked({ fetchSite })).toBe(403)
    const door = access({ user: 'a', password: 'b' }).access
    expect(door.check(request({ ...CHANGE, ...basic('a:b'), fetchSite }))?.status).toBe(403)
  })

  it('changes nothing from an origin that is not the host', () => {
    expect(asked({ origin: 'http://127.0.0.1:8080' })).toBe(403)
    expect(asked({ origin: 'null' })).toBe(403)
    expect(asked({ origin: 'http://127.0.0.1:7500' })).toBeUndefined()
  })

  it('is not what a person or a program without a page is', () => {
    for (const fetchSite of ['same-origin', 'none', undefined]) expect(asked({ fetchSite })).toBeUndefined()
  })
})

it('knows which addresses only this machine reaches', () => {
  expect(['127.0.0.1', '127.9.9.9', '::1', 'localhost'].map(isLoopbackAddress)).toEqual([true, true, true, true])
  expect(['0.0.0.0', '::', '', '10.0.0.1', '127.0.0.1.example.com'].map(isLoopbackAddress)).not.toContain(true)
})
