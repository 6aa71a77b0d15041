import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { MAX_UDP_PAYLOAD_V2 } from '../../protocol/frp/udp.ts'
import { askUdp, CleanUp, converse, echoHttp, echoTcp, echoUdp, freePorts, startClient } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'
import { CARRIERS, WRAPPINGS } from './rig/carriers.ts'
import { startTunnel } from './rig/tunnel.ts'
import { startVisits } from './visitor-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const WIRE = { wireProtocol: 'v2' }

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

describe('wire protocol v2 between our own ends', () => {
  it.each(CARRIERS)(
    'carries tcp, udp and http over $name, wrapped in every way',
    {
      timeout: 20_000,
    },
    async ({ transport }) => {
      const [tcp, udp, http] = [await echoTcp(cleanUp), await echoUdp(cleanUp), await echoHttp(cleanUp)]
      const proxies = WRAPPINGS.flatMap(({ wrapping, transport: wrap }) => [
        { name: `tcp-${wrapping}`, type: 'tcp', localPort: tcp, transport: wrap },
        { name: `udp-${wrapping}`, type: 'udp', localPort: udp, transport: wrap },
        {
          name: `http-${wrapping}`,
          type: 'http',
          localPort: http,
          transport: wrap,
          customDomains: [`${wrapping}.test`],
        },
      ])
      const udpPacketSize = 65_507
      const { portOf, vhostPort, client } = await startTunnel(cleanUp, {
        transport: { ...transport, ...WIRE, heartbeatInterval: 1, heartbeatTimeout: 20 },
        client: { udpPacketSize },
        relay: { udpPacketSize, transport: { tcpMux: transport.tcpMux } },
        proxies,
      })
      const bytes = Buffer.concat([Buffer.alloc(200_000, 'edge'), randomBytes(200_000)])
      for (const { wrapping } of WRAPPINGS) {
        const { bytes: back } = await converse(portOf(`tcp-${wrapping}`), bytes, { until: bytes.length })
        expect(Buffer.compare(back, bytes)).toBe(0)
        for (const size of [1, 8_000, MAX_UDP_PAYLOAD_V2 - 1_000]) {
          const datagram = randomBytes(size)
          expect(Buffer.compare(await askUdp(portOf(`udp-${wrapping}`), datagram), datagram)).toBe(0)
        }
        expect(await post(vhostPort, `${wrapping}.test`, 'hello')).toBe('hello')
      }
      await client.lines.waitFor('receive heartbeat from server')
    },
  )

  it('carries visits of tcp and udp', async () => {
    const [tcp = 0, udp = 0, own = 0, datagrams = 0] = await freePorts(4)
    const metadatas = { 'edgefrp.visitKey': 'k' }
    const { bindPort } = await startTunnel(cleanUp, {
      transport: WIRE,
      proxies: [
        { name: 't', type: 'tcp', localPort: await echoTcp(cleanUp), remotePort: tcp, metadatas },
        { name: 'u', type: 'udp', localPort: await echoUdp(cleanUp), remotePort: udp, metadatas },
      ],
    })
    for (const wireProtocol of ['v1', 'v2']) {
      const visitor = new CleanUp()
      const lines = startVisits(visitor, {
        serverAddr: '127.0.0.1',
        serverPort: bindPort,
        auth: { token: 'tunnel-token' },
        transport: { wireProtocol },
        edgefrp: {
          visits: [
            { name: 'own', port: tcp, bindPort: own },
            { name: 'datagrams', type: 'udp', port: udp, bindPort: datagrams },
          ],
        },
      })
      await lines.waitFor('[own] visit of tcp port')
      await lines.waitFor('[datagrams] visit of udp port')
      const bytes = randomBytes(300_000)
      expect((await converse(own, bytes, { until: bytes.length })).bytes.equals(bytes)).toBe(true)
      expect((await askUdp(datagrams, bytes.subarray(0, 1_200))).equals(bytes.subarray(0, 1_200))).toBe(true)
      await visitor.run()
    }
  })

  it('tells a wrong token and a wrong scope in words of frp', async () => {
    const [bindPort = 0] = await freePorts(1)
    await startRelay(cleanUp, { bindPort, auth: { token: 'right', additionalScopes: ['NewWorkConns'] } })
    const { over } = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: bindPort,
      auth: { token: 'wrong' },
      transport: WIRE,
    })
    expect((await over)?.message).toContain("token in login doesn't match token from configuration")
  })

  it('is shown by the API, beside v1', async () => {
    const [bindPort = 0] = await freePorts(1)
    const webServer = { user: 'a', password: 'b' }
    await startRelay(cleanUp, { bindPort, webServer })
    for (const wireProtocol of ['v1', 'v2']) {
      const { lines } = startClient(cleanUp, {
        serverAddr: '127.0.0.1',
        serverPort: bindPort,
        clientID: `speaks-${wireProtocol}`,
        transport: { wireProtocol },
      })
      await lines.waitFor('login to server success')
    }
    const response = await fetch(`http://127.0.0.1:${bindPort}/~!frp/api/clients`, {
      headers: { authorization: `Basic ${Buffer.from('a:b').toString('base64')}` },
    })
    expect(await response.json()).toMatchObject([
      { clientID: 'speaks-v1', wireProtocol: 'v1' },
      { clientID: 'speaks-v2', wireProtocol: 'v2' },
    ])
  })
})
