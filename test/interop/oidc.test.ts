import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { CleanUp, converse, echoTcp, freePorts, Lines, startClient } from '../e2e/client-rig.ts'
import { startRelay } from '../e2e/frps-rig.ts'
import { AUDIENCE, CLIENTS, SECRET, startOpenId } from '../e2e/rig/openid.ts'

const bin = process.env['FRP_BIN'] ?? ''
const hasFrp = bin !== '' && existsSync(join(bin, 'frpc')) && existsSync(join(bin, 'frps'))
if (!hasFrp) console.warn('SKIPPED: oidc with stock frp needs FRP_BIN, a folder with frps and frpc')

const SCOPES = ['HeartBeats', 'NewWorkConns']
const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

/** A stock program with these lines of TOML. */
function start(program: 'frpc' | 'frps', config: readonly string[]): Lines {
  const folder = mkdtempSync(join(tmpdir(), 'edgefrp-interop-'))
  const path = join(folder, `${program}.toml`)
  const common = ['log.disablePrintColor = true', 'log.level = "trace"', 'auth.method = "oidc"']
  writeFileSync(path, [...common, `auth.additionalScopes = ${JSON.stringify(SCOPES)}`, ...config].join('\n'))
  const lines = new Lines()
  const child: ChildProcess = spawn(join(bin, program), ['-c', path], { stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.split('\n')) lines.add(`${line}\n`)
  })
  cleanUp.add(async () => {
    const over = new Promise((resolve) => child.once('close', resolve))
    child.kill('SIGKILL')
    await over
    rmSync(folder, { recursive: true })
  })
  return lines
}

async function echo(port: number): Promise<string> {
  return (await converse(port, Buffer.from('through'), { until: 7 })).bytes.toString()
}

describe.skipIf(!hasFrp)('auth.method oidc', () => {
  it('lets a stock frpc into our relay, with heartbeats and work connections, and a wrong secret not', async () => {
    const openId = await startOpenId(cleanUp)
    const { server } = await startRelay(cleanUp, {
      bindPort: 0,
      auth: { method: 'oidc', additionalScopes: SCOPES, oidc: { issuer: openId.issuer, audience: AUDIENCE } },
    })
    const [remotePort = 0] = await freePorts(1)
    const stock = [
      'serverAddr = "127.0.0.1"',
      `serverPort = ${server.bindPort}`,
      'transport.heartbeatInterval = 1',
      `auth.oidc.tokenEndpointURL = "${openId.tokenEndpoint}"`,
      `auth.oidc.clientID = "${CLIENTS[0]}"`,
    ]
    const client = start('frpc', [
      ...stock,
      `auth.oidc.clientSecret = "${SECRET}"`,
      '[[proxies]]',
      'name = "echo"',
      'type = "tcp"',
      `localPort = ${await echoTcp(cleanUp)}`,
      `remotePort = ${remotePort}`,
    ])
    await client.waitFor('[echo] start proxy success')
    expect(await echo(remotePort)).toBe('through')
    await client.waitFor('receive heartbeat from server')
    await start('frpc', [...stock, 'auth.oidc.clientSecret = "wrong"']).waitFor('login to the server failed')
  })

  it('lets our client into a stock frps, with heartbeats and work connections', async () => {
    const openId = await startOpenId(cleanUp)
    const [bindPort = 0, remotePort = 0] = await freePorts(2)
    const relay = start('frps', [
      'bindAddr = "127.0.0.1"',
      `bindPort = ${bindPort}`,
      `auth.oidc.issuer = "${openId.issuer}"`,
      `auth.oidc.audience = "${AUDIENCE}"`,
    ])
    await relay.waitFor('frps started successfully')
    const client = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: bindPort,
      transport: { heartbeatInterval: 1 },
      auth: {
        method: 'oidc',
        additionalScopes: SCOPES,
        oidc: { clientID: CLIENTS[1], clientSecret: SECRET, tokenEndpointURL: openId.tokenEndpoint },
      },
      proxies: [{ name: 'echo', type: 'tcp', localPort: await echoTcp(cleanUp), remotePort }],
    })
    await client.lines.waitFor('[echo] start proxy success')
    expect(await echo(remotePort)).toBe('through')
    await client.lines.waitFor('receive heartbeat from server')
  })
})
