import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { CleanUp, listenTcp, startClient } from './client-rig.ts'
import { CannedService, fidelityTable } from './fidelity/table.ts'
import { startRelay } from './frps-rig.ts'
import { quietPorts } from './rig/ports.ts'
import { EDGE_TOKEN, Edge } from './workerd-rig.ts'

// The table of docs/guides/http.md: written anew with UPDATE_DOCS=1.

const PAGE = join(import.meta.dirname, '..', '..', 'docs', 'guides', 'http.md')
const HOST = 'web.test'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

it('what HTTP keeps on its way is what docs/guides/http.md says', async () => {
  const service = new CannedService()
  const localPort = await listenTcp(cleanUp, service.serve)
  const proxies = [{ name: 'web', type: 'http', localPort, customDomains: [HOST] }]
  const [bindPort = 0, vhostHTTPPort = 0] = await quietPorts(2)
  await startRelay(cleanUp, { bindPort, vhostHTTPPort, auth: { token: EDGE_TOKEN } })
  const edge = await Edge.start(cleanUp)
  const common = { serverAddr: '127.0.0.1', auth: { token: EDGE_TOKEN }, proxies }
  const clients = [
    startClient(cleanUp, { ...common, serverPort: bindPort }),
    startClient(cleanUp, {
      ...common,
      serverPort: edge.port,
      transport: { protocol: 'websocket', tls: { enable: false } },
    }),
  ]
  for (const { lines } of clients) await lines.waitFor('[web] start proxy success')
  const table = await fidelityTable(service, [
    { name: 'direct', port: localPort, host: HOST },
    { name: 'relay on a VM', port: vhostHTTPPort, host: HOST },
    { name: 'relay on the edge', port: edge.port, host: HOST },
  ])
  const page = readFileSync(PAGE, 'utf8')
  const [before = '', , after = ''] = page.split(/<!-- table -->\n/)
  const wanted = `${before}<!-- table -->\n\n${table}\n\n<!-- table -->\n${after}`
  if (process.env['UPDATE_DOCS'] !== undefined) writeFileSync(PAGE, wanted)
  expect(cells(page)).toEqual(cells(wanted))
}, 60_000)

/** Rows without their padding, which the formatter adds. */
function cells(page: string): string[][] {
  return page
    .split('\n')
    .filter((line) => line.startsWith('|') && !line.startsWith('| -'))
    .map((line) => line.split('|').map((cell) => cell.trim()))
}
