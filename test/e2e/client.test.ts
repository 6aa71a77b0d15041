import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { nodeCrypto } from '../../node/crypto.ts'
import { socketStream } from '../../node/socket.ts'
import { serverTls } from '../../node/tls.ts'
import { publicIdOf } from '../../protocol/frp/run-id.ts'
import { CleanUp, echoTcp, freePorts, listenTcp, startClient } from './client-rig.ts'
import { collect, FakeRelay } from './fake-relay.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

/** A client's configuration for a relay on loopback, without TLS. */
function configFor(relay: { port: number }, more: object = {}): object {
  return { serverAddr: '127.0.0.1', serverPort: relay.port, transport: { tls: { enable: false } }, ...more }
}

function tcpProxy(name: string, localPort: number, more: object = {}): object {
  return { name, type: 'tcp', localPort, remotePort: 0, ...more }
}

describe('login', () => {
  it('tells who it is, and says our features in a key of their own', async () => {
    const relay = await FakeRelay.start(cleanUp)
    startClient(cleanUp, configFor(relay, { user: 'me', clientID: 'nas', metadatas: { a: 'b' }, auth: { token: '' } }))
    const { login } = await relay.nextSession()
    expect(login).toMatchObject({ user: 'me', client_id: 'nas', run_id: '', pool_count: 1 })
    expect({ ...login.metas }).toEqual({ a: 'b' })
    expect(login.edgefrp?.features).toEqual(['half-close', 'sleeps'])
  })

  it('ends with frp’s text when the first login is refused and loginFailExit is on', async () => {
    const relay = await FakeRelay.start(cleanUp, { onLogin: () => ({ error: 'no such\nuser' }) })
    const { over, lines } = startClient(cleanUp, configFor(relay))
    expect((await over)?.message).toBe(
      'login to the server failed: no such\nuser. With loginFailExit enabled, no additional retries will be attempted',
    )
    expect(lines.lines.every((line) => line.indexOf('\n') === line.length - 1)).toBe(true)
  })

  it('goes on trying when loginFailExit is off', async () => {
    let tries = 0
    const relay = await FakeRelay.start(cleanUp, {
      onLogin: () => (++tries < 4 ? { error: 'not yet' } : { run_id: 'r' }),
    })
    const { lines } = startClient(cleanUp, configFor(relay, { loginFailExit: false }))
    await lines.waitFor('login to server success')
    expect(tries).toBe(4)
    expect(lines.lines.filter((line) => line.includes('connect to server error: not yet'))).toHaveLength(3)
  })

  it('never writes the run id, which is a secret', async () => {
    const runId = 'a-secret-run-id-0123456789'
    const relay = await FakeRelay.start(cleanUp, { onLogin: () => ({ run_id: runId }) })
    const { lines } = startClient(cleanUp, configFor(relay, { proxies: [tcpProxy('p', 1)] }))
    await lines.waitFor(`login to server success, get run id [${publicIdOf(runId, nodeCrypto)}]`)
    await lines.waitFor('[p] start proxy success')
    expect(lines.lines.join('')).not.toContain(runId)
  })

  it('comes back at once after a lost session, with its run id and its proxies', async () => {
    const relay = await FakeRelay.start(cleanUp)
    startClient(cleanUp, configFor(relay, { proxies: [tcpProxy('p', 1)] }))
    const first = await relay.nextSession()
    await first.next('NewProxy')
    const lostAt = performance.now()
    relay.dropAll()
    const second = await relay.nextSession()
    expect(performance.now() - lostAt).toBeLessThan(500)
    expect(second.login.run_id).toBe(first.runId)
    expect((await second.next('NewProxy')).proxy_name).toBe('p')
  })

  it('keeps the run id over a restart in edgefrp.stateFile, readable by its owner alone', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'edgefrp-'))
    cleanUp.add(() => rmSync(folder, { recursive: true }))
    const stateFile = join(folder, 'state.json')
    const relay = await FakeRelay.start(cleanUp)
    const config = configFor(relay, { edgefrp: { stateFile } })
    const first = startClient(cleanUp, config)
    await first.lines.waitFor('login to server success')
    first.service.close()
    expect(statSync(stateFile).mode & 0o777).toBe(0o600)
    const { lines } = startClient(cleanUp, config)
    await lines.waitFor('login to server success')
    expect(relay.logins.map((login) => login.run_id)).toEqual(['', 'run-1'])
    expect(JSON.parse(readFileSync(stateFile, 'utf8'))).toEqual({
      v: 1,
      runIds: { [`127.0.0.1:${relay.port}`]: 'run-1' },
    })
  })
})

