import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer } from 'node:tls'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { selfSigned } from '../../node/certificate.ts'
import { CleanUp, converse, echoHttp, echoTcp, freePorts } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'
import { ask, basic } from './rig/http.ts'
import { HAS_OPENSSH, openSsh } from './rig/openssh.ts'
import { sshTunnel, toPort } from './rig/ssh.ts'
import { startVisitors } from './visitor-rig.ts'

const folder = mkdtempSync(join(tmpdir(), 'edgefrp-ssh-types-'))
const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())
afterAll(() => rmSync(folder, { recursive: true }))

/** Opens `ssh -R :80:127.0.0.1:LOCAL v0@relay COMMAND` and waits for a text that it shows. */
type Open = (port: number, local: number, command: string, shown: string) => Promise<unknown>

const CLIENTS: { client: string; isHere: boolean; open: Open }[] = [
  {
    client: 'ssh2',
    isHere: true,
    open: async (port, local, command, shown) =>
      (await sshTunnel(cleanUp, port, { command, onUser: toPort(local) })).shows(shown),
  },
  {
    client: 'OpenSSH',
    isHere: HAS_OPENSSH,
    open: (port, local, command, shown) => openSsh(cleanUp, port, local, command).shows(shown),
  },
]

async function gateway() {
  const [bindPort = 0, ssh = 0, http = 0, https = 0, mux = 0, tcp = 0, local = 0] = await freePorts(7)
  const { lines } = await startRelay(cleanUp, {
    bindPort,
    auth: { token: 'tok' },
    vhostHTTPPort: http,
    vhostHTTPSPort: https,
    tcpmuxHTTPConnectPort: mux,
    sshTunnelGateway: { bindPort: ssh, autoGenPrivateKeyPath: join(folder, 'host-key') },
  })
  return { bindPort, ssh, http, https, mux, tcp, local, lines }
}

/** A TLS server that echoes; answers its port. */
async function secureEcho(): Promise<number> {
  const server = createServer(selfSigned(), (socket) => {
    socket.on('error', () => socket.destroy())
    socket.pipe(socket)
  })
  cleanUp.add(() => new Promise<void>((closed) => server.close(() => closed())))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port // it listens on a port
}

/** What comes back of `text` from the server that this name leads to. */
function talkTls(port: number, servername: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', servername, rejectUnauthorized: false })
    cleanUp.add(() => void socket.destroy())
    socket.on('error', reject)
    let back = ''
    socket.setEncoding('utf8').on('data', (part: string) => {
      back += part
    })
    socket.on('end', () => resolve(back))
    socket.end(text)
  })
}

for (const { client, isHere, open } of CLIENTS) {
  describe.skipIf(!isHere)(`a proxy that ${client} opens by ssh -R`, () => {
    it('of type tcp is a port', async () => {
      const { ssh, tcp } = await gateway()
      await open(ssh, await echoTcp(cleanUp), `tcp -t tok -n t -r ${tcp}`, `Type: tcp\nRemoteAddress: :${tcp}\n`)
      expect((await converse(tcp, Buffer.from('hello'), { end: true })).bytes.toString()).toBe('hello')
    })

    it('of type http has domains, a password, and requests one after the other', async () => {
      const { ssh, http } = await gateway()
      const command = 'http -t tok --custom-domain a.test,b.test --http_user u --http_pwd p'
      await open(ssh, await echoHttp(cleanUp), command, `RemoteAddress: a.test:${http},b.test:${http}`)
      for (const host of ['a.test', 'b.test', 'a.test']) {
        const { status, text } = await ask(http, {
          method: 'POST',
          body: host,
          headers: { host, Authorization: basic('u', 'p') },
        })
        expect([status, text]).toEqual([200, host])
      }
      expect((await ask(http, { headers: { host: 'a.test' } })).status).toBe(401)
      expect((await ask(http, { headers: { host: 'c.test', Authorization: basic('u', 'p') } })).status).toBe(404)
    })

    it('of type https is found by the name in TLS, which ends at the service', async () => {
      const { ssh, https } = await gateway()
      await open(ssh, await secureEcho(), 'https -t tok -d s.test', `Type: https\nRemoteAddress: s.test:${https}\n`)
      const big = 'x'.repeat(300_000)
      expect((await talkTls(https, 's.test', big)) === big).toBe(true)
      await expect(talkTls(https, 'other.test', 'x')).rejects.toHaveProperty('code')
    })

    it('of type tcpmux is found by CONNECT', async () => {
      const { ssh, mux } = await gateway()
      await open(ssh, await echoTcp(cleanUp), 'tcpmux -t tok -d m.test --mux httpconnect', 'Type: tcpmux\n')
      const request = 'CONNECT m.test:80 HTTP/1.1\r\nHost: m.test\r\n\r\nhello'
      expect((await converse(mux, Buffer.from(request), { end: true })).bytes.toString()).toMatch(
        /^HTTP\/1\.1 200 .*\r\n\r\nhello$/s,
      )
    })

    it('of type stcp lets in who has its secret, and whose user it allows', async () => {
      const { ssh, bindPort, local, lines } = await gateway()
      const [other = 0] = await freePorts(1)
      const command = 'stcp -t tok -u alice -n s --sk secret --allow-users bob'
      await open(ssh, await echoTcp(cleanUp), command, 'User: alice\nProxyName: s\nType: stcp\n')
      const visitor = (user: string, port: number) =>
        startVisitors(cleanUp, {
          serverAddr: '127.0.0.1',
          serverPort: bindPort,
          user,
          auth: { token: 'tok' },
          visitors: [
            { name: 'v', type: 'stcp', serverUser: 'alice', serverName: 's', secretKey: 'secret', bindPort: port },
          ],
        }).lines.waitFor('login to server success')
      await Promise.all([visitor('bob', local), visitor('eve', other)])
      expect((await converse(local, Buffer.from('hello'), { end: true })).bytes.toString()).toBe('hello')
      expect((await converse(other, Buffer.from('hello'), { end: true })).bytes.length).toBe(0)
      await lines.waitFor('user [eve] not allowed')
    })
  })
}
