import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { hostNode } from '../../test/e2e/host-node.ts'
import { workerdBinary, writeWorkerdConfig } from '../../test/e2e/workerd-rig.ts'
import { TARGETS } from '../chains.ts'
import { VHOST } from '../load/commands.ts'
import { listening, Measured } from '../processes.ts'

const TYPE_STRIPPING = ['--experimental-strip-types', '--disable-warning=ExperimentalWarning']
const ROOT = join(import.meta.dirname, '..', '..')
/** Both chains' relays, the ports that lead into them, and the web server with large answers. */
const PORTS = { edge: 9301, edgeVisit: 9302, bare: 9311, bareVisit: 9312, body: 9320 } as const
const TOKEN = 'bench-token'
/** The host whose web server has large answers. */
export const BODY_HOST = 'body.bench.test'
const REMOTE_PORT = 6000

export type EdgeChainName = 'edge' | 'bare'

export interface EdgeChain {
  name: EdgeChainName
  /** HTTP of users. */
  httpPort: number
  /** TCP to the bulk service. */
  visitPort: number
  workerd: Measured
  /** Spawn to the first answer of the Worker, in ms. */
  startMs: number
  stop(): Promise<void>
}

/** A Worker as `wrangler deploy` would send it. */
export interface Bundle {
  folder: string
  gzipBytes: number
}

export function bundle(folder: string, main: string, className: string): Bundle {
  mkdirSync(folder, { recursive: true })
  const config = join(folder, 'wrangler.toml')
  const lines = [
    'name = "bench"',
    `main = ${JSON.stringify(join(ROOT, main))}`,
    'compatibility_date = "2026-11-01"',
    'send_metrics = false',
    'minify = true',
    `durable_objects.bindings = [{ name = "${className.toUpperCase()}", class_name = "${className}" }]`,
    `migrations = [{ tag = "v1", new_sqlite_classes = ["${className}"] }]`,
  ]
  writeFileSync(config, `${lines.join('\n')}\n`)
  const cli = join(ROOT, 'node_modules', 'wrangler', 'wrangler-dist', 'cli.js')
  execFileSync(process.execPath, [cli, 'deploy', '--dry-run', '--outdir', folder, '--config', config], {
    env: { ...process.env, WRANGLER_SEND_METRICS: 'false', WRANGLER_HIDE_BANNER: 'true', CI: '1' },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const file = main.split('/').at(-1)?.replace('.ts', '.js') ?? ''
  const script = readFileSync(join(folder, file))
  writeFileSync(join(folder, 'script.js'), script)
  return { folder, gzipBytes: gzipSync(script).length }
}

/** Starts `workerd` alone, without what `wrangler dev` puts in front; its objects' storage is on disk. */
async function startWorkerd(
  { folder }: Bundle,
  className: string,
  port: number,
  vars: Record<string, string>,
): Promise<{ workerd: Measured; startMs: number }> {
  writeWorkerdConfig(folder, { className, port, vars })
  const startedAt = performance.now()
  const workerd = new Measured(workerdBinary(), ['serve', join(folder, 'config.capnp')])
  await listening(port)
  await fetch(`http://127.0.0.1:${port}/~!frp/healthz`)
  return { workerd, startMs: performance.now() - startedAt }
}

/** What is between the two chains' ends and us. */
export async function startEdge(script: Bundle, hubs: readonly string[]): Promise<EdgeChain> {
  const hubLines = hubs.map((host) => `[[edgefrp.hubs]]\nname = "${host}"\nhosts = ["${host}"]`)
  // Where there is a list, the benchmark's own hosts must be on it.
  const own = `[[edgefrp.hubs]]\nname = "bench"\nhosts = ["127.0.0.1", "${VHOST}", "${BODY_HOST}"]`
  const { workerd, startMs } = await startWorkerd(script, 'Hub', PORTS.edge, {
    FRP_TOKEN: TOKEN,
    FRPS_CONFIG: [`auth.token = "${TOKEN}"`, 'log.level = "warn"', own, ...hubLines].join('\n'),
  })
  const config = join(script.folder, 'frpc.toml')
  const proxy = (name: string, lines: string[]): string => [`[[proxies]]\nname = "${name}"`, ...lines].join('\n')
  writeFileSync(
    config,
    [
      'serverAddr = "127.0.0.1"',
      `serverPort = ${PORTS.edge}`,
      'transport.protocol = "websocket"',
      'transport.tls.enable = false',
      `auth.token = "${TOKEN}"`,
      'log.level = "warn"',
      proxy('bulk', ['type = "tcp"', `localPort = ${TARGETS.bulk}`, `remotePort = ${REMOTE_PORT}`]),
      proxy('http', ['type = "http"', `localPort = ${TARGETS.http}`, `customDomains = ["${VHOST}"]`]),
      proxy('body', ['type = "http"', `localPort = ${PORTS.body}`, `customDomains = ["${BODY_HOST}"]`]),
    ].join('\n'),
  )
  const frpc = join(ROOT, 'dist', 'frpc.js')
  const visit = ['visit', 'tcp', String(REMOTE_PORT), '--server', `ws://127.0.0.1:${PORTS.edge}`, '--token', TOKEN]
  const ends = [
    new Measured(process.execPath, [...TYPE_STRIPPING, join(import.meta.dirname, 'body-service.ts'), `${PORTS.body}`]),
    new Measured(hostNode(), [frpc, '-c', config]),
    new Measured(hostNode(), [frpc, ...visit, '--bind', `127.0.0.1:${PORTS.edgeVisit}`]),
  ]
  await listening(PORTS.edgeVisit)
  return chain('edge', workerd, ends, startMs)
}

export async function startBare(script: Bundle): Promise<EdgeChain> {
  const { workerd, startMs } = await startWorkerd(script, 'Bare', PORTS.bare, {})
  const end = (...args: string[]): Measured =>
    new Measured(process.execPath, [...TYPE_STRIPPING, join(import.meta.dirname, 'bare-end.ts'), ...args])
  const ends = [end('answer', `${PORTS.bare}`), end('near', `${PORTS.bare}`, `${PORTS.bareVisit}`)]
  await listening(PORTS.bareVisit)
  return chain('bare', workerd, ends, startMs)
}

function chain(name: EdgeChainName, workerd: Measured, ends: Measured[], startMs: number): EdgeChain {
  const [httpPort, visitPort] = name === 'edge' ? [PORTS.edge, PORTS.edgeVisit] : [PORTS.bare, PORTS.bareVisit]
  return {
    name,
    httpPort,
    visitPort,
    workerd,
    startMs,
    async stop() {
      for (const one of [...ends, workerd]) await one.stop()
    },
  }
}

/** The token of the relay. */
export const EDGE_TOKEN = TOKEN
