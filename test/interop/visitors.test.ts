import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { loadQuic } from '../../node/quic.ts'
import { askUdp, CleanUp, converse, echoTcp, echoUdp, freePorts, startClient } from '../e2e/client-rig.ts'
import { startRelay } from '../e2e/frps-rig.ts'
import { HAS_STOCK, startStock } from '../e2e/rig/stock.ts'
import { startStun } from '../e2e/rig/stun.ts'
import { startVisitors } from '../e2e/visitor-rig.ts'
import { hasV2 } from './stock.ts'

const TOKEN = 'interop-token'
const SECRET = 'a secret'
const WRAPPINGS = [
  { useEncryption: false, useCompression: false },
  { useEncryption: true, useCompression: false },
  { useEncryption: false, useCompression: true },
  { useEncryption: true, useCompression: true },
]
type Side = 'ours' | 'stock'
const SIDES: readonly Side[] = ['ours', 'stock']
const TYPES = ['stcp', 'sudp'] as const

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

/** A relay, ours or stock; answers its port. */
async function relayOf(side: Side, tcpMux: boolean): Promise<number> {
  const [bindPort = 0] = await freePorts(1)
  if (side === 'ours') await startRelay(cleanUp, { bindPort, auth: { token: TOKEN } })
  else {
    const config = ['bindAddr = "127.0.0.1"', `bindPort = ${bindPort}`, `auth.token = "${TOKEN}"`]
    await startStock(cleanUp, 'frps', [...config, `transport.tcpMux = ${tcpMux}`]).waitFor('frps started successfully')
  }
  return bindPort
}

function client(port: number, user: string, transport: object): object {
  return { serverAddr: '127.0.0.1', serverPort: port, user, auth: { token: TOKEN }, transport }
}

function clientLines(port: number, user: string, transport: object): string[] {
  const common = ['serverAddr = "127.0.0.1"', `serverPort = ${port}`, `user = "${user}"`, `auth.token = "${TOKEN}"`]
  return [...common, ...Object.entries(transport).map(([key, value]) => `transport.${key} = ${JSON.stringify(value)}`)]
}

/** TOML of a table in an array of tables. */
function section(name: string, entry: object): string[] {
  const line = ([key, value]: [string, unknown], path = ''): string[] =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).flatMap((inner) => line(inner, `${path}${key}.`))
      : [`${path}${key} = ${JSON.stringify(value)}`]
  return [`[[${name}]]`, ...Object.entries(entry).flatMap((pair) => line(pair))]
}

const cases = SIDES.flatMap((relay) =>
  SIDES.flatMap((owner) => SIDES.map((visitor) => ({ relay, owner, visitor }))),
).filter((sides) => Object.values(sides).includes('stock'))

/** How owner and visitor frame messages: each for itself, and the relay stands between. */
const WIRES = hasV2(join(process.env['FRP_BIN'] ?? '', 'frpc'))
  ? [
      ['v1', 'v1'],
      ['v2', 'v2'],
      ['v1', 'v2'],
      ['v2', 'v1'],
    ]
  : [['v1', 'v1']]