describe('liveness', () => {
  it('notices a dead link within 15 s where no key says otherwise', async () => {
    const relay = await FakeRelay.start(cleanUp)
    const speed = 50
    const { lines } = startClient(cleanUp, configFor(relay), speed)
    await lines.waitFor('login to server success')
    const from = performance.now()
    relay.freeze()
    expect(await lines.waitFor('session ended')).toContain('not answered in 5000 ms')
    expect((performance.now() - from) * speed).toBeLessThan(25_000)
    await relay.nextSession()
  })

  it('pings no relay that sleeps, unless the file says so', async () => {
    const relay = await FakeRelay.start(cleanUp, { features: ['sleeps'] })
    const left = startClient(cleanUp, configFor(relay), 50)
    const transport = { tls: { enable: false }, tcpMuxKeepaliveInterval: 20 }
    const woken = startClient(cleanUp, configFor(relay, { transport }), 50)
    await left.lines.waitFor('login to server success')
    await woken.lines.waitFor('login to server success')
    relay.freeze()
    // 20 s and 10 s of its clock; the other one has had time for two rounds of 10 and 5.
    expect(await woken.lines.waitFor('session ended')).toContain('not answered in 10000 ms')
    expect(left.lines.lines.join('')).not.toContain('session ended')
  })

  it('gives a silent relay up and comes back', async () => {
    const relay = await FakeRelay.start(cleanUp, { tcpMux: false })
    const transport = { tls: { enable: false }, tcpMux: false, heartbeatInterval: 1, heartbeatTimeout: 1 }
    const { lines } = startClient(cleanUp, configFor(relay, { transport }))
    const session = await relay.nextSession()
    await session.next('Ping')
    session.control.pause()
    await lines.waitFor('heartbeat timeout')
    await relay.nextSession()
  })

  it('ends the session when a heartbeat is refused', async () => {
    const relay = await FakeRelay.start(cleanUp)
    const { lines } = startClient(cleanUp, configFor(relay))
    const session = await relay.nextSession()
    session.send({ type: 'Pong', error: 'token in heartbeat doesn’t match' })
    await lines.waitFor('pong message contains error: token in heartbeat')
    await relay.nextSession()
  })
})

describe('proxies', () => {
  it('asks again for what the relay refused, and names the proxy without its user', async () => {
    const relay = await FakeRelay.start(cleanUp, { acceptsProxies: false })
    const { lines, service } = startClient(cleanUp, configFor(relay, { user: 'me', proxies: [tcpProxy('p', 1)] }))
    const session = await relay.nextSession()
    expect((await session.next('NewProxy')).proxy_name).toBe('me.p')
    session.send({ type: 'NewProxyResp', proxy_name: 'me.p', error: 'port already used' })
    await lines.waitFor('[p] start error: port already used')
    expect(service.control?.manager.statuses()).toMatchObject([{ name: 'p', phase: 'start error' }])
  })

  it('closes a work connection for a proxy that is not configured, and dials nothing', async () => {
    let dialled = 0
    const port = await listenTcp(cleanUp, () => {
      dialled += 1
    })
    const relay = await FakeRelay.start(cleanUp)
    startClient(cleanUp, configFor(relay, { proxies: [tcpProxy('mine', port)] }))
    const session = await relay.nextSession()
    await session.next('NewProxy')
    for (const name of ['other', '', '__proto__', 'mine ', '127.0.0.1:22']) {
      const { error } = await collect(await session.user(name))
      expect(error, name).toBeDefined()
    }
    expect(dialled).toBe(0)
  })

  it('resets the work connection when the local service does not answer', async () => {
    const [closed = 0] = await freePorts(1)
    const relay = await FakeRelay.start(cleanUp)
    const { lines } = startClient(cleanUp, configFor(relay, { proxies: [tcpProxy('p', closed)] }))
    const session = await relay.nextSession()
    await session.next('NewProxy')
    const { error, ended } = await collect(await session.user('p'))
    expect({ isReset: error !== undefined, ended }).toEqual({ isReset: true, ended: false })
    await lines.waitFor(`connect to local service [127.0.0.1:${closed}] error: `)
  })

  it('loses nothing of what a user sends before the local service is connected', async () => {
    const port = await echoTcp(cleanUp)
    const relay = await FakeRelay.start(cleanUp)
    startClient(cleanUp, configFor(relay, { proxies: [tcpProxy('p', port)] }))
    const session = await relay.nextSession()
    await session.next('NewProxy')
    const stream = await session.user('p')
    stream.write(Buffer.from('first words'))
    const answer = await new Promise<string>((resolve) => {
      stream.attach({
        onData(chunk) {
          resolve(Buffer.from(chunk).toString())
          return true
        },
        onEnd: () => undefined,
        onDrain: () => undefined,
        onClose: () => undefined,
      })
    })
    expect(answer).toBe('first words')
  })
})

