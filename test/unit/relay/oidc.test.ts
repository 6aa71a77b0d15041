import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import { completeFrps } from '../../../config/load.ts'
import { messageOf } from '../../../contract/errors.ts'
import type { Runtime } from '../../../contract/runtime.ts'
import { nodeRuntime } from '../../../node/runtime.ts'
import type { Login, NewWorkConn, Ping } from '../../../protocol/frp/messages.ts'
import { OidcVerifier } from '../../../relay/oidc.ts'

const ISSUER = 'https://issuer.test/realm'
/** Any instant: the relay's clock is lent. */
const NOW_S = 1_900_000_000
const MESSAGE = { timestamp: 0 }

type Keys = Awaited<ReturnType<typeof generateKeyPair>>
let keys: Keys
let others: Keys
/** The issuer's key set. */
let published: object
beforeAll(async () => {
  keys = await generateKeyPair('RS256')
  others = await generateKeyPair('RS256')
  published = { keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'k', alg: 'RS256', use: 'sig' }] }
})

interface Claims {
  iss?: string
  sub?: string
  aud?: string | string[]
  exp?: number | undefined
  nbf?: number
}

/** A token of the issuer, but for what `claims` say otherwise; `kid` names its key. */
function token(claims: Claims = {}, key = keys.privateKey, kid: string | undefined = 'k'): Promise<string> {
  const all = Object.entries({ iss: ISSUER, sub: 'home', aud: 'frps', exp: NOW_S + 60, ...claims })
  const given = Object.fromEntries(all.filter(([, value]) => value !== undefined))
  return new SignJWT(given).setProtectedHeader({ alg: 'RS256', ...(kid === '' ? {} : { kid }) }).sign(key)
}

/** A verifier whose issuer answers with `pages`, by path. */
function verifier(oidc: object = {}, scopes: string[] = [], pages: Record<string, () => Response> = {}) {
  const asked: string[] = []
  let nowMs = 0
  const { options } = completeFrps({
    auth: { method: 'oidc', additionalScopes: scopes, oidc: { issuer: ISSUER, audience: 'frps', ...oidc } },
  })
  const runtime: Runtime = { ...nodeRuntime(), nowMs: () => NOW_S * 1000, monotonicMs: () => nowMs }
  const all: Record<string, () => Response> = {
    '/realm/.well-known/openid-configuration': () => Response.json({ issuer: ISSUER, jwks_uri: `${ISSUER}/keys` }),
    '/realm/keys': () => Response.json(published),
    ...pages,
  }
  const checks = new OidcVerifier(options, runtime, async (url) => {
    const { pathname } = new URL(url)
    asked.push(pathname)
    return all[pathname]?.() ?? new Response('', { status: 404 })
  })
  const pass = (ms: number) => {
    nowMs += ms
  }
  return { checks, asked, pass }
}

// The other fields are not looked at.
const loginWith = (privilegeKey: string) => ({ user: 'u', privilege_key: privilegeKey }) as Login
const pingWith = (privilegeKey: string) => ({ type: 'Ping', privilege_key: privilegeKey, ...MESSAGE }) as Ping
const workConnWith = (privilegeKey: string) => ({ privilege_key: privilegeKey, ...MESSAGE }) as NewWorkConn

