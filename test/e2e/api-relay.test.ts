import { afterEach, describe, expect, it } from 'vitest'
import { askWeb, basic, json } from './api-rig.ts'
import { CleanUp, converse, echoTcp, freePorts, startClient, type TestClient } from './client-rig.ts'
import { startRelay, type TestServer } from './frps-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const HTTP_USER = 'canary-user'
const SECRETS = ['canary-token', 'canary-password', 'canary-key', 'canary-pass-word']

interface Scene extends TestServer {
  web: number
  remotePort: number
  client: TestClient
}

/** A relay with its web server, and a client `bob.c1` with a tcp, an http and (not accepted or not) an stcp proxy. */
async function scene(webServer: object = {}, more: object = {}): Promise<Scene> {
  const [bindPort = 0, web = 0, vhostHTTPPort = 0, remotePort = 0] = await freePorts(4)
  const auth = { token: SECRETS[0] }
  const started = await startRelay(cleanUp, {
    bindPort,
    vhostHTTPPort,
    auth,
    enablePrometheus: true,
    webServer: { port: web, ...webServer },
    ...more,
  })
  const localPort = await echoTcp(cleanUp)
  const client = startClient(cleanUp, {
    serverAddr: '127.0.0.1',
    serverPort: bindPort,
    auth,
    user: 'bob',
    clientID: 'c1',
    proxies: [
      { name: 'ssh', type: 'tcp', localPort, remotePort, annotations: { note: 'a "b"' }, metadatas: { k: 'v' } },
      {
        name: 'site',
        type: 'http',
        localPort,
        customDomains: ['x.test'],
        locations: ['/a'],
        httpUser: HTTP_USER,
        httpPassword: SECRETS[1],
        transport: { useEncryption: true },
      },
      { name: 'secret', type: 'stcp', localPort, secretKey: SECRETS[2] },
    ],
  })
  await client.lines.waitFor('[ssh] start proxy success')
  await client.lines.waitFor('[site] start proxy success')
  await client.lines.waitFor('[secret] start proxy success')
  return { ...started, web, remotePort, client }
}

const TRANSPORT = { bandwidthLimit: '', bandwidthLimitMode: 'client' }
const SPEC_TRANSPORT = { useEncryption: false, useCompression: false, ...TRANSPORT }
const BASE = {
  loadBalancer: { group: '' },
  healthCheck: { type: '', intervalSeconds: 0 },
  localIP: '127.0.0.1',
  plugin: null,
}