describe('a health check', () => {
  it('offers the proxy only while the service is well', async () => {
    const [port = 0] = await freePorts(1)
    const relay = await FakeRelay.start(cleanUp)
    const healthCheck = { type: 'tcp', intervalSeconds: 1, timeoutSeconds: 1, maxFailed: 1 }
    const { lines, service } = startClient(
      cleanUp,
      configFor(relay, { proxies: [tcpProxy('p', port, { healthCheck })] }),
    )
    const session = await relay.nextSession()
    await lines.waitFor('do one health check failed')
    expect(service.control?.manager.statuses()).toMatchObject([{ phase: 'new' }])
    const own = new CleanUp()
    await listenTcp(own, (socket) => socket.end(), port)
    await session.next('NewProxy')
    await lines.waitFor('[p] health check success')
    await own.run()
    await session.next('CloseProxy')
    await lines.waitFor('[p] health check failed')
    expect(service.control?.manager.statuses()).toMatchObject([{ phase: 'check failed' }])
  })
})

describe('connecting', () => {
  it('gives up within dialServerTimeout, whichever layer hangs', async () => {
    const silent = await listenTcp(cleanUp, () => undefined)
    const layers = [
      {},
      { protocol: 'websocket', tls: { enable: false } },
      { protocol: 'websocket' },
      { protocol: 'wss' },
      { proxyURL: `http://127.0.0.1:${silent}` },
      { proxyURL: `socks5://127.0.0.1:${silent}` },
    ]
    await Promise.all(
      layers.map(async (keys) => {
        const { over } = startClient(
          cleanUp,
          configFor({ port: silent }, { transport: { dialServerTimeout: 1, ...keys } }),
        )
        expect((await over)?.message, JSON.stringify(keys)).toContain('no connection within 1 s')
      }),
    )
  })

  it('goes through an HTTP or a SOCKS5 proxy, TLS and all', async () => {
    const tls = serverTls({})
    const relay = await FakeRelay.start(cleanUp, { linkOf: async (socket) => socketStream(await tls.accept(socket)) })
    const port = await forwardProxy()
    for (const proxyURL of [`http://127.0.0.1:${port}`, `socks5://127.0.0.1:${port}`]) {
      startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: relay.port, user: proxyURL, transport: { proxyURL } })
      expect((await relay.nextSession()).login.user).toBe(proxyURL)
    }
  })

  it('refuses what is not built, by name', async () => {
    for (const protocol of ['kcp', 'quic']) {
      const { over } = startClient(cleanUp, configFor({ port: 1 }, { transport: { protocol } }))
      expect((await over)?.message).toContain(`transport.protocol ${protocol} is not built`)
    }
  })
})

