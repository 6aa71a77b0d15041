import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { askUdp, CleanUp, converse, echoHttp, echoTcp, echoUdp, freePorts, Lines } from '../e2e/client-rig.ts'
import { startRelay, type TestServer } from '../e2e/frps-rig.ts'
import { hasV2 } from './stock.ts'

const frpc = join(process.env['FRP_BIN'] ?? '', 'frpc')
const hasFrpc = process.env['FRP_BIN'] !== undefined && existsSync(frpc)
if (!hasFrpc) console.warn('SKIPPED: interop with stock frpc needs FRP_BIN, a folder with frps and frpc')

const TOKEN = 'interop-token'
/** Lines of TOML. */
const TRANSPORTS = {
  tcp: ['transport.tls.enable = false'],
  'tcp with TLS': [],
  'tcp with TLS behind the head byte': ['transport.tls.disableCustomTLSFirstByte = false'],
  websocket: ['transport.protocol = "websocket"', 'transport.tls.enable = false'],
  'websocket with TLS inside': ['transport.protocol = "websocket"'],
  'websocket with TLS behind the head byte inside': [
    'transport.protocol = "websocket"',
    'transport.tls.disableCustomTLSFirstByte = false',
  ],
  wss: ['transport.protocol = "wss"'],
}
const WIRES = hasV2(frpc) ? (['v1', 'v2'] as const) : (['v1'] as const)
const WRAPPINGS = {
  plain: [],
  encrypted: ['transport.useEncryption = true'],
  compressed: ['transport.useCompression = true'],
  both: ['transport.useEncryption = true', 'transport.useCompression = true'],
}
type Wrapping = keyof typeof WRAPPINGS
const NAMES = Object.keys(WRAPPINGS) as Wrapping[] // the table's own keys

/** A stock frpc with these lines of TOML. */
function startFrpc(cleanUp: CleanUp, config: readonly string[], token = TOKEN): Lines {
  const folder = mkdtempSync(join(tmpdir(), 'edgefrp-interop-'))
  const path = join(folder, 'frpc.toml')
  const common = ['serverAddr = "127.0.0.1"', `auth.token = "${token}"`, 'loginFailExit = false']
  writeFileSync(path, [...common, 'log.disablePrintColor = true', 'log.level = "trace"', ...config].join('\n'))
  const lines = new Lines()
  const child = spawn(frpc, ['-c', path], { stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.split('\n')) lines.add(`${line}\n`)
  })
  cleanUp.add(async () => {
    const over = new Promise((resolve) => child.once('close', resolve))
    child.kill()
    await over
    rmSync(folder, { recursive: true })
  })
  return lines
}

describe.skipIf(!hasFrpc)('stock frpc at our relay', () => {
  const relayCleanUp = new CleanUp()
  let relay: TestServer
  let tcp = 0
  let udp = 0
  let http = 0
  beforeAll(async () => {
    const [bindPort = 0] = await freePorts(1)
    relay = await startRelay(relayCleanUp, {
      bindPort,
      vhostHTTPPort: bindPort,
      auth: { token: TOKEN, additionalScopes: ['HeartBeats', 'NewWorkConns'] },
    })
    tcp = await echoTcp(relayCleanUp)
    udp = await echoUdp(relayCleanUp)
    http = await echoHttp(relayCleanUp)
  })
  afterAll(() => relayCleanUp.run())
  const cleanUp = new CleanUp()
  afterEach(() => cleanUp.run())

  const cases = Object.entries(TRANSPORTS).flatMap(([name, lines]) =>
    [true, false].flatMap((tcpMux) => WIRES.map((wire) => ({ name, lines, tcpMux, wire }))),
  )
  it.each(cases)(
    'carries tcp, udp and http over $name, tcpMux $tcpMux, wire $wire',
    { timeout: 30_000 },
    async ({ lines: transport, tcpMux, wire }) => {
      const ports = await freePorts(NAMES.length)
      const proxies = NAMES.flatMap((name, index) => {
        const wrapping = WRAPPINGS[name]
        const remote = `remotePort = ${ports[index]}`
        return [
          ...proxy(`tcp-${name}`, 'tcp', tcp, [...wrapping, remote]),
          ...proxy(`udp-${name}`, 'udp', udp, [...wrapping, remote]),
          ...proxy(`http-${name}`, 'http', http, [...wrapping, `customDomains = ["${name}.example"]`]),
        ]
      })
      const client = startFrpc(cleanUp, [
        `serverPort = ${relay.server.bindPort}`,
        'auth.additionalScopes = ["HeartBeats", "NewWorkConns"]',
        `transport.tcpMux = ${tcpMux}`,
        ...wireLines(wire),
        ...transport,
        ...proxies,
      ])
      for (const name of NAMES) {
        for (const type of ['tcp', 'udp', 'http']) await client.waitFor(`[${type}-${name}] start proxy success`)
      }
      const bytes = randomBytes(700_000)
      for (const [index, name] of NAMES.entries()) {
        const port = ports[index] ?? 0
        const { bytes: back } = await converse(port, bytes, { until: bytes.length })
        expect(Buffer.compare(back, bytes)).toBe(0)
        const datagram = randomBytes(1_200)
        expect(Buffer.compare(await askUdp(port, datagram), datagram)).toBe(0)
        expect(await post(relay.server.bindPort, `${name}.example`, 'hello')).toBe('hello')
      }
    },
  )

  it.each(WIRES)('tells a wrong token in words of frp, wire %s', async (wire) => {
    const client = startFrpc(cleanUp, [`serverPort = ${relay.server.bindPort}`, ...wireLines(wire)], 'wrong')
    await client.waitFor("token in login doesn't match token from configuration")
  })
})

/** A stock frpc older than 0.69 knows no such key. */
function wireLines(wire: (typeof WIRES)[number]): string[] {
  return wire === 'v1' ? [] : [`transport.wireProtocol = "${wire}"`]
}

function proxy(name: string, type: string, port: number, lines: readonly string[]): string[] {
  return ['[[proxies]]', `name = "${name}"`, `type = "${type}"`, `localPort = ${port}`, ...lines]
}

function post(port: number, host: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', method: 'POST', headers: { host }, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        text += part
      })
      response.on('end', () => resolve(text))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
