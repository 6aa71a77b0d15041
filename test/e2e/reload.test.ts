import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { completeFrps } from '../../config/load.ts'
import { reloadedFrps } from '../../config/reloaded.ts'
import { askWeb, basic, json } from './api-rig.ts'
import { CleanUp, converse, echoTcp, freePorts, startClient } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'
import { Executables } from './rig/processes.ts'

let programs: Executables
beforeAll(async () => {
  programs = await Executables.build()
})
afterAll(() => programs.remove())
const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const tcp = (name: string, localPort: number, remotePort: number) => ({ name, type: 'tcp', localPort, remotePort })

function clientOf(serverPort: number, token: string, proxies: object[] = [], more: object = {}) {
  const base = { serverAddr: '127.0.0.1', serverPort, auth: { token }, loginFailExit: false, proxies }
  return startClient(cleanUp, { ...base, ...more })
}

describe('reloadedFrps', () => {
  const options = (raw: object) => completeFrps({ bindPort: 7000, ...raw }).options

  it('takes what a running relay can change, and names what it cannot', () => {
    const next = options({
      bindPort: 7001,
      auth: { token: 'new' },
      allowPorts: [{ single: 6000 }],
      transport: { maxPoolCount: 9 },
      edgefrp: { users: [{ name: 'a', token: 't' }], limits: { maxNameLength: 10, headerTimeoutSeconds: 3 } },
    })
    const { options: now, left } = reloadedFrps(options({ auth: { token: 'old' } }), next)
    expect(now).toMatchObject({ bindPort: 7000, auth: { token: 'new' }, transport: { maxPoolCount: 5 } })
    expect(now.edgefrp.limits).toMatchObject({ maxNameLength: 10, headerTimeoutSeconds: 10 })
    expect(now.edgefrp.users).toHaveLength(1)
    expect(left.sort()).toEqual(['bindPort', 'edgefrp.limits.headerTimeoutSeconds', 'transport.maxPoolCount'])
  })

  it('has nothing to say about the same file', () => {
    expect(reloadedFrps(options({}), options({})).left).toEqual([])
  })
})