describe.skipIf(!HAS_STOCK)('stcp and sudp', { timeout: 40_000 }, () => {
  it.each(cases.flatMap((sides) => [true, false].map((tcpMux) => ({ ...sides, tcpMux }))))(
    'relay $relay, owner $owner, visitor $visitor, tcpMux $tcpMux',
    async ({ relay, owner, visitor, tcpMux }) => {
      const transport = { tcpMux }
      const port = await relayOf(relay, tcpMux)
      const localPorts = { stcp: await echoTcp(cleanUp), sudp: await echoUdp(cleanUp) }
      const named = TYPES.flatMap((type) => WRAPPINGS.map((wrapping, index) => ({ type, wrapping, index })))
      const proxies = named.map(({ type, wrapping, index }) => ({
        name: `${type}-${index}`,
        type,
        localPort: localPorts[type],
        secretKey: SECRET,
        allowUsers: ['bob'],
        transport: wrapping,
      }))
      const bindPorts = await freePorts(named.length)
      const visitors = named.map(({ type, index }, at) => ({
        name: `v-${type}-${index}`,
        type,
        serverUser: 'alice',
        serverName: `${type}-${index}`,
        secretKey: SECRET,
        bindPort: bindPorts[at],
        // Not what the owner has: each leg is wrapped on its own.
        transport: WRAPPINGS[3 - index],
      }))
      const owns = { ...client(port, 'alice', transport), proxies }
      const ownsLines = [clientLines(port, 'alice', transport), ...proxies.map((one) => section('proxies', one))].flat()
      const ownerLines = owner === 'ours' ? startClient(cleanUp, owns).lines : startStock(cleanUp, 'frpc', ownsLines)
      for (const { name } of proxies) await ownerLines.waitFor(`[${name}] start proxy success`)
      const visitsLines = [
        clientLines(port, 'bob', transport),
        ...visitors.map((one) => section('visitors', one)),
      ].flat()
      const visitorLines =
        visitor === 'ours'
          ? startVisitors(cleanUp, { ...client(port, 'bob', transport), visitors }).lines
          : startStock(cleanUp, 'frpc', visitsLines)
      const bytes = randomBytes(300_000)
      for (const [at, { name, type }] of visitors.entries()) {
        const bindPort = bindPorts[at] ?? 0
        // A stock one names its visitors when it has started all of them.
        await visitorLines.waitFor(visitor === 'stock' ? 'visitor added: [' : `[${name}] start visitor success`)
        if (type === 'stcp') {
          const { bytes: back } = await converse(bindPort, bytes, { until: bytes.length })
          expect(Buffer.compare(back, bytes)).toBe(0)
        } else {
          const datagram = randomBytes(1_200)
          expect(Buffer.compare(await askUdp(bindPort, datagram), datagram)).toBe(0)
        }
      }
    },
  )
})

describe.skipIf(!HAS_STOCK)('xtcp', { timeout: 40_000 }, () => {
  const ways = ['quic', 'kcp'].flatMap((protocol) => WIRES.map(([owns, visits]) => ({ protocol, owns, visits })))
  it.each(ways)(
    'our relay brings two stock clients together: $protocol, wires $owns and $visits',
    async ({ protocol, owns, visits }) => {
      const [bindPort = 0, local = 0] = await freePorts(2)
      const relay = await startRelay(cleanUp, { bindPort, auth: { token: TOKEN } })
      const stun = `natHoleStunServer = "127.0.0.1:${await startStun(cleanUp)}"`
      const proxy = {
        name: 'p2p',
        type: 'xtcp',
        localPort: await echoTcp(cleanUp),
        secretKey: SECRET,
        allowUsers: ['bob'],
      }
      const proxies = section('proxies', { ...proxy, transport: { useEncryption: true } })
      const owner = startStock(cleanUp, 'frpc', [
        ...clientLines(bindPort, 'alice', { wireProtocol: owns }),
        stun,
        ...proxies,
      ])
      await owner.waitFor('[p2p] start proxy success')
      const visitor = { name: 'v', type: 'xtcp', serverUser: 'alice', serverName: 'p2p', secretKey: SECRET, protocol }
      const visitors = section('visitors', { ...visitor, bindPort: local, transport: { useEncryption: true } })
      const guest = startStock(cleanUp, 'frpc', [
        ...clientLines(bindPort, 'bob', { wireProtocol: visits }),
        stun,
        ...visitors,
      ])
      await guest.waitFor('visitor added: [v]')
      const bytes = randomBytes(300_000)
      const { bytes: back } = await converse(local, bytes, { until: bytes.length })
      expect(Buffer.compare(back, bytes)).toBe(0)
      await relay.lines.waitFor('report make hole success: true')
    },
  )

  it('a stock visitor learns that it may not come', async () => {
    const [bindPort = 0, local = 0] = await freePorts(2)
    await startRelay(cleanUp, { bindPort, auth: { token: TOKEN } })
    const stun = `natHoleStunServer = "127.0.0.1:${await startStun(cleanUp)}"`
    const proxy = {
      name: 'p2p',
      type: 'xtcp',
      localPort: await echoTcp(cleanUp),
      secretKey: SECRET,
      allowUsers: ['bob'],
    }
    const owner = [...clientLines(bindPort, 'alice', {}), stun, ...section('proxies', proxy)]
    await startStock(cleanUp, 'frpc', owner).waitFor('[p2p] start proxy success')
    for (const [user, serverName, secretKey, error] of [
      ['eve', 'p2p', SECRET, 'xtcp visitor user [eve] not allowed for [alice.p2p]'],
      ['bob', 'p3p', SECRET, "xtcp server for [alice.p3p] doesn't exist"],
      ['bob', 'p2p', 'wrong', 'xtcp connection of [alice.p2p] auth failed'],
    ] as const) {
      const visitor = { name: 'v', type: 'xtcp', serverUser: 'alice', serverName, secretKey, bindPort: local }
      const stranger = new CleanUp()
      const visitors = [...section('visitors', { ...visitor, keepTunnelOpen: true })]
      const lines = startStock(stranger, 'frpc', [...clientLines(bindPort, user, {}), stun, ...visitors])
      await lines.waitFor(error)
      await stranger.run()
    }
  })
})