/** A forward proxy that speaks CONNECT and SOCKS5 on one port. */
function forwardProxy(): Promise<number> {
  return listenTcp(cleanUp, (socket) => {
    const pipeTo = (port: number, host: string, answer: string): void => {
      const target = connect(port, host, () => {
        socket.write(Buffer.from(answer, 'latin1'))
        socket.pipe(target).pipe(socket)
      })
      target.on('error', () => socket.destroy())
      cleanUp.add(() => {
        target.destroy()
      })
    }
    socket.once('data', (first) => {
      const authority = /^CONNECT ([\d.]+):(\d+) /.exec(first.toString())
      if (authority !== null) {
        pipeTo(Number(authority[2]), authority[1] ?? '', 'HTTP/1.1 200 Connection established\r\n\r\n')
        return
      }
      socket.write(Buffer.of(5, 0))
      socket.once('data', (ask) => {
        const host = [...ask.subarray(4, 8)].join('.')
        pipeTo(ask.readUInt16BE(8), host, '\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00')
      })
    })
  })
}

describe('the end of a connection', () => {
  /** A service that answers only when the question is over: what stock frp breaks. */
  function answersAtTheEnd(): Promise<number> {
    return listenTcp(cleanUp, (socket) => {
      let asked = 0
      socket.on('data', (part) => {
        asked += part.length
      })
      socket.on('end', () => socket.end(`asked ${asked}`))
    })
  }

  it('carries a half-close to the service and its answer back', async () => {
    const relay = await FakeRelay.start(cleanUp, { features: ['half-close'] })
    startClient(cleanUp, configFor(relay, { proxies: [tcpProxy('p', await answersAtTheEnd())] }))
    const session = await relay.nextSession()
    await session.next('NewProxy')
    const stream = await session.user('p')
    stream.write(Buffer.from('question'))
    stream.end()
    expect(await collect(stream)).toMatchObject({ bytes: Buffer.from('asked 8'), ended: true, error: undefined })
  })

  it('closes both ways when a stock relay ends, as stock frpc does', async () => {
    const relay = await FakeRelay.start(cleanUp)
    const served = new Promise<Socket>((resolve) => {
      void listenTcp(cleanUp, resolve).then((port) => {
        startClient(cleanUp, configFor(relay, { proxies: [tcpProxy('p', port)] }))
      })
    })
    const session = await relay.nextSession()
    await session.next('NewProxy')
    const stream = await session.user('p')
    stream.end()
    const { ended, error } = await collect(stream)
    expect({ ended, error }).toEqual({ ended: true, error: undefined })
    const local = await served
    await new Promise((resolve) => local.on('end', resolve).resume())
  })

  it('tells a reset of the service as a reset, and a reset of the user to the service', async () => {
    const relay = await FakeRelay.start(cleanUp, { features: ['half-close'] })
    const errors: (Error | undefined)[] = []
    let serve: (socket: Socket) => void = () => undefined
    const arrived = new Promise<Socket>((resolve) => {
      serve = resolve
    })
    const port = await listenTcp(cleanUp, (socket) => {
      socket.on('error', (error) => errors.push(error))
      socket.on('data', (part) => {
        if (part.toString() === 'break') socket.resetAndDestroy()
        else serve(socket)
      })
    })
    startClient(cleanUp, configFor(relay, { proxies: [tcpProxy('p', port)] }))
    const session = await relay.nextSession()
    await session.next('NewProxy')
    const broken = await session.user('p')
    broken.write(Buffer.from('break'))
    const { ended, error } = await collect(broken)
    expect({ ended, isReset: error !== undefined }).toEqual({ ended: false, isReset: true })
    const left = await session.user('p')
    left.write(Buffer.from('hello'))
    const second = await arrived
    const gone = new Promise((resolve) => second.on('close', resolve))
    left.destroy()
    await gone
    expect(errors).toMatchObject([{ code: 'ECONNRESET' }])
  })

  it('cuts local connections with a reset when the session dies: a cut never looks complete', async () => {
    const relay = await FakeRelay.start(cleanUp, { features: ['half-close'] })
    const error = new Promise<Error>((resolve) => {
      void listenTcp(cleanUp, (socket) => {
        socket.on('error', resolve)
        socket.on('data', () => relay.dropAll())
      }).then((port) => startClient(cleanUp, configFor(relay, { proxies: [tcpProxy('p', port)] })))
    })
    const session = await relay.nextSession()
    await session.next('NewProxy')
    const stream = await session.user('p')
    stream.write(Buffer.from('half of a file'))
    expect(await error).toMatchObject({ code: 'ECONNRESET' })
  })
})
