import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ssh2, { type ClientChannel } from 'ssh2'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { CleanUp, converse, echoHttp, echoTcp, freePorts } from './client-rig.ts'
import { startRelay, type TestServer } from './frps-rig.ts'
import { dialUser, endingOf, wordFor } from './rig/sockets.ts'
import { sshTunnel, toPort } from './rig/ssh.ts'

const folder = mkdtempSync(join(tmpdir(), 'edgefrp-ssh-'))
const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())
afterAll(() => rmSync(folder, { recursive: true }))

interface Gateway extends TestServer {
  ssh: number
  /** Free ports for proxies. */
  ports: number[]
}

async function gateway(config: object = {}, files: object = {}): Promise<Gateway> {
  const [bindPort = 0, bindSsh = 0, ...ports] = await freePorts(5)
  const sshTunnelGateway = { bindPort: bindSsh, autoGenPrivateKeyPath: join(folder, 'host-key'), ...files }
  const started = await startRelay(cleanUp, { bindPort, auth: { token: 'tok' }, ...config, sshTunnelGateway })
  return { ...started, ssh: bindSsh, ports }
}

const refused = async (port: number) => expect((await converse(port, new Uint8Array(0))).error).toHaveProperty('code')

describe('the ssh tunnel gateway', () => {
  it('opens a tcp proxy for ssh -R, shows what frp shows, and carries bytes and half-close', async () => {
    const { ssh, ports, lines, server } = await gateway()
    await lines.waitFor(`frps sshTunnelGateway listen on port ${ssh}`)
    expect(server.sshPort).toBe(ssh)
    const [port = 0] = ports
    const echo = await echoTcp(cleanUp)
    const command = `tcp --token tok --proxy_name web --remote_port ${port}`
    const tunnel = await sshTunnel(cleanUp, ssh, { command, onUser: toPort(echo) })
    expect(await tunnel.shows('RemoteAddress')).toBe(
      `\nfrp (via SSH) (Ctrl+C to quit)\n\nUser: \nProxyName: web\nType: tcp\nRemoteAddress: :${port}\n\n`,
    )
    await lines.waitFor('new proxy [web] type [tcp] success')
    // More than a window of ssh, each way.
    const bytes = randomBytes(5_000_000)
    const { bytes: back, ended, error } = await converse(port, bytes, { end: true })
    expect([back.length, sha(back), ended, error]).toEqual([bytes.length, sha(bytes), true, undefined])
  })

  it('tells the client where its user comes from', async () => {
    const { ssh, ports } = await gateway()
    const [port = 0] = ports
    const from = new Promise<unknown>((resolve, reject) => {
      const onUser = (channel: ClientChannel, info: unknown): void => {
        channel.end('bye')
        resolve(info)
      }
      sshTunnel(cleanUp, ssh, { command: `tcp -t tok -r ${port}`, onUser })
        .then((tunnel) => tunnel.shows('RemoteAddress'))
        .then(() => {
          const user = dialUser(cleanUp, port)
          user.once('connect', () => user.on('data', (data) => user.end(data)))
        })
        .catch(reject)
    })
    expect(await from).toMatchObject({ srcIP: '127.0.0.1', destIP: '0.0.0.0', destPort: 80 })
  })

  it('opens http and tcpmux proxies', async () => {
    const [vhost = 0, mux = 0] = await freePorts(2)
    const { ssh } = await gateway({ vhostHTTPPort: vhost, tcpmuxHTTPConnectPort: mux })
    const web = await echoHttp(cleanUp)
    const http = await sshTunnel(cleanUp, ssh, {
      command: 'http -t tok -d localhost --http_user u --http_pwd p',
      onUser: toPort(web),
    })
    await http.shows(`RemoteAddress: localhost:${vhost}`)
    const url = `http://localhost:${vhost}/`
    expect((await fetch(url, { method: 'POST', body: 'x' })).status).toBe(401)
    const authorization = `Basic ${Buffer.from('u:p').toString('base64')}`
    const answer = await fetch(url, { method: 'POST', body: 'hello', headers: { authorization } })
    expect(await answer.text()).toBe('hello')
    const command = 'tcpmux -t tok -d a.test --mux httpconnect -u me -n m'
    const tcpmux = await sshTunnel(cleanUp, ssh, { command, onUser: toPort(await echoTcp(cleanUp)) })
    await tcpmux.shows('User: me\nProxyName: m\nType: tcpmux')
    const { bytes } = await converse(mux, Buffer.from('CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\nhello'), {
      end: true,
    })
    expect(bytes.toString()).toMatch(/^HTTP\/1\.1 200 .*\r\n\r\nhello$/s)
  })

  it.each([
    ['tcp -t nope', "login to the server failed: token in login doesn't match token from configuration. With "],
    ['tcp -t tok --nope', 'unknown flag: --nope\n'],
    ['udp', 'invalid proxy type: udp, support types: [tcp http https tcpmux stcp]\n'],
    ['tcp -t tok -r 70000', 'port not allowed\n'],
  ])('says what is wrong with %j, and lets the client go with 255', async (command, text) => {
    const { ssh, lines } = await gateway()
    const { shows, over } = await sshTunnel(cleanUp, ssh, { command })
    expect(await shows(text)).toContain(text)
    expect(await over).toBe(255)
    await lines.waitFor('ssh tunnel server run error: ')
  })

  it('answers --help and lets the client go with 0', async () => {
    const { ssh } = await gateway()
    const { shows, over } = await sshTunnel(cleanUp, ssh, { command: 'http --help' })
    await shows('  -d, --custom-domain strings        custom domains\n')
    expect(await over).toBe(0)
  })

  it('keeps a tunnel whose session is closed, and removes the proxy with the connection', async () => {
    const { ssh, ports, lines } = await gateway()
    const [port = 0] = ports
    const echo = await echoTcp(cleanUp)
    const tunnel = await sshTunnel(cleanUp, ssh, { command: `tcp -t tok -n t -r ${port}`, onUser: toPort(echo) })
    tunnel.session.close()
    await lines.waitFor('new proxy [t] type [tcp] success')
    expect((await converse(port, Buffer.from('still'), { end: true })).bytes.toString()).toBe('still')
    tunnel.client.end()
    await lines.waitFor('client exit success')
    await refused(port)
  })

  it('resets users when the connection is cut, as nothing says that the bytes were all', async () => {
    const { ssh, ports } = await gateway()
    const [port = 0] = ports
    const tunnel = await sshTunnel(cleanUp, ssh, {
      command: `tcp -t tok -r ${port}`,
      onUser: (channel) => channel.write('half of'),
    })
    await tunnel.shows('RemoteAddress')
    const user = dialUser(cleanUp, port)
    const ending = endingOf(user)
    user.once('data', () => tunnel.client.destroy())
    expect(wordFor(await ending)).toBe('ECONNRESET')
  })

  it('ends cleanly where the client closes a channel without EOF, as Go clients do', async () => {
    const { ssh, ports } = await gateway()
    const [port = 0] = ports
    const tunnel = await sshTunnel(cleanUp, ssh, {
      command: `tcp -t tok -r ${port}`,
      onUser: (channel) => channel.write('all of it', () => channel.close()),
    })
    await tunnel.shows('RemoteAddress')
    const user = dialUser(cleanUp, port)
    const ending = endingOf(user)
    user.once('end', () => user.end())
    const { bytes, ended } = await ending
    expect([bytes.toString(), ended]).toEqual(['all of it', true])
  })

  it('refuses a user whose service is not there', async () => {
    const { ssh, ports } = await gateway()
    const [port = 0] = ports
    const tunnel = await sshTunnel(cleanUp, ssh, { command: `tcp -t tok -r ${port}` })
    await tunnel.shows('RemoteAddress')
    expect(wordFor(await endingOf(dialUser(cleanUp, port)))).toBe('ECONNRESET')
  })
})

