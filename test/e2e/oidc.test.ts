import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { CleanUp, converse, echoTcp, freePorts, startClient } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'
import { AUDIENCE, CLIENTS, type OpenId, SECRET, startOpenId } from './rig/openid.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

/** Both ends check both scopes. */
const SCOPES = ['HeartBeats', 'NewWorkConns']

function relayOf(openId: OpenId, config: object = {}) {
  const oidc = { issuer: openId.issuer, audience: AUDIENCE }
  return startRelay(cleanUp, { bindPort: 0, auth: { method: 'oidc', additionalScopes: SCOPES, oidc }, ...config })
}

/** A client of the relay at `port` that sends a heartbeat a second. */
function clientOf(port: number, oidc: object, config: object = {}, speed = 1) {
  const common = { serverAddr: '127.0.0.1', serverPort: port, transport: { heartbeatInterval: 1 } }
  return startClient(
    cleanUp,
    { ...common, loginFailExit: false, auth: { method: 'oidc', additionalScopes: SCOPES, oidc }, ...config },
    speed,
  )
}

const credentials = (openId: OpenId, oidc: object = {}) => ({
  clientID: CLIENTS[0],
  clientSecret: SECRET,
  tokenEndpointURL: openId.tokenEndpoint,
  ...oidc,
})

describe('with auth.method oidc', () => {
  // Without auth.token the cipher of the control connection has an empty secret, as in frp.
  it.each(['v1', 'v2'])('a client logs in, beats and serves with one token, wire %s', async (wireProtocol) => {
    const openId = await startOpenId(cleanUp)
    const { server, lines } = await relayOf(openId)
    const [remotePort = 0] = await freePorts(1)
    const localPort = await echoTcp(cleanUp)
    const proxies = [{ name: 'echo', type: 'tcp', localPort, remotePort, transport: { useEncryption: true } }]
    const client = clientOf(
      server.bindPort,
      credentials(openId),
      { proxies, transport: { heartbeatInterval: 1, wireProtocol } },
      10,
    )
    await client.lines.waitFor('[echo] start proxy success')
    const { bytes } = await converse(remotePort, Buffer.from('through'), { end: true })
    expect(bytes.toString()).toBe('through')
    await client.lines.waitFor('receive heartbeat from server')
    expect(openId.tokenRequests()).toBe(1)
    // A token in a log would be a secret lost.
    for (const line of [...lines.lines, ...client.lines.lines]) expect(line).not.toContain('eyJ')
  })

  it('a wrong secret is told by the client, and the relay is not troubled', async () => {
    const openId = await startOpenId(cleanUp)
    const { server, lines } = await relayOf(openId)
    const client = clientOf(server.bindPort, credentials(openId, { clientSecret: 'wrong' }), { loginFailExit: true })
    expect((await client.over)?.message).toContain(
      "login to the server failed: couldn't generate OIDC token for login: the token endpoint answered 401, invalid_client",
    )
    expect(lines.lines.join('')).not.toContain('register control error')
  })

  it('a token for another audience is refused with the reason', async () => {
    const openId = await startOpenId(cleanUp)
    const { server } = await relayOf(openId, {
      auth: { method: 'oidc', oidc: { issuer: openId.issuer, audience: 'another' } },
    })
    const client = clientOf(server.bindPort, credentials(openId), { loginFailExit: true })
    expect((await client.over)?.message).toContain('invalid OIDC token in login: unexpected "aud" claim value')
  })

  it('a relay whose issuer is down says so at its start, and lets clients in when it is back', async () => {
    const openId = await startOpenId(cleanUp)
    openId.setDown(true)
    const { server, lines } = await relayOf(openId)
    await lines.waitFor(`the issuer ${openId.issuer} cannot be used`)
    openId.setDown(false)
    const client = clientOf(server.bindPort, credentials(openId), {}, 10)
    await client.lines.waitFor('login to server success')
  })

  it('a session outlives an issuer that gives no token for a heartbeat', async () => {
    // Tokens that end so soon are not kept.
    const openId = await startOpenId(cleanUp, 5)
    const { server } = await relayOf(openId)
    const client = clientOf(server.bindPort, credentials(openId), {}, 10)
    await client.lines.waitFor('receive heartbeat from server')
    openId.setDown(true)
    await client.lines.waitFor(
      "error during ping authentication: couldn't generate OIDC token for login: the token endpoint answered 503",
    )
    openId.setDown(false)
    const since = client.lines.lines.length
    await client.lines.waitFor('receive heartbeat from server', since)
    expect(client.lines.lines.filter((line) => line.includes('login to server success'))).toHaveLength(1)
  })

  it('a client may get its token from a file, which is read for each message', async () => {
    const openId = await startOpenId(cleanUp)
    const { server, lines } = await relayOf(openId)
    const folder = mkdtempSync(join(tmpdir(), 'edgefrp-oidc-'))
    cleanUp.add(() => rmSync(folder, { recursive: true }))
    const path = join(folder, 'token')
    writeFileSync(path, `${await openId.token('home')}\n`)
    const client = clientOf(server.bindPort, { tokenSource: { type: 'file', file: { path } } }, {}, 10)
    await client.lines.waitFor('receive heartbeat from server')
    // Another identity cannot go on with the session, and gets its own.
    writeFileSync(path, await openId.token('office'))
    await lines.waitFor('received invalid ping: received different OIDC subject in login and ping. new subject: office')
    const since = client.lines.lines.length
    await client.lines.waitFor('login to server success', since)
  })
})
