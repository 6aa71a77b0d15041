import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  askUdp,
  CleanUp,
  converse,
  echoHttp,
  echoTcp,
  echoUdp,
  freePorts,
  Lines,
  startClient,
} from '../e2e/client-rig.ts'
import { hasV2 } from './stock.ts'

const frps = join(process.env['FRP_BIN'] ?? '', 'frps')
const hasFrps = process.env['FRP_BIN'] !== undefined && existsSync(frps)
if (!hasFrps) console.warn('SKIPPED: interop with stock frps needs FRP_BIN, a folder with frps and frpc')

const TOKEN = 'interop-token'
const TRANSPORTS = {
  tcp: { tls: { enable: false } },
  'tcp with TLS': {},
  'tcp with TLS behind the head byte': { tls: { disableCustomTLSFirstByte: false } },
  websocket: { protocol: 'websocket', tls: { enable: false } },
  'websocket with TLS inside': { protocol: 'websocket' },
}
const WIRES = hasV2(frps) ? (['v1', 'v2'] as const) : (['v1'] as const)
const WRAPPINGS = {
  plain: {},
  encrypted: { useEncryption: true },
  compressed: { useCompression: true },
  both: { useEncryption: true, useCompression: true },
}
const TYPES = ['tcp', 'udp', 'http'] as const

interface Relay {
  port: number
  httpPort: number
  lines: Lines
  child: ChildProcess
}

/** A stock frps with a configuration of its own; `extra` are lines of TOML. */
async function startFrps(cleanUp: CleanUp, tcpMux: boolean, bindPort?: number): Promise<Relay> {
  const [free = 0, httpPort = 0] = await freePorts(2)
  const port = bindPort ?? free
  const folder = mkdtempSync(join(tmpdir(), 'edgefrp-interop-'))
  const file = join(folder, 'frps.toml')
  writeFileSync(
    file,
    [
      'bindAddr = "127.0.0.1"',
      `bindPort = ${port}`,
      `vhostHTTPPort = ${httpPort}`,
      `auth.token = "${TOKEN}"`,
      'auth.additionalScopes = ["HeartBeats", "NewWorkConns"]',
      `transport.tcpMux = ${tcpMux}`,
      'log.level = "trace"',
      'log.disablePrintColor = true',
    ].join('\n'),
  )
  const lines = new Lines()
  const child = spawn(frps, ['-c', file], { stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.split('\n')) lines.add(`${line}\n`)
  })
  cleanUp.add(() => {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true })
  })
  await lines.waitFor('frps started successfully')
  return { port, httpPort, lines, child }
}

function post(port: number, host: string, body: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const call = request({ port, host: '127.0.0.1', method: 'POST', headers: { host }, agent: false }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('end', () => resolve(Buffer.concat(parts)))
    })
    call.on('error', reject)
    call.end(body)
  })
}

