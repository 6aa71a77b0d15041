import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { completeFrps } from '../../config/load.ts'
import { createLineLog } from '../../node/log.ts'
import { nodeRuntime } from '../../node/runtime.ts'
import { type RunningServer, startServer } from '../../relay-node/server.ts'
import {
  askUdp,
  CleanUp,
  converse,
  echoHttp,
  echoTcp,
  echoUdp,
  freePorts,
  Lines,
  listenTcp,
  startClient,
} from './client-rig.ts'

const TRANSPORTS = {
  tcp: { tls: { enable: false } },
  'tcp with TLS': {},
  websocket: { protocol: 'websocket', tls: { enable: false } },
  'websocket with TLS inside': { protocol: 'websocket' },
  wss: { protocol: 'wss' },
}
const WRAPPINGS = {
  plain: {},
  encrypted: { useEncryption: true },
  both: { useEncryption: true, useCompression: true },
}
const TYPES = ['tcp', 'udp', 'http'] as const

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

describe('our client at our relay', () => {
  for (const tcpMux of [true, false]) {
    describe(`tcpMux ${tcpMux}`, () => {
      const cleanUp = new CleanUp()
      const relayLines = new Lines()
      let relay: RunningServer
      let local: Record<(typeof TYPES)[number] | 'atTheEnd', number>

      beforeAll(async () => {
        const { options } = completeFrps({
          bindAddr: '127.0.0.1',
          bindPort: 7000,
          vhostHTTPPort: 8000,
          transport: { tcpMux },
        })
        const sink = { write: (line: string) => relayLines.add(line), close: async () => undefined }
        const runtime = nodeRuntime(createLineLog(sink, 'trace', false))
        const [bindPort = 0, vhostHTTPPort = 0] = await freePorts(2)
        relay = await startServer({ ...options, bindPort, vhostHTTPPort }, runtime)
        cleanUp.add(() => relay.close())
        local = {
          tcp: await echoTcp(cleanUp),
          udp: await echoUdp(cleanUp),
          http: await echoHttp(cleanUp),
          // Answers only when the question is over.
          atTheEnd: await listenTcp(cleanUp, (socket) => {
            let asked = 0
            socket.on('data', (part) => {
              asked += part.length
            })
            socket.on('end', () => socket.end(`asked ${asked}`))
          }),
        }
      })
      afterAll(() => cleanUp.run())

      for (const [transport, keys] of Object.entries(TRANSPORTS)) {
        it(`carries everything over ${transport}, half-closes included`, async () => {
          const own = new CleanUp()
          const ports = await freePorts(Object.keys(WRAPPINGS).length * 2)
          const cases = Object.entries(WRAPPINGS).flatMap(([wrapping, wrap], i) => [
            ...TYPES.map((type) => ({
              type,
              local: type,
              name: `${type}-${wrapping}`,
              wrap,
              remotePort: ports[i] ?? 0,
            })),
            {
              type: 'tcp' as const,
              local: 'atTheEnd' as const,
              name: `end-${wrapping}`,
              wrap,
              remotePort: ports[ports.length - 1 - i] ?? 0,
            },
          ])
          try {
            const { lines } = startClient(own, {
              serverAddr: '127.0.0.1',
              serverPort: relay.bindPort,
              transport: { tcpMux, ...keys },
              proxies: cases.map(({ type, name, wrap, remotePort, local: service }) => ({
                type,
                name,
                localPort: local[service],
                transport: wrap,
                ...(type === 'http' ? { customDomains: [`${name}.test`] } : { remotePort }),
              })),
            })
            for (const { name } of cases) await lines.waitFor(`[${name}] start proxy success`)
            await Promise.all(
              cases.map(async ({ type, name, remotePort, local: service }) => {
                const bytes = Buffer.concat([Buffer.alloc(300_000, 'edge'), randomBytes(300_000)])
                if (type === 'udp') {
                  const payload = bytes.subarray(299_500, 300_700)
                  expect(await askUdp(remotePort, payload), name).toEqual(payload)
                } else if (type === 'http') {
                  expect((await post(relay.vhostHttpPort ?? 0, `${name}.test`, bytes)).equals(bytes), name).toBe(true)
                } else {
                  const answer = await converse(remotePort, bytes, { end: true })
                  const expected = service === 'tcp' ? bytes : Buffer.from(`asked ${bytes.length}`)
                  expect({ name, error: answer.error, ended: answer.ended }).toEqual({
                    name,
                    error: undefined,
                    ended: true,
                  })
                  expect(answer.bytes.equals(expected), name).toBe(true)
                }
              }),
            )
          } finally {
            await own.run()
          }
        })
      }
    })
  }
})