describe("the relay's API, first version", () => {
  it('answers as frps does', async () => {
    const { web, remotePort } = await scene()
    await converse(remotePort, Buffer.from('hello'), { end: true })
    const conf = {
      name: 'bob.ssh',
      type: 'tcp',
      annotations: { note: 'a "b"' },
      transport: TRANSPORT,
      metadatas: { k: 'v' },
      ...BASE,
      remotePort,
    }
    const ssh = {
      name: 'bob.ssh',
      conf,
      user: 'bob',
      clientID: 'c1',
      todayTrafficIn: 5,
      todayTrafficOut: 5,
      curConns: 0,
      lastStartTime: expect.stringMatching(/^\d\d-\d\d \d\d:\d\d:\d\d$/),
      lastCloseTime: '',
      status: 'online',
    }
    expect(await json(askWeb(web, '/api/proxy/tcp'))).toEqual({ proxies: [ssh] })
    expect(await json(askWeb(web, '/api/proxy/tcp/bob.ssh'))).toEqual(ssh)
    expect(await json(askWeb(web, '/api/proxies/bob.ssh'))).toEqual(ssh)
    expect(await json(askWeb(web, '/api/proxy/http'))).toMatchObject({
      proxies: [
        {
          name: 'bob.site',
          conf: {
            name: 'bob.site',
            type: 'http',
            transport: { useEncryption: true, ...TRANSPORT },
            ...BASE,
            customDomains: ['x.test'],
            locations: ['/a'],
            hostHeaderRewrite: '',
          },
        },
      ],
    })
    expect(await json(askWeb(web, '/api/proxy/xtcp'))).toEqual({ proxies: [] })
    const [today, ...before] = [5, 0, 0, 0, 0, 0, 0]
    expect(await json(askWeb(web, '/api/traffic/bob.ssh'))).toEqual({
      name: 'bob.ssh',
      trafficIn: [today, ...before],
      trafficOut: [today, ...before],
    })
    expect(await json(askWeb(web, '/api/serverinfo'))).toMatchObject({
      version: '0.70.1',
      heartbeatTimeout: -1,
      totalTrafficIn: 5,
      clientCounts: 1,
      proxyTypeCount: { http: 1, stcp: 1, tcp: 1 },
    })
    expect(await json(askWeb(web, '/api/clients'))).toEqual([await json(askWeb(web, '/api/clients/bob.c1'))])
    expect(await json(askWeb(web, '/api/clients/bob.c1'))).toEqual({
      key: 'bob.c1',
      user: 'bob',
      clientID: 'c1',
      runID: expect.stringMatching(/^[0-9a-f]{16}$/),
      version: expect.any(String),
      wireProtocol: 'v1',
      hostname: expect.any(String),
      clientIP: '127.0.0.1',
      firstConnectedAt: expect.any(Number),
      lastConnectedAt: expect.any(Number),
      online: true,
    })
  })

  it('has frp texts for what is not there', async () => {
    const { web } = await scene()
    const missing = { status: 404, text: '{"Code":404,"Msg":"no proxy info found"}\n' }
    for (const path of ['/api/proxy/udp/bob.ssh', '/api/proxies/ssh', '/api/traffic/ssh']) {
      expect(await askWeb(web, path)).toMatchObject(missing)
    }
    expect(await json(askWeb(web, '/api/clients/nobody'))).toEqual({ Code: 404, Msg: 'client nobody not found' })
    expect(await askWeb(web, '/api/nothing')).toMatchObject({ status: 404, text: '404 page not found\n' })
    expect(await askWeb(web, '/api/proxies', { method: 'POST' })).toMatchObject({ status: 405, text: '' })
    expect(await json(askWeb(web, '/api/proxies', { method: 'DELETE' }))).toEqual({
      Code: 400,
      Msg: 'status only support offline',
    })
  })

  it('remembers who left until it is told to forget the proxies', async () => {
    const { web, client, lines } = await scene()
    client.service.close()
    await lines.waitFor('client exit')
    expect(await json(askWeb(web, '/api/proxies/bob.ssh'))).toMatchObject({ status: 'offline', conf: null })
    expect(await json(askWeb(web, '/api/clients?status=online'))).toEqual([])
    expect(await json(askWeb(web, '/api/clients?status=offline'))).toMatchObject([
      { key: 'bob.c1', runID: '', online: false, disconnectedAt: expect.any(Number) },
    ])
    expect(await json(askWeb(web, '/api/serverinfo'))).toMatchObject({ proxyTypeCount: { tcp: 0 }, clientCounts: 0 })
    const gone = await askWeb(web, '/api/proxies?status=offline', { method: 'DELETE' })
    expect(gone.text).toBe('{"Code":200,"Msg":"success"}\n')
    expect((await askWeb(web, '/api/proxies/bob.ssh')).status).toBe(404)
  })
})