/** What the verifier has against a token; undefined: nothing. */
async function wrongWith(text: string, oidc: object = {}): Promise<string | undefined> {
  try {
    await verifier(oidc).checks.verifyLogin(loginWith(text))
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}

describe('a login with a token of an issuer', () => {
  it('is let in as the subject, and the issuer is asked once for all', async () => {
    const { checks, asked } = verifier()
    expect(await checks.verifyLogin(loginWith(await token()))).toEqual({ identity: `oidc ${ISSUER} home`, user: 'u' })
    await checks.verifyLogin(loginWith(await token({ sub: 'office', aud: ['other', 'frps'] })))
    expect(asked).toEqual(['/realm/.well-known/openid-configuration', '/realm/keys'])
  })

  it('is refused for each claim that is not as it must be', async () => {
    expect(await wrongWith(await token({ aud: 'other' }))).toMatch(/^invalid OIDC token in login: .*"aud"/)
    expect(await wrongWith(await token({ iss: 'https://other.test' }))).toContain('"iss"')
    expect(await wrongWith(await token({ exp: NOW_S - 2 }))).toContain('the token expired 2 s ago')
    expect(await wrongWith(await token({ exp: undefined }))).toContain('"exp"')
    expect(await wrongWith(await token({ nbf: NOW_S + 600 }))).toContain('"nbf"')
  })

  it('may have a clock that is some minutes ahead of ours', async () => {
    expect(await wrongWith(await token({ nbf: NOW_S + 240 }))).toBeUndefined()
  })

  it('is not checked for what the configuration leaves out', async () => {
    expect(await wrongWith(await token({ exp: NOW_S - 1_000_000 }), { skipExpiryCheck: true })).toBeUndefined()
    expect(await wrongWith(await token({ exp: undefined }), { skipExpiryCheck: true })).toBeUndefined()
    expect(await wrongWith(await token({ iss: 'https://other.test' }), { skipIssuerCheck: true })).toBeUndefined()
    expect(await wrongWith(await token({ aud: 'other' }), { audience: '' })).toBeUndefined()
  })

  it('is refused without a signature of the issuer, whatever the checks that are left out', async () => {
    const lax = { skipExpiryCheck: true, skipIssuerCheck: true, audience: '' }
    const good = await token()
    const claims = good.split('.')[1] ?? ''
    const none = `${btoa('{"alg":"none"}').replaceAll('=', '')}.${claims}.`
    // The public key is no secret: signed with it as one, the token would say nothing.
    const secret = new TextEncoder().encode(JSON.stringify(published))
    const symmetric = await new SignJWT({ sub: 'home' }).setProtectedHeader({ alg: 'HS256', kid: 'k' }).sign(secret)
    for (const wrong of ['', 'secret', none, symmetric, `${good}x`, await token({}, others.privateKey)]) {
      expect(await wrongWith(wrong, lax)).toMatch(/^invalid OIDC token in login: /)
    }
  })

  it('does not let strangers make us ask the issuer at their rate', async () => {
    const { checks, asked } = verifier()
    const unknown = loginWith(await token({}, others.privateKey, 'new'))
    for (let i = 0; i < 5; i++) await expect(checks.verifyLogin(unknown)).rejects.toThrow('no applicable key')
    expect(asked.filter((path) => path === '/realm/keys')).toHaveLength(1)
  })
})

describe('an issuer', () => {
  it('that is down is asked again a second later, not before', async () => {
    let isDown = true
    const page = () =>
      isDown ? new Response('', { status: 503 }) : Response.json({ issuer: ISSUER, jwks_uri: `${ISSUER}/keys` })
    const path = '/realm/.well-known/openid-configuration'
    const { checks, asked, pass } = verifier({}, [], { [path]: page })
    await expect(checks.prepare()).rejects.toThrow(`the issuer ${ISSUER} cannot be used: ${ISSUER}`)
    isDown = false
    const good = loginWith(await token())
    await expect(checks.verifyLogin(good)).rejects.toThrow('was answered with 503')
    expect(asked).toEqual([path])
    pass(1_000)
    expect(await checks.verifyLogin(good)).toMatchObject({ user: 'u' })
  })

  it('that gets a new key is asked for it half a minute later, and one that is down then is believed on', async () => {
    let set = published
    let isDown = false
    const page = () => (isDown ? new Response('', { status: 503 }) : Response.json(set))
    const { checks, pass } = verifier({}, [], { '/realm/keys': page })
    const old = loginWith(await token())
    await checks.verifyLogin(old)
    set = { keys: [{ ...(await exportJWK(others.publicKey)), kid: 'new' }] }
    const fresh = loginWith(await token({}, others.privateKey, 'new'))
    await expect(checks.verifyLogin(fresh)).rejects.toThrow('no applicable key')
    pass(30_000)
    await checks.verifyLogin(fresh)
    await expect(checks.verifyLogin(old)).rejects.toThrow('no applicable key')
    isDown = true
    pass(600_000)
    await checks.verifyLogin(fresh)
  })

  it('whose tokens name no key may have several', async () => {
    const both = [keys, others].map(async ({ publicKey }) => ({ ...(await exportJWK(publicKey)), use: 'sig' }))
    const set = { keys: await Promise.all(both) }
    const { checks } = verifier({}, [], { '/realm/keys': () => Response.json(set) })
    for (const { privateKey } of [keys, others]) await checks.verifyLogin(loginWith(await token({}, privateKey, '')))
    const { privateKey } = await generateKeyPair('RS256')
    const stranger = loginWith(await token({}, privateKey, ''))
    await expect(checks.verifyLogin(stranger)).rejects.toThrow('signature verification failed')
  })

  it.each([
    ['of another one', { issuer: 'https://other.test', jwks_uri: `${ISSUER}/keys` }, 'is of the issuer "https://other'],
    ['without keys', { issuer: ISSUER }, 'has no jwks_uri'],
    ['that is too long', { issuer: ISSUER, filler: 'x'.repeat(2_000_000) }, 'more than 1048576 bytes'],
    ['that is a list', [], 'of the issuer undefined'],
  ])('with a discovery document %s lets nobody in', async (_name, document, reason) => {
    const { checks } = verifier({}, [], { '/realm/.well-known/openid-configuration': () => Response.json(document) })
    await expect(checks.verifyLogin(loginWith(await token()))).rejects.toThrow(reason)
  })

  it('signs only with what its document names', async () => {
    const document = { issuer: ISSUER, jwks_uri: `${ISSUER}/keys`, id_token_signing_alg_values_supported: ['ES256'] }
    const { checks } = verifier({}, [], { '/realm/.well-known/openid-configuration': () => Response.json(document) })
    await expect(checks.verifyLogin(loginWith(await token()))).rejects.toThrow('"alg"')
  })
})

describe('Ping and NewWorkConn', () => {
  it('need no token outside the configured scopes', async () => {
    const { checks } = verifier()
    const principal = await checks.verifyLogin(loginWith(await token()))
    expect(checks.verifyPing(pingWith(''), principal)).toBeUndefined()
    expect(checks.verifyNewWorkConn(workConnWith(''), principal)).toBeUndefined()
  })

  it('need one of the subject that logged in', async () => {
    const { checks } = verifier({}, ['HeartBeats', 'NewWorkConns'])
    const principal = await checks.verifyLogin(loginWith(await token()))
    const other = await token({ sub: 'office' })
    // It logged in too, elsewhere: still not this session's.
    await checks.verifyLogin(loginWith(other))
    await checks.verifyPing(pingWith(await token()), principal)
    await checks.verifyNewWorkConn(workConnWith(await token()), principal)
    const text = 'received different OIDC subject in login and ping. new subject: office'
    await expect(checks.verifyPing(pingWith(other), principal)).rejects.toThrow(text)
    await expect(checks.verifyNewWorkConn(workConnWith(other), principal)).rejects.toThrow(text)
    await expect(checks.verifyPing(pingWith(''), principal)).rejects.toThrow('invalid OIDC token in ping: ')
  })
})