describe('back-pressure of the gateway', { timeout: 60_000 }, () => {
  it('stops a user whose service does not read', async () => {
    const { ssh, ports } = await gateway()
    const [port = 0] = ports
    const opened = later<ClientChannel>()
    const tunnel = await sshTunnel(cleanUp, ssh, {
      command: `tcp -t tok -r ${port}`,
      onUser: (channel) => {
        channel.pause()
        opened.come(channel)
      },
    })
    await tunnel.shows('RemoteAddress')
    const total = 32_000_000
    const user = dialUser(cleanUp, port)
    const written = new Promise<void>((resolve) => user.write(Buffer.alloc(total), () => resolve()))
    const channel = await opened.value
    // Everything between is full when the kernel takes no more for a while.
    const stuck = await stillness(() => user.bytesWritten - user.writableLength)
    expect(stuck).toBeLessThan(total * 0.7)
    const done = later<void>()
    let received = 0
    channel.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (received === total) done.come()
    })
    channel.resume()
    await Promise.all([written, done.value])
  })

  it('stops a service whose user does not read', async () => {
    const { ssh, ports } = await gateway()
    const [port = 0] = ports
    const total = 32_000_000
    const opened = later<ClientChannel>()
    const tunnel = await sshTunnel(cleanUp, ssh, {
      command: `tcp -t tok -r ${port}`,
      onUser: (channel) => {
        channel.end(Buffer.alloc(total))
        opened.come(channel)
      },
    })
    await tunnel.shows('RemoteAddress')
    const user = dialUser(cleanUp, port)
    user.pause()
    const channel = await opened.value
    await stillness(() => channel.writableLength)
    expect(channel.writableFinished).toBe(false)
    user.end()
    const ending = endingOf(user)
    user.resume()
    expect((await ending).bytes.length).toBe(total)
  })
})

