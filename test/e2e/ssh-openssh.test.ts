import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { CleanUp, converse, echoTcp, freePorts } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'
import { HAS_OPENSSH, openSsh } from './rig/openssh.ts'
import { dialUser, endingOf, service, wordFor } from './rig/sockets.ts'

const folder = mkdtempSync(join(tmpdir(), 'edgefrp-openssh-'))
const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())
afterAll(() => rmSync(folder, { recursive: true }))

const ssh = (port: number, local: number, command: string, ...options: string[]) =>
  openSsh(cleanUp, port, local, command, ...options)

async function gateway(files: object = {}) {
  const [bindPort = 0, sshPort = 0, port = 0] = await freePorts(3)
  const sshTunnelGateway = { bindPort: sshPort, autoGenPrivateKeyPath: join(folder, 'host-key'), ...files }
  const { lines } = await startRelay(cleanUp, { bindPort, auth: { token: 'tok' }, sshTunnelGateway })
  return { sshPort, port, lines }
}

describe.skipIf(!HAS_OPENSSH)('OpenSSH at the gateway', () => {
  it('makes a tunnel that carries bytes and half-close, and Ctrl+C ends it', async () => {
    const { sshPort, port, lines } = await gateway()
    const client = ssh(sshPort, await echoTcp(cleanUp), `tcp --token tok --proxy_name t --remote_port ${port}`)
    await client.shows(`ProxyName: t\nType: tcp\nRemoteAddress: :${port}\n`)
    expect(statSync(join(folder, 'host-key')).mode & 0o777).toBe(0o600)
    const bytes = new Uint8Array(3_000_000).map((_, index) => index % 251)
    const { bytes: back, ended, error } = await converse(port, bytes, { end: true })
    expect([Buffer.compare(back, bytes), ended, error]).toEqual([0, true, undefined])
    client.kill('SIGINT')
    await lines.waitFor('client exit success')
    expect((await converse(port, new Uint8Array(0))).error).toHaveProperty('code', 'ECONNREFUSED')
  })

  it('brings the end of a service before its user has ended, and the other way round', async () => {
    const { sshPort, port } = await gateway()
    const early = await service(cleanUp, (socket) => {
      socket.end('early')
      socket.once('data', (data) => lateText(data.toString()))
    })
    let lateText: (text: string) => void = () => undefined
    const late = new Promise<string>((resolve) => {
      lateText = resolve
    })
    await ssh(sshPort, early, `tcp -t tok -r ${port}`).shows('RemoteAddress')
    const user = dialUser(cleanUp, port)
    const ending = endingOf(user)
    user.once('end', () => user.end('late'))
    expect((await ending).bytes.toString()).toBe('early')
    expect(await late).toBe('late')
  })

  it('is cut, and its users see a reset', async () => {
    const { sshPort, port } = await gateway()
    const half = await service(cleanUp, (socket) => void socket.write('half of'))
    const client = ssh(sshPort, half, `tcp -t tok -r ${port}`)
    await client.shows('RemoteAddress')
    const user = dialUser(cleanUp, port)
    user.once('data', () => client.kill('SIGKILL'))
    expect(wordFor(await endingOf(user))).toBe('ECONNRESET')
  })

  it('reads why it was refused, and leaves with 255; with 0 after --help', async () => {
    const { sshPort } = await gateway()
    const refused = ssh(sshPort, 1, 'tcp --token nope')
    await refused.shows("login to the server failed: token in login doesn't match token from configuration.")
    expect(await refused.over).toBe(255)
    const helped = ssh(sshPort, 1, 'stcp --help')
    await helped.shows('      --allow-users strings          allow visitor users\n')
    expect(await helped.over).toBe(0)
  })

  it.each(['ed25519', 'ecdsa', 'rsa'])('logs in by a key of type %s, and needs no token then', async (type) => {
    const path = join(folder, `id-${type}`)
    spawnSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', 'alice', '-f', path])
    const { sshPort, port } = await gateway({ authorizedKeysFile: `${path}.pub` })
    expect(readFileSync(`${path}.pub`, 'utf8')).toContain(' alice')
    const client = ssh(sshPort, await echoTcp(cleanUp), `tcp -n t -r ${port}`, '-i', path, '-o', 'IdentitiesOnly=yes')
    await client.shows('User: alice\nProxyName: t\n')
    const stranger = ssh(sshPort, 1, 'tcp', '-o', 'IdentitiesOnly=yes')
    await stranger.shows('Permission denied (publickey)')
    expect(await stranger.over).toBe(255)
  })

  it('exchanges keys anew under load', async () => {
    const { sshPort, port } = await gateway()
    const local = await echoTcp(cleanUp)
    await ssh(sshPort, local, `tcp -t tok -r ${port}`, '-o', 'RekeyLimit=1M').shows('RemoteAddress')
    const bytes = new Uint8Array(8_000_000).map((_, index) => index % 253)
    const { bytes: back, ended, error } = await converse(port, bytes, { end: true })
    expect([Buffer.compare(back, bytes), ended, error]).toEqual([0, true, undefined])
  })
})
