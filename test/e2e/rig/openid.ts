import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair } from 'jose'
import { Provider } from 'oidc-provider'
import type { CleanUp } from '../client-rig.ts'

/** A real OpenID provider on loopback. */
export interface OpenId {
  issuer: string
  tokenEndpoint: string
  /** How often a token was asked for. */
  tokenRequests(): number
  /** While true, every request is answered with 503. */
  setDown(isDown: boolean): void
  /** A token, got as `frpc` gets one. */
  token(client?: string): Promise<string>
}

/** The clients that the provider knows, all with this secret. */
export const SECRET = 'client/secret+with:signs'
export const CLIENTS = ['home', 'office'] as const
/** Audience of the tokens. */
export const AUDIENCE = 'frps'

/** Starts one; its tokens live for `seconds`, at another `port` for a second start. */
export async function startOpenId(cleanUp: CleanUp, seconds = 3600): Promise<OpenId> {
  let requests = 0
  let isDown = false
  let answer: (request: IncomingMessage, response: ServerResponse) => void = () => undefined
  const server = createServer((request, response) => {
    if (request.url === '/token') requests += 1
    if (!isDown) return answer(request, response)
    response.writeHead(503).end('down for a while')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanUp.add(() => {
    server.closeAllConnections()
    server.close()
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}` // listening on an address, not on a path
  answer = new Provider(issuer, await configuration(seconds)).callback()
  const tokenEndpoint = `${issuer}/token`
  return {
    issuer,
    tokenEndpoint,
    tokenRequests: () => requests,
    setDown: (value) => {
      isDown = value
    },
    token: async (client = CLIENTS[0]) => {
      const response = await fetch(tokenEndpoint, {
        method: 'POST',
        body: new URLSearchParams({ grant_type: 'client_credentials' }),
        headers: { Authorization: `Basic ${btoa(`${client}:${encodeURIComponent(SECRET)}`)}` },
      })
      const { access_token: token }: { access_token?: unknown } = Object(await response.json())
      if (typeof token !== 'string') throw new Error(`no token but ${response.status}`)
      return token
    },
  }
}

async function configuration(seconds: number): Promise<object> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  const nothing = () => Promise.resolve(undefined)
  return {
    // Its tokens say all themselves: nothing has to be kept. Its own memory would warn at each start.
    adapter: () => ({
      upsert: nothing,
      find: nothing,
      findByUid: nothing,
      findByUserCode: nothing,
      consume: nothing,
      destroy: nothing,
      revokeByGrantId: nothing,
    }),
    clients: CLIENTS.map((client) => ({
      client_id: client,
      client_secret: SECRET,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    })),
    jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: 'of-the-test', alg: 'RS256', use: 'sig' }] },
    ttl: { ClientCredentials: seconds },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      // Without a resource its access tokens are opaque, which no relay can verify.
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:frps',
        getResourceServerInfo: () => ({
          scope: 'tunnel',
          audience: AUDIENCE,
          accessTokenFormat: 'jwt',
          accessTokenTTL: seconds,
        }),
      },
    },
  }
}