describe('who may use the gateway', () => {
  const key = (type: 'rsa' | 'ed25519' = 'rsa') => {
    const pem = { type: 'pkcs1', format: 'pem' } as const
    if (type === 'ed25519') return ssh2.utils.generateKeyPairSync('ed25519', { comment: 'x' })
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const text = privateKey.export(pem).toString()
    const parsed = ssh2.utils.parseKey(text)
    if (parsed instanceof Error) throw parsed
    return { private: text, public: `ssh-rsa ${parsed.getPublicSSH().toString('base64')}` }
  }

  it('is who has a key of authorizedKeysFile: its comment is the user, and no token is asked for', async () => {
    const [alice, bob] = [key(), key('ed25519')]
    const path = join(folder, 'authorized_keys')
    writeFileSync(path, `# people\n${alice.public} alice\n`)
    const { ssh, ports, lines } = await gateway({}, { authorizedKeysFile: path })
    const command = `tcp -n t -u mallory -r ${ports[0]}`
    const tunnel = await sshTunnel(cleanUp, ssh, {
      command,
      privateKey: alice.private,
      onUser: toPort(await echoTcp(cleanUp)),
    })
    await tunnel.shows('User: alice\nProxyName: t\n')
    await lines.waitFor('new proxy [alice.t] type [tcp] success')
    expect((await converse(ports[0] ?? 0, Buffer.from('x'), { end: true })).bytes.toString()).toBe('x')
    const other = { command: 'tcp', privateKey: bob.private }
    await expect(sshTunnel(cleanUp, ssh, other)).rejects.toMatchObject({ level: 'client-authentication' })
    await expect(sshTunnel(cleanUp, ssh, { command, password: 'x' })).rejects.toMatchObject({
      level: 'client-authentication',
    })
    // Read anew for each login.
    appendFileSync(path, `${bob.public.split(' ').slice(0, 2).join(' ')} bob`)
    await (await sshTunnel(cleanUp, ssh, other)).shows('User: bob\n')
  })

  it('is not who only knows the public key, and has six tries', async () => {
    const alice = key()
    const path = join(folder, 'only-alice')
    writeFileSync(path, `${alice.public} alice\n`)
    const { ssh, lines } = await gateway({}, { authorizedKeysFile: path })
    const forged = ssh2.utils.parseKey(key().private)
    if (forged instanceof Error) throw forged
    let asked = 0
    forged.getPublicSSH = () => {
      asked += 1
      return Buffer.from(alice.public.split(' ')[1] ?? '', 'base64')
    }
    const tried = sshTunnel(cleanUp, ssh, {
      command: 'tcp',
      authHandler: (_left, _partial, next) => next({ type: 'publickey', username: 'v0', key: forged }),
    })
    await expect(tried).rejects.toThrow('the relay closed the connection')
    await lines.waitFor('closed: more than 6 attempts to authenticate')
    expect(asked).toBeGreaterThan(0)
  })

  it('is nobody while the file cannot be read', async () => {
    const { ssh, lines } = await gateway({}, { authorizedKeysFile: join(folder, 'missing') })
    const tried = sshTunnel(cleanUp, ssh, { command: 'tcp', privateKey: key().private })
    await expect(tried).rejects.toMatchObject({ level: 'client-authentication' })
    await lines.waitFor('load authorized keys file error: ENOENT')
  })

  it('is nobody whose key exchange costs more than a curve', async () => {
    const { ssh } = await gateway()
    const with18 = { kex: ['diffie-hellman-group18-sha512' as const] }
    await expect(sshTunnel(cleanUp, ssh, { command: 'tcp -t tok', algorithms: with18 })).rejects.toThrow(
      /handshake|key/i,
    )
    const with14 = { kex: ['diffie-hellman-group14-sha256' as const] }
    const tunnel = await sshTunnel(cleanUp, ssh, { command: 'tcp -t tok', algorithms: with14 })
    await tunnel.shows('RemoteAddress')
  })

  it('has the time of the configuration, and the oldest stranger makes room', async () => {
    const limits = { handshakeTimeoutSeconds: 1, maxPendingLogins: 2 }
    const { ssh, lines } = await gateway({ edgefrp: { limits } })
    const strangers = Array.from({ length: 3 }, () => {
      const socket = connect({ port: ssh, host: '127.0.0.1' })
      cleanUp.add(() => void socket.destroy())
      socket.on('error', () => undefined).resume()
      return new Promise<void>((resolve) => socket.once('close', () => resolve()))
    })
    await lines.waitFor('closed: 2 connections without a login')
    await Promise.all(strangers)
    await lines.waitFor('closed: no ssh login within 1 s')
  })

  it.each([
    ['no ssh', 'GET / HTTP/1.1\r\n\r\n'],
    ['a line without an end', 'x'.repeat(20_000)],
    ['a packet of 2 GiB', 'SSH-2.0-x\r\n\x7f\xff\xff\xff\x04'],
  ])('is nobody who speaks %s, and everybody else is served on', async (_, bytes) => {
    const { ssh } = await gateway()
    await converse(ssh, Buffer.from(bytes, 'latin1'))
    const tunnel = await sshTunnel(cleanUp, ssh, { command: 'tcp -t tok' })
    await tunnel.shows('RemoteAddress')
  })
})

/** A value that comes once. */
function later<T>(): { value: Promise<T>; come: (value: T) => void } {
  let come: (value: T) => void = () => undefined
  const value = new Promise<T>((resolve) => {
    come = resolve
  })
  return { value, come }
}

/** The value once it has stopped changing. */
async function stillness(value: () => number): Promise<number> {
  let [last, since] = [value(), Date.now()]
  while (Date.now() - since < 300) {
    await new Promise((resolve) => setImmediate(resolve))
    if (value() !== last) [last, since] = [value(), Date.now()]
  }
  return last
}

function sha(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