describe.skipIf(!hasFrps)('our client at a stock frps', () => {
  for (const tcpMux of [true, false]) {
    describe(`tcpMux ${tcpMux}`, () => {
      const cleanUp = new CleanUp()
      let relay: Relay
      let local: Record<(typeof TYPES)[number], number>

      beforeAll(async () => {
        relay = await startFrps(cleanUp, tcpMux)
        local = { tcp: await echoTcp(cleanUp), udp: await echoUdp(cleanUp), http: await echoHttp(cleanUp) }
      })
      afterAll(() => cleanUp.run())

      for (const [transport, keys, wireProtocol] of Object.entries(TRANSPORTS).flatMap(([name, keys]) =>
        WIRES.map((wire) => [name, keys, wire] as const),
      )) {
        it(`carries tcp, udp and http over ${transport}, wire ${wireProtocol}, wrapped in every way`, {
          timeout: 30_000,
        }, async () => {
          const own = new CleanUp()
          const ports = await freePorts(Object.keys(WRAPPINGS).length)
          const cases = Object.entries(WRAPPINGS).flatMap(([wrapping, wrap], i) =>
            TYPES.map((type) => ({ type, name: `${type}-${wrapping}`, wrap, remotePort: ports[i] ?? 0 })),
          )
          try {
            const { lines } = startClient(own, {
              serverAddr: '127.0.0.1',
              serverPort: relay.port,
              user: 'me',
              auth: { token: TOKEN, additionalScopes: ['HeartBeats', 'NewWorkConns'] },
              transport: { tcpMux, heartbeatInterval: 1, heartbeatTimeout: 20, wireProtocol, ...keys },
              proxies: cases.map(({ type, name, wrap, remotePort }) => ({
                type,
                name,
                localPort: local[type],
                transport: wrap,
                ...(type === 'http' ? { customDomains: [`${name}.test`] } : { remotePort }),
              })),
            })
            for (const { name } of cases) await lines.waitFor(`[${name}] start proxy success`)
            await Promise.all(
              cases.map(async ({ type, name, remotePort }) => {
                // Half of it compresses, half does not.
                const bytes = Buffer.concat([Buffer.alloc(300_000, 'edge'), randomBytes(300_000)])
                if (type === 'udp') {
                  const payload = bytes.subarray(299_500, 300_700)
                  expect(await askUdp(remotePort, payload), name).toEqual(payload)
                } else if (type === 'http') {
                  expect((await post(relay.httpPort, `${name}.test`, bytes)).equals(bytes), name).toBe(true)
                } else {
                  const answer = await converse(remotePort, bytes, { until: bytes.length })
                  expect(answer.bytes.equals(bytes), name).toBe(true)
                }
              }),
            )
            await lines.waitFor('receive heartbeat from server')
          } finally {
            await own.run()
          }
        })
      }
    })
  }

  it('is back within seconds after the relay was killed and started again', { timeout: 30_000 }, async () => {
    const cleanUp = new CleanUp()
    try {
      const [remotePort = 0] = await freePorts(1)
      const first = await startFrps(cleanUp, true)
      const { lines } = startClient(cleanUp, {
        serverAddr: '127.0.0.1',
        serverPort: first.port,
        auth: { token: TOKEN, additionalScopes: ['HeartBeats', 'NewWorkConns'] },
        proxies: [{ name: 'p', type: 'tcp', localPort: await echoTcp(cleanUp), remotePort }],
      })
      await lines.waitFor('[p] start proxy success')
      first.child.kill('SIGKILL')
      await lines.waitFor('connect to server error')
      const since = lines.lines.length
      await startFrps(cleanUp, true, first.port)
      const listening = performance.now()
      await lines.waitFor('[p] start proxy success', since)
      expect((await converse(remotePort, Buffer.from('hello'), { until: 5 })).bytes.toString()).toBe('hello')
      expect(performance.now() - listening).toBeLessThan(5_500)
    } finally {
      await cleanUp.run()
    }
  })

  it('serves users by its plugins, where an end of the user ends all', async () => {
    const cleanUp = new CleanUp()
    try {
      const relay = await startFrps(cleanUp, true)
      const echo = await echoTcp(cleanUp)
      const web = `127.0.0.1:${await echoHttp(cleanUp)}`
      const [proxyPort = 0, socksPort = 0] = await freePorts(2)
      const { lines, service } = startClient(cleanUp, {
        serverAddr: '127.0.0.1',
        serverPort: relay.port,
        auth: { token: TOKEN, additionalScopes: ['HeartBeats', 'NewWorkConns'] },
        proxies: [
          { name: 'proxy', type: 'tcp', remotePort: proxyPort, plugin: { type: 'http_proxy' } },
          { name: 'socks', type: 'tcp', remotePort: socksPort, plugin: { type: 'socks5' } },
          { name: 'web', type: 'http', customDomains: ['w.example'], plugin: { type: 'http2http', localAddr: web } },
        ],
      })
      await Promise.all(['proxy', 'socks', 'web'].map((name) => lines.waitFor(`[${name}] start proxy success`)))
      const head = `CONNECT 127.0.0.1:${echo} HTTP/1.1\r\nHost: x\r\n\r\n`
      const tunnelled = 'HTTP/1.1 200 OK\r\n\r\nhello'
      const { bytes } = await converse(proxyPort, Buffer.from(`${head}hello`), { until: tunnelled.length })
      expect(bytes.toString()).toBe(tunnelled)
      const opening = [5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, echo >> 8, echo & 0xff]
      const socks = await converse(socksPort, Uint8Array.from([...opening, 42]), { until: 13 })
      expect([socks.bytes[3], socks.bytes.at(-1)]).toEqual([0, 42])
      const body = randomBytes(300_000)
      expect(await post(relay.httpPort, 'w.example', body)).toEqual(body)
      await expect.poll(() => service.control?.manager.runningConnections).toBeLessThanOrEqual(1)
    } finally {
      await cleanUp.run()
    }
  })

  it('is told by the relay what is wrong with its token', async () => {
    const cleanUp = new CleanUp()
    try {
      const relay = await startFrps(cleanUp, true)
      const { over } = startClient(cleanUp, {
        serverAddr: '127.0.0.1',
        serverPort: relay.port,
        auth: { token: 'wrong' },
      })
      expect((await over)?.message).toBe(
        "login to the server failed: token in login doesn't match token from configuration. " +
          'With loginFailExit enabled, no additional retries will be attempted',
      )
    } finally {
      await cleanUp.run()
    }
  })
})