describe("the relay's API, second version", () => {
  it('answers as frps does', async () => {
    const { web, remotePort } = await scene()
    const ask = (path: string) => json(askWeb(web, `/api/v2/${path}`))
    const client = (await json(askWeb(web, '/api/clients/bob.c1'))) as object // an object, as the test above shows
    const page = (...items: unknown[]) => ({
      code: 200,
      msg: 'success',
      data: { total: items.length, page: 1, pageSize: 50, items },
    })
    expect(await ask('users')).toEqual(page({ user: 'bob', clientCount: 1, proxyCount: 3 }))
    expect(await ask('users?q=BO')).toMatchObject({ data: { total: 1 } })
    expect(await ask('users?q=alice')).toEqual(page())
    expect(await ask('clients')).toEqual(page(client))
    expect(await ask('clients?user=')).toEqual(page())
    expect(await ask('clients/bob.c1')).toMatchObject({
      data: { ...client, status: { phase: 'online', curConns: 0, proxyCount: 3 } },
    })
    expect(await ask('proxies?type=tcp')).toEqual(
      page({
        name: 'bob.ssh',
        user: 'bob',
        clientID: 'c1',
        spec: {
          type: 'tcp',
          tcp: {
            annotations: { note: 'a "b"' },
            metadatas: { k: 'v' },
            transport: SPEC_TRANSPORT,
            loadBalancer: { group: '' },
            remotePort,
          },
        },
        status: {
          phase: 'online',
          todayTrafficIn: 0,
          todayTrafficOut: 0,
          curConns: 0,
          lastStartAt: expect.any(Number),
        },
      }),
    )
    expect(await ask('proxies?pageSize=1&page=2')).toMatchObject({
      data: { total: 3, page: 2, pageSize: 1, items: [{ name: 'bob.secret' }] },
    })
    expect(await ask('proxies?q=x.test')).toMatchObject({ data: { items: [{ name: 'bob.site' }] } })
    expect(await ask('proxies/bob.ssh/traffic')).toEqual({
      code: 200,
      msg: 'success',
      data: {
        name: 'bob.ssh',
        unit: 'bytes',
        granularity: 'day',
        history: Array.from({ length: 7 }, () => ({
          date: expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
          trafficIn: 0,
          trafficOut: 0,
        })),
      },
    })
    expect(await ask('system/info')).toMatchObject({
      data: { version: '0.70.1', config: { allowPortsStr: '', tlsForce: false }, status: { clientCounts: 1 } },
    })
  })

  it.each([
    ['GET', 'proxies?page=0', 'page must be a positive integer'],
    ['GET', 'proxies?pageSize=201', 'pageSize must be between 1 and 200'],
    ['GET', 'clients?status=no', 'status must be one of all, online, offline'],
    ['GET', 'proxies?type=x', 'type must be one of tcp, udp, http, https, tcpmux, stcp, xtcp, sudp'],
    ['POST', 'system/prune', 'type is required'],
    ['POST', 'system/prune?type=x', 'type must be one of offline_proxies'],
  ])('refuses %s %s', async (method, path, msg) => {
    const [bindPort = 0, web = 0] = await freePorts(2)
    await startRelay(cleanUp, { bindPort, webServer: { port: web } })
    expect(await askWeb(web, `/api/v2/${path}`, { method })).toMatchObject({
      status: 400,
      text: `${JSON.stringify({ code: 400, msg, data: null })}\n`,
    })
  })

  it('finds names with a slash', async () => {
    const [bindPort = 0, web = 0, remotePort = 0] = await freePorts(3)
    await startRelay(cleanUp, { bindPort, webServer: { port: web } })
    const localPort = await echoTcp(cleanUp)
    const proxies = [{ name: 'a/b ü', type: 'tcp', localPort, remotePort }]
    const client = startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: bindPort, proxies })
    await client.lines.waitFor('start proxy success')
    const path = `/api/v2/proxies/${encodeURIComponent('a/b ü')}`
    expect(await json(askWeb(web, path))).toMatchObject({ data: { name: 'a/b ü' } })
    expect(await json(askWeb(web, `${path}/traffic`))).toMatchObject({ data: { name: 'a/b ü' } })
  })
})

describe('metrics', () => {
  it('have frp names and count bytes as they pass', async () => {
    const { web, remotePort, server } = await scene()
    await converse(remotePort, Buffer.from('0123456789'), { end: true })
    const { text, headers } = await askWeb(web, '/metrics')
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    const lines = text.split('\n')
    expect(lines).toContain('frp_server_client_counts 1')
    expect(lines).toContain('frp_server_proxy_counts{type="tcp"} 1')
    expect(lines).toContain('frp_server_proxy_counts_detailed{name="bob.ssh",type="tcp"} 1')
    expect(lines).toContain('frp_server_connection_counts{name="bob.ssh",type="tcp"} 0')
    expect(lines).toContain('frp_server_traffic_in{name="bob.ssh",type="tcp"} 10')
    expect(lines).toContain('frp_server_traffic_out{name="bob.ssh",type="tcp"} 10')
    expect(server.relay.registry.find('bob.ssh')?.total).toEqual({ bytesIn: 10, bytesOut: 10 })
  })

  it('escape what a client calls its proxies', async () => {
    const [bindPort = 0, web = 0, remotePort = 0] = await freePorts(3)
    await startRelay(cleanUp, { bindPort, webServer: { port: web }, enablePrometheus: true })
    const proxies = [{ name: 'a"} 1\\', type: 'tcp', localPort: 1, remotePort }]
    const client = startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: bindPort, proxies })
    await client.lines.waitFor('start proxy success')
    const lines = (await askWeb(web, '/metrics')).text.split('\n')
    expect(lines).toContain(String.raw`frp_server_traffic_in{name="a\"} 1\\",type="tcp"} 0`)
  })

  it('are not there unless they are asked for', async () => {
    const { web } = await scene({}, { enablePrometheus: false })
    expect((await askWeb(web, '/metrics')).status).toBe(404)
  })
})

