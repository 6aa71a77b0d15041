import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { completeFrps } from '../../../config/load.ts'
import { nodeRuntime } from '../../../node/runtime.ts'
import type { Login, NewProxy } from '../../../protocol/frp/messages.ts'
import { privilegeKey } from '../../../protocol/frp/token.ts'
import { Accounts } from '../../../relay/accounts.ts'
import { type Principal, TokenVerifier } from '../../../relay/auth.ts'

const runtime = nodeRuntime()
const ANNA: Principal = { identity: 'user:anna', user: 'anna' }

function accountsWith(user: object, more: object = {}, before?: Accounts): Accounts {
  const { edgefrp, ...rest } = { edgefrp: {}, ...more }
  const users = [{ name: 'anna', token: 'hers', ...user }]
  const { options } = completeFrps({ auth: { token: 'ours' }, ...rest, edgefrp: { ...edgefrp, users } })
  return new Accounts(options, runtime, new TokenVerifier(options, runtime), before)
}

function login(user: string, token: string, timestamp = Math.floor(Date.now() / 1000)): Login {
  const key = privilegeKey(runtime.crypto, token, timestamp)
  return { user, privilege_key: key, timestamp } as Login // the fields that are looked at
}

function proxy(name: string, more: object = {}): NewProxy {
  const empty = { proxy_type: 'tcp', remote_port: 0, custom_domains: [], subdomain: '' }
  return { ...empty, proxy_name: name, ...more } as unknown as NewProxy // the fields that are looked at
}

describe('Accounts', () => {
  it('tell a user from everybody else by name and token together', () => {
    const accounts = accountsWith({})
    expect(accounts.verifyLogin(login('anna', 'hers'))).toEqual(ANNA)
    expect(accounts.verifyLogin(login('bob', 'ours'))).toEqual({ identity: 'token', user: 'bob' })
    expect(accounts.verifyLogin(login('', 'ours'))).toEqual({ identity: 'token', user: '' })
    for (const wrong of [login('anna', 'ours'), login('', 'hers'), login('bob', 'hers'), login('Anna', 'hers')]) {
      expect(() => accounts.verifyLogin(wrong)).toThrow(/token in login doesn't match token/)
    }
  })

  it('hold the clock of a user against the same bound', () => {
    const accounts = accountsWith({}, { edgefrp: { auth: { maxClockSkew: 900 } } })
    const now = Math.floor(Date.now() / 1000)
    expect(accounts.verifyLogin(login('anna', 'hers', now - 60))).toEqual(ANNA)
    expect(() => accounts.verifyLogin(login('anna', 'hers', now - 1000))).toThrow('edgefrp.auth.maxClockSkew')
  })

  it('give each the key of its own token', () => {
    const accounts = accountsWith({})
    const ours = accounts.keyOf({ identity: 'token', user: '' })
    expect(accounts.keyOf({ identity: 'token', user: 'anna' })).toEqual(ours)
    expect(accounts.keyOf(ANNA)).not.toEqual(ours)
  })

  it('match patterns as a regular expression would, where * is any characters', () => {
    const part = fc.string({ maxLength: 4, unit: fc.constantFrom('a', 'b', '*', '.', '-') })
    fc.assert(
      fc.property(part, part, (pattern, name) => {
        if (pattern === '' || name === '') return
        const escaped = pattern.replace(/[.-]/g, '\\$&').replaceAll('*', '.*')
        const isAllowed = new RegExp(`^${escaped}$`).test(name)
        const admit = () => accountsWith({ allowProxies: [pattern] }).admit(proxy(`anna.${name}`), ANNA)
        if (isAllowed) expect(admit).not.toThrow()
        else expect(admit).toThrow('is not allowed for user [anna]')
      }),
      { numRuns: 300 },
    )
  })

  it('check a subdomain as the host that it becomes', () => {
    const accounts = accountsWith({ allowDomains: ['anna-*.example.com'] }, { subDomainHost: 'example.com' })
    const sub = (subdomain: string) => proxy('anna.web', { proxy_type: 'http', subdomain })
    expect(() => accounts.admit(sub('anna-1'), ANNA)).not.toThrow()
    expect(() => accounts.admit(sub('bob'), ANNA)).toThrow('domain [bob.example.com] is not allowed')
  })

  it('go on counting, and with the same bandwidth, over a reload', () => {
    const before = accountsWith({ maxProxies: 1, bandwidthLimit: '1MB' })
    const { bucket } = before.admit(proxy('anna.a'), ANNA)
    before.count(ANNA, 1)
    const after = accountsWith({ maxProxies: 1, bandwidthLimit: '1MB' }, {}, before)
    expect(() => after.admit(proxy('anna.b'), ANNA)).toThrow('user [anna] has 1 proxies already')
    after.count(ANNA, -1)
    expect(after.admit(proxy('anna.b'), ANNA).bucket).toBe(bucket)
    expect(accountsWith({ bandwidthLimit: '2MB' }, {}, after).admit(proxy('anna.b'), ANNA).bucket).not.toBe(bucket)
  })

  it('refuse new proxies to the session of a user that a reload took away', () => {
    const { options } = completeFrps({ auth: { token: 'ours' } })
    const none = new Accounts(options, runtime, new TokenVerifier(options, runtime), accountsWith({}))
    expect(() => none.admit(proxy('anna.a'), ANNA)).toThrow('user [anna] is not known any more')
  })
})
