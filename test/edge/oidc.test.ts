import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { EdgeClient } from './client.ts'
import { evict, newHub } from './hub.ts'
import { answerOf, web } from './services.ts'

const ISSUER = 'https://issuer.test'

let sign: (claims: object) => Promise<string>
let asked: string[] = []

/** The issuer of `FRPS_OIDC`: the hub runs in this isolate, and its fetch is ours. */
beforeEach(async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256', use: 'sig' }] }
  const document = {
    issuer: ISSUER,
    jwks_uri: `${ISSUER}/keys`,
    id_token_signing_alg_values_supported: ['ES256'],
  }
  asked = []
  sign = (claims) =>
    new SignJWT({ iss: ISSUER, aud: 'frps', sub: 'home', ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'k' })
      .setExpirationTime('1h')
      .sign(privateKey)
  vi.spyOn(globalThis, 'fetch').mockImplementation(async (input) => {
    asked.push(String(input))
    return Response.json(String(input) === `${ISSUER}/keys` ? keys : document)
  })
})
afterEach(() => {
  vi.restoreAllMocks()
})

let hubCount = 0
/** The second word is the variable with its configuration. */
const oidcHub = () => newHub(`oidc-${++hubCount} FRPS_OIDC`)

describe('a hub with auth.method oidc', () => {
  it('lets a token of its issuer in, and the same client takes its session over', async () => {
    const hub = oidcHub()
    const first = await EdgeClient.login(hub, { token: '', privilegeKey: await sign({}) })
    expect(asked).toEqual([`${ISSUER}/.well-known/openid-configuration`, `${ISSUER}/keys`])
    const again = { token: '', runId: first.runId }
    const second = await EdgeClient.login(hub, { ...again, privilegeKey: await sign({}) })
    expect(second.runId).toBe(first.runId)
    // Another subject does not, whatever run id it learned.
    const other = await EdgeClient.login(hub, { ...again, privilegeKey: await sign({ sub: 'office' }) })
    expect(other.runId).not.toBe(first.runId)
  })

  it('refuses a bad token with the reason, and one of the other method', async () => {
    const hub = oidcHub()
    const refusal = async (privilegeKey?: string) => {
      const client = await EdgeClient.connect(hub)
      return (await client.login({ token: '', ...(privilegeKey === undefined ? {} : { privilegeKey }) })).error
    }
    expect(await refusal(await sign({ aud: 'other' }))).toBe(
      'invalid OIDC token in login: unexpected "aud" claim value',
    )
    expect(await refusal(`${await sign({})}x`)).toContain('invalid OIDC token in login: ')
    expect(await refusal()).toContain('invalid OIDC token in login: ')
  })

  it('checks work connections, and what it parked of them is there after it slept', async () => {
    const hub = oidcHub()
    const client = await EdgeClient.login(hub, { token: '', privilegeKey: await sign({}) })
    const service = web((_head, _reader, work) => work.write(answerOf('hello')))
    await client.register({ proxy_name: 'web', proxy_type: 'http', custom_domains: ['web.test'] }, service)
    for (let sleeps = 0; sleeps < 2; sleeps++) {
      await evict(hub)
      expect(await (await hub.fetch('http://web.test/')).text()).toBe('hello')
    }
  })

  it('checks heartbeats against the subject of the login, also after it slept', async () => {
    const hub = oidcHub()
    const client = await EdgeClient.login(hub, { token: '', privilegeKey: await sign({}) })
    const pong = async (claims: object) => {
      const answer = client.next('Pong')
      client.send({ type: 'Ping', privilege_key: await sign(claims) })
      return (await answer).error
    }
    expect(await pong({})).toBe('')
    await evict(hub)
    expect(await pong({})).toBe('')
    expect(await pong({ sub: 'office' })).toBe('received different OIDC subject in login and ping. new subject: office')
  })
})