describe("the relay's web server", () => {
  it('asks for the password everywhere but at healthz', async () => {
    const { web } = await scene({ user: 'admin', password: SECRETS[3], pprofEnable: true })
    expect(await askWeb(web, '/healthz')).toMatchObject({ status: 200, text: '' })
    const paths = ['/', '/static/', '/api/serverinfo', '/api/v2/proxies', '/metrics', '/nothing', '/favicon.ico']
    for (const path of [...paths, '/debug/pprof/goroutine?debug=2']) {
      const refused = await askWeb(web, path)
      expect([path, refused.status, refused.headers['www-authenticate']]).toEqual([
        path,
        401,
        'Basic realm="Restricted"',
      ])
    }
    const headers = basic('admin', SECRETS[3] ?? '')
    expect((await askWeb(web, '/api/serverinfo', { headers })).status).toBe(200)
    expect(await askWeb(web, '/debug/pprof/goroutine?debug=2', { headers })).toMatchObject({ status: 200 })
    expect(await askWeb(web, '/', { headers })).toMatchObject({ status: 301, headers: { location: '/static/' } })
  })

  it('serves the page with a policy that lets nothing in from elsewhere', async () => {
    const { web } = await scene()
    const page = await askWeb(web, '/static/')
    expect(page.status).toBe(200)
    expect(page.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': "default-src 'self'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
    })
    expect((await askWeb(web, '/static/status.js')).headers['content-type']).toBe('text/javascript; charset=utf-8')
    expect((await askWeb(web, '/static/../api')).status).toBe(404)
  })

  it('without a password refuses names, and changes from elsewhere', async () => {
    const { web } = await scene()
    expect((await askWeb(web, '/api/clients', { headers: { Host: 'rebind.example.com' } })).status).toBe(403)
    const path = '/api/proxies?status=offline'
    for (const headers of [{ 'Sec-Fetch-Site': 'cross-site' }, { Origin: 'http://evil.example' }]) {
      expect((await askWeb(web, path, { method: 'DELETE', headers })).status).toBe(403)
    }
  })

  it('without a password changes nothing on an address that others reach, and says so at the start', async () => {
    const { web, lines } = await scene({ addr: '0.0.0.0' })
    await lines.waitFor('webServer.password is not set: the API is open to anyone who can connect, for reading')
    expect((await askWeb(web, '/api/clients')).status).toBe(200)
    expect((await askWeb(web, '/api/proxies?status=offline', { method: 'DELETE' })).status).toBe(403)
  })

  it('is there on the public address only with a password, under the prefix', async () => {
    const open = await scene()
    expect((await askWeb(open.server.bindPort, '/~!frp/api/serverinfo')).status).toBe(404)
    expect((await askWeb(open.server.bindPort, '/~!frp/metrics')).status).toBe(404)
    expect((await askWeb(open.server.bindPort, '/~!frp/healthz')).status).toBe(200)
    await cleanUp.run()
    const { server } = await scene({ user: 'admin', password: SECRETS[3] })
    const headers = basic('admin', SECRETS[3] ?? '')
    for (const port of [server.bindPort, server.vhostHttpPort ?? 0]) {
      for (const path of ['api/serverinfo', 'api/v2/proxies', 'metrics', 'dashboard/', 'dashboard/status.js']) {
        expect([path, (await askWeb(port, `/~!frp/${path}`)).status]).toEqual([path, 401])
        expect([path, (await askWeb(port, `/~!frp/${path}`, { headers })).status]).toEqual([path, 200])
      }
    }
    const moved = await askWeb(server.bindPort, '/~!frp/dashboard', { headers })
    expect(moved).toMatchObject({ status: 301, headers: { location: '/~!frp/dashboard/' } })
  })

  it('tells no secret', async () => {
    const { web, server } = await scene({ user: 'admin', password: SECRETS[3] })
    const headers = basic('admin', SECRETS[3] ?? '')
    const runIds = server.relay.registry.clients.map((control) => control.state.runId)
    expect(runIds).toHaveLength(1)
    const v1 = [
      'serverinfo',
      'proxy/tcp',
      'proxy/http',
      'proxy/stcp',
      'proxies/bob.site',
      'traffic/bob.site',
      'clients',
    ]
    const v2 = ['v2/users', 'v2/system/info', 'v2/clients', 'v2/clients/bob.c1', 'v2/proxies', 'v2/proxies/bob.secret']
    for (const path of [...[...v1, ...v2].map((one) => `/api/${one}`), '/metrics']) {
      const { status, text } = await askWeb(web, path, { headers })
      expect([path, status]).toEqual([path, 200])
      for (const secret of [...SECRETS, ...runIds, HTTP_USER]) expect(text).not.toContain(secret)
    }
  })

  it("refuses to start on a port that is taken, in frp's words", async () => {
    const { web } = await scene()
    const [bindPort = 0] = await freePorts(1)
    await expect(startRelay(cleanUp, { bindPort, webServer: { port: web } })).rejects.toThrow(
      `create dashboard web server error, listen tcp 127.0.0.1:${web}: bind: address already in use`,
    )
  })
})
