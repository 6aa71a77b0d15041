import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { OidcToken } from '../../../client/oidc/token.ts'
import { completeFrpc } from '../../../config/load.ts'
import { selfSigned } from '../../../node/certificate.ts'
import { nodeRuntime } from '../../../node/runtime.ts'
import { CleanUp, listenTcp } from '../../e2e/client-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

interface Asked {
  url: string
  authorization: string
  host: string
  form: Record<string, string>
  headers: IncomingMessage['headers']
}
type Reply = (response: ServerResponse, asked: Asked) => void

interface Endpoint {
  port: number
  url: string
  asked: Asked[]
}

/** A token endpoint that answers as `reply` does. */
async function endpoint(reply: Reply, tls?: { key: string; cert: string }): Promise<Endpoint> {
  const asked: Asked[] = []
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    let body = ''
    request.setEncoding('utf8').on('data', (part: string) => {
      body += part
    })
    request.on('end', () => {
      const { authorization = '', host = '' } = request.headers
      const form = Object.fromEntries(new URLSearchParams(body))
      const one = { url: request.url ?? '', authorization, host, form, headers: request.headers }
      asked.push(one)
      reply(response, one)
    })
  }
  const server: Server = tls === undefined ? createServer(onRequest) : createTlsServer(tls, onRequest)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanUp.add(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo // listening on an address, not on a path
  return { port, url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}/token?x=1`, asked }
}

/** Answers with token after token: `t1`, `t2`, … */
function granting(fields: object = {}): Reply {
  let count = 0
  return (response) => json(response, 200, { access_token: `t${++count}`, token_type: 'Bearer', ...fields })
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
}

/** The token of a client with this configuration, and its clock. */
function tokenOf(oidc: object) {
  let nowMs = Date.now()
  const { options } = completeFrpc({ auth: { method: 'oidc', oidc: { clientID: 'me', clientSecret: 's', ...oidc } } })
  const runtime = { ...nodeRuntime(), nowMs: () => nowMs }
  const pass = (ms: number) => {
    nowMs += ms
  }
  return { token: new OidcToken(options.auth.oidc, runtime), pass }
}

describe('a token of an issuer', () => {
  it('is asked for by client credentials, with all that the configuration says', async () => {
    const { url, asked } = await endpoint(granting())
    const { token } = tokenOf({
      clientID: 'me & you',
      clientSecret: 'a:b+c/ü',
      tokenEndpointURL: url,
      scope: 'a b',
      audience: 'frps',
      additionalEndpointParams: { resource: 'urn:x', Tenant: '1' },
    })
    expect(await token.get()).toBe('t1')
    expect(asked).toMatchObject([
      {
        url: '/token?x=1',
        form: { grant_type: 'client_credentials', scope: 'a b', audience: 'frps', resource: 'urn:x', Tenant: '1' },
        authorization: `Basic ${btoa('me+%26+you:a%3Ab%2Bc%2F%C3%BC')}`,
      },
    ])
  })

  it('is kept until ten seconds before it expires', async () => {
    const { url, asked } = await endpoint(granting({ expires_in: 60 }))
    const { token, pass } = tokenOf({ tokenEndpointURL: url })
    expect([await token.get(), await token.get()]).toEqual(['t1', 't1'])
    pass(49_000)
    expect(await token.get()).toBe('t1')
    pass(2_000)
    expect([await token.get(), await token.get()]).toEqual(['t2', 't2'])
    expect(asked).toHaveLength(2)
  })

  it('is kept too when the time is a number in quotes, and not when there is none', async () => {
    const quoted = await endpoint(granting({ expires_in: '60' }))
    const { token } = tokenOf({ tokenEndpointURL: quoted.url })
    expect([await token.get(), await token.get()]).toEqual(['t1', 't1'])
    for (const fields of [{}, { expires_in: 0 }, { expires_in: null }, { expires_in: 'soon' }]) {
      const { token: other } = tokenOf({ tokenEndpointURL: (await endpoint(granting(fields))).url })
      expect([await other.get(), await other.get()]).toEqual(['t1', 't2'])
    }
  })

  it('is asked for once by all who want it at a time, and again when the server refused it', async () => {
    const { url, asked } = await endpoint(granting({ expires_in: 60 }))
    const { token } = tokenOf({ tokenEndpointURL: url })
    expect(await Promise.all([token.get(), token.get(), token.get()])).toEqual(['t1', 't1', 't1'])
    token.forget()
    expect(await token.get()).toBe('t2')
    expect(asked).toHaveLength(2)
  })

  it('is got with the secret in the body from an endpoint that wants it there, which is remembered', async () => {
    const grant = granting()
    const { url, asked } = await endpoint((response, one) => {
      if (one.authorization === '') grant(response, one)
      else json(response, 401, { error: 'invalid_client' })
    })
    const { token } = tokenOf({ tokenEndpointURL: url })
    expect([await token.get(), await token.get()]).toEqual(['t1', 't2'])
    expect(asked.map(({ authorization }) => authorization !== '')).toEqual([true, false, false])
    expect(asked[1]?.form).toMatchObject({ client_id: 'me', client_secret: 's' })
  })

  it('that comes as a form is read too', async () => {
    const { url } = await endpoint((response) =>
      response.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8' }).end('access_token=old&expires_in=60'),
    )
    expect(await tokenOf({ tokenEndpointURL: url }).token.get()).toBe('old')
  })
})

describe('no token', () => {
  it.each<[string, Reply, string]>([
    [
      'with the reason of an endpoint that refuses',
      (response) => json(response, 401, { error: 'invalid_client', error_description: 'unknown' }),
      "couldn't generate OIDC token for login: the token endpoint answered 401, invalid_client: unknown",
    ],
    [
      'with the status where there is nothing but a page',
      (response) => response.writeHead(502).end('<html>bad gateway'),
      'the token endpoint answered 502, <html>bad gateway',
    ],
    [
      'without one in the answer',
      (response) => json(response, 200, {}),
      "the token endpoint's answer has no access_token",
    ],
    ['where the answer is a redirect', (response) => response.writeHead(307, { Location: '/' }).end(), 'answered 307'],
    ['where the connection breaks', (response) => void response.destroy(), 'socket hang up'],
    [
      'where the answer does not end',
      (response) => {
        const more = (): void => {
          while (response.write('x'.repeat(65_536)));
        }
        response.on('drain', more)
        more()
      },
      'has more than 1048576 bytes',
    ],
  ])('is got %s', async (_name, reply, reason) => {
    const { url } = await endpoint(reply)
    await expect(tokenOf({ tokenEndpointURL: url }).token.get()).rejects.toThrow(reason)
  })

  it('is got where nobody answers in time, and the next try is a new one', async () => {
    let isSilent = true
    const grant = granting()
    const { url } = await endpoint((response, one) => {
      if (!isSilent) grant(response, one)
    })
    const { options } = completeFrpc({ auth: { method: 'oidc', oidc: { clientID: 'me', tokenEndpointURL: url } } })
    const runtime = nodeRuntime()
    const hurried = { ...runtime, after: (ms: number, run: () => void) => runtime.after(ms / 100, run) }
    const token = new OidcToken(options.auth.oidc, hurried)
    await expect(token.get()).rejects.toThrow('the token endpoint did not answer within 10 s')
    isSilent = false
    expect(await token.get()).toBe('t1')
  })
})

describe('an endpoint over TLS', () => {
  const { key, cert } = selfSigned(['127.0.0.1', 'localhost'])

  it('must have a certificate that is trusted', async () => {
    const { url } = await endpoint(granting(), { key, cert })
    await expect(tokenOf({ tokenEndpointURL: url }).token.get()).rejects.toThrow(/self.signed/)
    expect(await tokenOf({ tokenEndpointURL: url, insecureSkipVerify: true }).token.get()).toBe('t1')
    const trustedCaFile = fileWith('')
    rmSync(trustedCaFile)
    await expect(tokenOf({ tokenEndpointURL: url, trustedCaFile }).token.get()).rejects.toThrow(
      `failed to read OIDC CA certificate file "${trustedCaFile}"`,
    )
    writeFileSync(trustedCaFile, cert)
    expect(await tokenOf({ tokenEndpointURL: url, trustedCaFile }).token.get()).toBe('t2')
    writeFileSync(trustedCaFile, selfSigned(['127.0.0.1']).cert)
    await expect(tokenOf({ tokenEndpointURL: url, trustedCaFile }).token.get()).rejects.toThrow()
  })

  it('is reached through HTTP and SOCKS proxies, by a tunnel', async () => {
    const { url, port } = await endpoint(granting(), { key, cert })
    const trustedCaFile = fileWith(cert)
    const heard: string[] = []
    const proxy = await tunnelProxy(port, heard)
    for (const scheme of ['http', 'socks5', 'socks5h']) {
      const proxyURL = `${scheme}://127.0.0.1:${proxy}`
      expect(await tokenOf({ tokenEndpointURL: url, trustedCaFile, proxyURL }).token.get()).toMatch(/^t/)
      await expect(tokenOf({ tokenEndpointURL: url, proxyURL }).token.get()).rejects.toThrow(/self.signed/)
    }
    expect(heard).toEqual(['CONNECT', 'CONNECT', 'SOCKS', 'SOCKS', 'SOCKS', 'SOCKS'])
  })
})