const hasQuic = (await loadQuic()) !== undefined
if (!hasQuic) console.warn('SKIPPED: tunnels of xtcp need the package @matrixai/quic')

describe.skipIf(!HAS_STOCK || !hasQuic)('xtcp with an end of ours', { timeout: 40_000 }, () => {
  const ways = cases.flatMap((sides) => WIRES.map(([owns, visits]) => ({ ...sides, owns, visits })))
  it.each(ways)(
    'relay $relay, owner $owner of $owns, visitor $visitor of $visits',
    async ({ relay, owner, visitor, owns: ownerWire, visits: visitorWire }) => {
      const ownerTransport = { wireProtocol: ownerWire }
      const visitorTransport = { wireProtocol: visitorWire }
      const port = await relayOf(relay, true)
      const natHoleStunServer = `127.0.0.1:${await startStun(cleanUp)}`
      const stun = `natHoleStunServer = "${natHoleStunServer}"`
      const [bindPort = 0] = await freePorts(1)
      const transport = { useEncryption: true, useCompression: true }
      const localPort = await echoTcp(cleanUp)
      const proxy = { name: 'p2p', type: 'xtcp', localPort, secretKey: SECRET, allowUsers: ['bob'], transport }
      const owns = { ...client(port, 'alice', ownerTransport), natHoleStunServer, proxies: [proxy] }
      const ownerLines =
        owner === 'ours'
          ? startClient(cleanUp, owns).lines
          : startStock(cleanUp, 'frpc', [
              ...clientLines(port, 'alice', ownerTransport),
              stun,
              ...section('proxies', proxy),
            ])
      await ownerLines.waitFor('[p2p] start proxy success')
      const guest = {
        name: 'v',
        type: 'xtcp',
        serverUser: 'alice',
        serverName: 'p2p',
        secretKey: SECRET,
        bindPort,
        transport,
      }
      const visits = { ...client(port, 'bob', visitorTransport), natHoleStunServer, visitors: [guest] }
      const lines =
        visitor === 'ours'
          ? startVisitors(cleanUp, visits).lines
          : startStock(cleanUp, 'frpc', [
              ...clientLines(port, 'bob', visitorTransport),
              stun,
              ...section('visitors', guest),
            ])
      await lines.waitFor(visitor === 'ours' ? '[v] start visitor success' : 'visitor added: [v]')
      const bytes = randomBytes(300_000)
      const answers = await Promise.all([0, 1, 2].map(() => converse(bindPort, bytes, { until: bytes.length })))
      for (const { bytes: back } of answers) expect(Buffer.compare(back, bytes)).toBe(0)
      await lines.waitFor('establishing nat hole connection successful')
    },
  )
})