describe('a reload', () => {
  it('changes who may log in from then on; sessions stay with their old token, work connections included', async () => {
    const [bindPort = 0, port = 0] = await freePorts(2)
    const scopes = ['HeartBeats', 'NewWorkConns']
    const config = (token: string) => ({ bindPort, auth: { token, additionalScopes: scopes } })
    const { server } = await startRelay(cleanUp, config('old'))
    const auth = { token: 'old', additionalScopes: scopes }
    const plain = { transport: { tcpMux: false, heartbeatInterval: 1 }, auth }
    const old = clientOf(bindPort, '', [tcp('a', await echoTcp(cleanUp), port)], plain)
    await old.lines.waitFor('start proxy success')
    expect(server.reload(completeFrps({ bindAddr: '127.0.0.1', ...config('new') }).options)).toEqual([])
    await clientOf(bindPort, 'new').lines.waitFor('login to server success')
    await clientOf(bindPort, 'old').lines.waitFor("token in login doesn't match")
    const since = old.lines.lines.length
    await old.lines.waitFor('receive heartbeat from server', since)
    for (let i = 0; i < 3; i++) {
      expect((await converse(port, Buffer.from('x'), { end: true })).bytes.toString()).toBe('x')
    }
  })

  it('changes ports, users and bounds for the next proxy; what is open stays open', async () => {
    const [bindPort = 0, first = 0, second = 0] = await freePorts(3)
    const config = (single: number, more: object = {}) => ({
      bindAddr: '127.0.0.1',
      bindPort,
      auth: { token: 't' },
      allowPorts: [{ single }],
      ...more,
    })
    const { server } = await startRelay(cleanUp, config(first))
    const local = await echoTcp(cleanUp)
    const client = clientOf(bindPort, 't', [tcp('a', local, first), tcp('b', local, second)])
    await client.lines.waitFor('[a] start proxy success')
    await client.lines.waitFor('[b] start error: port not allowed')
    const users = [{ name: 'anna', token: 'hers', maxProxies: 1 }]
    server.reload(completeFrps(config(second, { edgefrp: { users } })).options)
    const anna = clientOf(bindPort, 'hers', [tcp('b', local, second)], { user: 'anna' })
    await anna.lines.waitFor('[b] start proxy success')
    expect((await converse(first, Buffer.from('x'), { end: true })).bytes.toString()).toBe('x')
    server.reload(completeFrps(config(second, { edgefrp: { users: [{ ...users[0], maxProxies: 0 }] } })).options)
    const more = clientOf(bindPort, 'hers', [tcp('c', local, second)], { user: 'anna' })
    // The port is the only one, and taken; but she may have another proxy now.
    await more.lines.waitFor('[c] start error: port already used')
  })

  it.each([
    ['v1', true],
    ['v2', true],
    ['v1', false],
  ])(
    'ends the sessions of a user who is gone or has a new token, and no others: wire %s, tcpMux %s',
    async (wireProtocol, tcpMux) => {
      const [bindPort = 0, ...ports] = await freePorts(5)
      const config = (users: object[]) => ({
        bindAddr: '127.0.0.1',
        bindPort,
        auth: { token: 't' },
        edgefrp: { users },
      })
      const user = (name: string, token = name) => ({ name, token })
      const { server, lines } = await startRelay(cleanUp, config([user('anna'), user('bob'), user('carl')]))
      const local = await echoTcp(cleanUp)
      const carrier = { transport: { wireProtocol, tcpMux } }
      const clients = ['anna', 'bob', 'carl', ''].map((name, index) =>
        clientOf(bindPort, name || 't', [tcp('a', local, ports[index] ?? 0)], { user: name, ...carrier }),
      )
      for (const client of clients) await client.lines.waitFor('start proxy success')
      // A user who is inside goes with the session, or stays with it.
      const talks = await Promise.all(
        ports.map(async (port) => {
          const socket = connect(port, '127.0.0.1')
          cleanUp.add(() => void socket.destroy())
          socket.on('error', () => undefined)
          socket.write('in')
          await once(socket, 'data')
          return socket
        }),
      )
      const since = clients.map((client) => client.lines.lines.length)
      const closed = talks.slice(0, 2).map((socket) => new Promise((resolve) => socket.on('close', resolve)))
      server.reload(completeFrps(config([user('bob', 'new'), user('carl'), user('dora')])).options)
      await lines.waitFor('client exit: user [anna] is not known any more')
      await lines.waitFor('client exit: the token of user [bob] has changed')
      await Promise.all(closed)
      // Who is no user any more logs in as everybody does, with the relay's token.
      await clients[0]?.lines.waitFor("token in login doesn't match token from configuration", since[0])
      await clients[1]?.lines.waitFor("token in login doesn't match token of user [bob]", since[1])
      for (const socket of talks.slice(2)) {
        socket.write('still')
        expect(String((await once(socket, 'data'))[0])).toBe('still')
      }
      const back = clientOf(bindPort, 'new', [tcp('a', local, ports[1] ?? 0)], { user: 'bob', ...carrier })
      await back.lines.waitFor('start proxy success')
      expect(lines.lines.filter((line) => line.includes('client exit'))).toHaveLength(2)
    },
  )

  it('by SIGHUP and by command; a file that is wrong changes nothing and says why', async () => {
    const [bindPort = 0, webPort = 0] = await freePorts(2)
    const toml = (token: string) =>
      `bindAddr = "127.0.0.1"\nbindPort = ${bindPort}\nwebServer.port = ${webPort}\nauth.token = "${token}"\n`
    const path = programs.file('reload.toml', toml('one'))
    const relay = programs.run(cleanUp, 'frps', ['-c', path])
    await relay.lines.waitFor('frps started successfully')
    const client = clientOf(bindPort, 'one', [], { clientID: 'nas' })
    await client.lines.waitFor('login to server success')

    writeFileSync(path, toml('two'))
    relay.kill('SIGHUP')
    await relay.lines.waitFor('success reload conf')
    await clientOf(bindPort, 'two').lines.waitFor('login to server success')

    writeFileSync(path, `${readFileSync(path, 'utf8')}nope = 1\n`)
    relay.kill('SIGHUP')
    await relay.lines.waitFor('reload: the configuration stays as it was: ')
    await clientOf(bindPort, 'two').lines.waitFor('login to server success')

    writeFileSync(path, toml('three').replace(/bindPort = .*/, 'bindPort = 1'))
    const reload = await programs.run(cleanUp, 'frps', ['reload', '-c', path]).over
    expect(reload).toMatchObject({ code: 0, stdout: 'reload success; a restart is needed for [bindPort]\n' })
    await clientOf(bindPort, 'three').lines.waitFor('login to server success')

    const clients = await programs.run(cleanUp, 'frps', ['clients', '-c', path]).over
    expect(clients.stdout).toMatch(/^Client +User +IP +Hostname +Version\n/)
    expect(clients.stdout).toMatch(/^nas +127\.0\.0\.1 /m)
    const since = client.lines.lines.length
    const disconnect = await programs.run(cleanUp, 'frps', ['disconnect', 'nas', '-c', path]).over
    expect(disconnect).toMatchObject({ code: 0, stdout: 'client nas is disconnected\n' })
    await client.lines.waitFor("token in login doesn't match", since)
    const nobody = await programs.run(cleanUp, 'frps', ['disconnect', 'nas', '-c', path]).over
    expect(nobody).toMatchObject({ code: 1, stdout: 'api status code [404]: client nas is not online\n' })
  })
})

