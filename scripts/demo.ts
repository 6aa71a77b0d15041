// Both relays and their clients on this machine, with real requests through every route: `npm run demo`.
// Stays until Ctrl-C; with --once it ends after the table, with exit code 0 only if every row is right.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hostNode } from '../test/e2e/host-node.ts'
import { freePorts, Processes } from './demo/processes.ts'
import { httpRoutes, type Route, tcpRoute, tried, udpRoute } from './demo/routes.ts'
import { type Services, startServices } from './demo/services.ts'

const root = join(import.meta.dirname, '..')
const node = hostNode()
const frps = join(root, 'dist', 'frps.js')
const frpc = join(root, 'dist', 'frpc.js')
const wrangler = join(root, 'node_modules', 'wrangler', 'wrangler-dist', 'cli.js')
const TOKEN = 'demo-token'
/** Columns of the table; longer texts push the rest aside. */
const NAME_WIDTH = 27
const RESULT_WIDTH = 35
/** One host name for both: an address needs no DNS. */
const HOST = '127.0.0.1'

const isOnce = process.argv.includes('--once')
const processes = new Processes()
const folder = mkdtempSync(join(tmpdir(), 'edgefrp-demo-'))

function file(name: string, lines: string[]): string {
  const path = join(folder, name)
  writeFileSync(path, `${lines.join('\n')}\n`)
  return path
}

function proxies(services: Services, sshPort: number, udpPort: number): string[] {
  return [
    `[[proxies]]\nname = "web"\ntype = "http"\nlocalPort = ${services.web}\ncustomDomains = ["${HOST}"]`,
    `[[proxies]]\nname = "ssh"\ntype = "tcp"\nlocalPort = ${services.ssh}\nremotePort = ${sshPort}`,
    `[[proxies]]\nname = "dns"\ntype = "udp"\nlocalPort = ${services.udp}\nremotePort = ${udpPort}`,
  ]
}

/** The relay as a process of this machine, as on a VM. */
async function onVm(services: Services): Promise<Route[]> {
  const [bind = 0, vhost = 0, ssh = 0, udp = 0, visit = 0] = await freePorts(5)
  const relay = file('frps.toml', [
    `bindAddr = "${HOST}"`,
    `bindPort = ${bind}`,
    `vhostHTTPPort = ${vhost}`,
    `auth.token = "${TOKEN}"`,
  ])
  await processes.start([node, frps, '-c', relay], 'frps started successfully')
  const client = file('frpc-vm.toml', [
    `serverAddr = "${HOST}"`,
    `serverPort = ${bind}`,
    `auth.token = "${TOKEN}"`,
    ...proxies(services, ssh, udp),
  ])
  await processes.start([node, frpc, '-c', client], /\[dns\] start proxy success/)
  const server = ['--server', `ws://${HOST}:${bind}`, '--token', TOKEN]
  await processes.start([node, frpc, 'visit', 'tcp', `${ssh}`, ...server, '--bind', `${HOST}:${visit}`], `${visit}`)
  return [
    ...httpRoutes('VM', vhost, HOST),
    tcpRoute('VM: tcp port', ssh),
    udpRoute('VM: udp port', udp),
    tcpRoute('VM: tcp by visit', visit),
  ]
}

/** The relay on Cloudflare's own runtime, workerd. */
async function onEdge(services: Services): Promise<Route[]> {
  const [port = 0, visit = 0, udpVisit = 0] = await freePorts(3)
  const dev = ['dev', '--port', `${port}`, '--ip', HOST, '--inspector-port', '0', '--var', `FRP_TOKEN:${TOKEN}`]
  const quiet = ['--show-interactive-dev-session=false', '--persist-to', join(folder, 'state')]
  await processes.start(
    [process.execPath, wrangler, ...dev, ...quiet, '--config', join(root, 'wrangler.toml')],
    'Ready on',
    {
      WRANGLER_SEND_METRICS: 'false',
      WRANGLER_HIDE_BANNER: 'true',
      CLOUDFLARE_CF_FETCH_ENABLED: 'false',
      CI: '1',
      // Else wrangler writes a trace of each message to disk, which is slower than all of the relay.
      X_LOCAL_OBSERVABILITY: 'false',
    },
  )
  const client = file('frpc-edge.toml', [
    `serverAddr = "${HOST}"`,
    `serverPort = ${port}`,
    'transport.protocol = "websocket"',
    'transport.tls.enable = false',
    `auth.token = "${TOKEN}"`,
    ...proxies(services, 6000, 6001),
  ])
  await processes.start([node, frpc, '-c', client], /\[dns\] start proxy success/)
  const server = ['--server', `ws://${HOST}:${port}`, '--token', TOKEN]
  await processes.start([node, frpc, 'visit', 'tcp', '6000', ...server, '--bind', `${HOST}:${visit}`], `${visit}`)
  await processes.start([node, frpc, 'visit', 'udp', '6001', ...server, '--bind', `${HOST}:${udpVisit}`], `${udpVisit}`)
  return [
    ...httpRoutes('edge', port, HOST),
    tcpRoute('edge: tcp by visit', visit),
    udpRoute('edge: udp by visit', udpVisit),
  ]
}

async function report(routes: Route[]): Promise<boolean> {
  const rows = []
  for (const route of routes) rows.push({ route, ...(await tried(route)) })
  for (const { route, result, ms, isRight } of rows) {
    console.log(
      `${isRight ? 'ok ' : 'BAD'} ${route.name.padEnd(NAME_WIDTH)}  ${result.padEnd(RESULT_WIDTH)}  ${ms.toFixed(1).padStart(8)} ms  ${route.url}`,
    )
  }
  return rows.every((row) => row.isRight)
}

async function main(): Promise<boolean> {
  const services = await startServices()
  // The first rows show while workerd starts, which takes its time.
  const isVmRight = await report(await onVm(services))
  const isEdgeRight = await report(await onEdge(services))
  return isVmRight && isEdgeRight
}

async function end(code: number): Promise<never> {
  await processes.stop()
  rmSync(folder, { recursive: true, force: true })
  process.exit(code)
}

process.once('SIGINT', () => void end(0))
process.once('SIGTERM', () => void end(0))
try {
  const isRight = await main()
  if (isOnce) await end(isRight ? 0 : 1)
  console.log('\nOpen the URLs; Ctrl-C ends it.')
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  await end(1)
}