describe('an endpoint without TLS', () => {
  it('is asked for in whole at an HTTP proxy, with the password of the proxy', async () => {
    const proxy = await endpoint(granting())
    const proxyURL = `http://user:p%40ss@127.0.0.1:${proxy.port}`
    const { token } = tokenOf({ tokenEndpointURL: 'http://issuer.test:8080/token?x=1', proxyURL })
    expect(await token.get()).toBe('t1')
    const [asked] = proxy.asked
    expect(asked).toMatchObject({ url: 'http://issuer.test:8080/token?x=1', host: 'issuer.test:8080' })
    expect(asked?.headers['proxy-authorization']).toBe(`Basic ${btoa('user:p@ss')}`)
  })

  it('is reached through a SOCKS proxy, and one that refuses is named', async () => {
    const { port, asked } = await endpoint(granting())
    const proxyURL = `socks5://127.0.0.1:${await tunnelProxy(port, [])}`
    const { token } = tokenOf({ tokenEndpointURL: 'http://issuer.test/token', proxyURL })
    expect(await token.get()).toBe('t1')
    expect(asked).toMatchObject([{ url: '/token', host: 'issuer.test' }])
    const refusing = await listenTcp(cleanUp, (socket) => socket.end(Buffer.of(5, 0xff)))
    const other = tokenOf({ tokenEndpointURL: 'http://issuer.test/', proxyURL: `socks5://127.0.0.1:${refusing}` })
    await expect(other.token.get()).rejects.toThrow('the SOCKS proxy wants authentication method 255')
    const bad = tokenOf({ tokenEndpointURL: 'http://issuer.test/', proxyURL: 'ftp://me:secret@proxy' })
    await expect(bad.token.get()).rejects.toThrow(/^(?!.*secret).*auth\.oidc\.proxyURL: /)
  })
})

function fileWith(content: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'edgefrp-oidc-'))
  cleanUp.add(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'ca.crt')
  writeFileSync(path, content)
  return path
}

/** A proxy that leads every tunnel to `port`, whether it is asked by CONNECT or by SOCKS5. */
function tunnelProxy(port: number, heard: string[]): Promise<number> {
  const join = (socket: Socket): void => {
    const onward = connect(port, '127.0.0.1')
    onward.on('error', () => socket.destroy())
    socket.on('close', () => onward.destroy())
    socket.pipe(onward).pipe(socket)
  }
  return listenTcp(cleanUp, (socket) => {
    socket.once('data', (first: Buffer) => {
      if (first[0] !== 5) {
        heard.push(first.subarray(0, 7).toString())
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        join(socket)
        return
      }
      heard.push('SOCKS')
      socket.write(Buffer.of(5, 0))
      socket.once('data', () => {
        socket.write(Buffer.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0))
        join(socket)
      })
    })
  })
}