describe('the API of a relay', () => {
  it('ends sessions and closes proxies for whoever has the password, on the bind port too', async () => {
    const [bindPort = 0, port = 0] = await freePorts(2)
    const webServer = { user: 'u', password: 'p' }
    const { lines } = await startRelay(cleanUp, { bindPort, webServer, auth: { token: 't' } })
    const proxies = [tcp('web', await echoTcp(cleanUp), port)]
    const client = clientOf(bindPort, 't', proxies, { clientID: 'nas', user: 'me' })
    await client.lines.waitFor('start proxy success')
    const ask = (method: string, path: string, headers = basic('u', 'p')) =>
      askWeb(bindPort, `/~!frp/api${path}`, { method, headers })
    expect((await ask('DELETE', '/proxies/me.web', {})).status).toBe(401)
    expect((await ask('DELETE', '/clients/me.nas', basic('u', 'wrong'))).status).toBe(401)
    expect((await ask('PUT', '/clients/me.nas')).status).toBe(405)
    expect(await json(ask('DELETE', '/proxies/me.web'))).toEqual({ closed: 'me.web' })
    await lines.waitFor('close proxy [me.web] success')
    expect((await converse(port, Buffer.from('x'))).error).toMatchObject({ code: 'ECONNREFUSED' })
    const since = client.lines.lines.length
    expect(await json(ask('DELETE', '/clients/me.nas'))).toEqual({ disconnected: 1 })
    await client.lines.waitFor('start proxy success', since)
    expect((await converse(port, Buffer.from('x'), { end: true })).bytes.toString()).toBe('x')
    expect(await ask('DELETE', '/proxies/nothing')).toMatchObject({ status: 404 })
    const reload = await ask('POST', '/reload')
    expect([reload.status, reload.text]).toEqual([
      400,
      '{"Code":400,"Msg":"this relay has no configuration file to read again"}\n',
    ])
    expect((await ask('GET', '/clients/me.nas')).status).toBe(200)
  })
})
