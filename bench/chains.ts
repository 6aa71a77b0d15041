import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hostNode } from '../test/e2e/host-node.ts'
import { VHOST } from './load/commands.ts'
import { firstByte, listening, Measured } from './processes.ts'

/** What stands between user and service. */
export type ChainName = 'ours' | 'stock' | 'haproxy' | 'pipe'

/** What has a port of its own in each chain, in the order of the ports. */
const PORTS = [
  // Clients of a tunnel.
  'bind',
  'echo',
  'bulk',
  'http',
  'vhost',
  'udp',
  // The bulk service behind encryption, compression, and both.
  'encrypted',
  'compressed',
  'both',
  // The same, by the name that a user says: in TLS, and in CONNECT.
  'https',
  'tcpmux',
  // The same and the udp service, at the visitor's client.
  'stcp',
  'sudp',
  // The bulk service of a client that speaks wire protocol v2.
  'v2',
] as const

/** A port by its name. */
export type PortName = (typeof PORTS)[number]

/** Where users of a chain connect; `bind` is where clients of a tunnel do. */
export type Ports = Record<PortName, number>

/** Ports of the services behind all chains. */
export const TARGETS = { echo: 9101, bulk: 9102, http: 9103, udp: 9104, tls: 9105 } as const

/** A running chain: for a tunnel `processes` are the relay, its client and, where it is warm, two more clients. */
export interface Chain {
  name: ChainName
  ports: Ports
  processes: Measured[]
  pids: number[]
  /** From the start of the first process to the first byte that came back through all. */
  startMs: number
  /** Kills the relay (0) or the client (1) of a tunnel with SIGKILL and starts it again. */
  restart(index: 0 | 1): Promise<void>
  stop(): Promise<void>
}

const CONFIGS = join(import.meta.dirname, 'configs')
const ROOT = join(import.meta.dirname, '..')

/** A copy of what `npm run build` made, so that a build meanwhile changes nothing. */
export class Executables {
  readonly folder = mkdtempSync(join(tmpdir(), 'edgefrp-bench-'))

  constructor() {
    const dist = process.env['BENCH_DIST'] ?? join(ROOT, 'dist')
    for (const name of ['frps.js', 'frpc.js']) {
      const file = join(dist, name)
      if (!existsSync(file)) throw new Error(`${file} is missing: run npm run build first`)
      copyFileSync(file, join(this.folder, name))
    }
    writeFileSync(join(this.folder, 'package.json'), '{ "type": "commonjs" }\n')
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** The chains that this machine can run. */
export function availableChains(): ChainName[] {
  const stock = process.env['FRP_BIN']
  const hasStock = stock !== undefined && existsSync(join(stock, 'frps')) && existsSync(join(stock, 'frpc'))
  const hasHaproxy = spawnSync('haproxy', ['-v']).status === 0
  return ['ours', ...(hasStock ? ['stock' as const] : []), ...(hasHaproxy ? ['haproxy' as const] : []), 'pipe']
}

/** A place of its own for each chain, so that all run side by side and idle ones cost nothing. */
const FIRST_PORT: Record<ChainName, number> = { ours: 9200, stock: 9220, haproxy: 9240, pipe: 9280 }

/** A fresh chain may run beside a warm one of the same kind. */
const FRESH_OFFSET = 200

/** Starts a chain; resolves when its ports are open. */
export async function startChain(name: ChainName, executables: Executables, use: 'fresh' | 'warm'): Promise<Chain> {
  const first = FIRST_PORT[name] + (use === 'fresh' ? FRESH_OFFSET : 0)
  // PORTS names each key once.
  const ports = Object.fromEntries(PORTS.map((port, i) => [port, first + i])) as Ports
  const processes: Measured[] = []
  const starters: (() => Measured)[] = []
  const startedAt = performance.now()
  if (name === 'pipe') processes.push(startPipe(ports))
  else if (name === 'haproxy') processes.push(...startHaproxies(ports, executables.folder))
  else {
    starters.push(...tunnelStarters(name, executables, ports))
    for (const start of starters.slice(0, 2)) {
      processes.push(start())
      await listening(first)
    }
  }
  await firstByte(ports.echo)
  const startMs = performance.now() - startedAt
  await listening(ports.http)
  await listening(ports.bulk)
  // Rows of a fresh chain look at a relay with one client.
  if (starters.length > 0 && use === 'warm') {
    processes.push(...starters.slice(2).map((start) => start()))
    await Promise.all([firstByte(ports.stcp), firstByte(ports.v2)])
  }
  return {
    name,
    ports,
    processes,
    startMs,
    get pids() {
      return processes.map(({ pid }) => pid)
    },
    async restart(index) {
      const start = starters[index]
      if (start === undefined) throw new Error(`${name} has no process ${index} to restart`)
      await processes[index]?.kill()
      processes[index] = start()
    },
    async stop() {
      for (const one of processes.toReversed()) await one.stop()
    },
  }
}

/** The relay, its client, the visitor's client, and the client of wire protocol v2. */
function tunnelStarters(name: 'ours' | 'stock', executables: Executables, ports: Ports): (() => Measured)[] {
  const { relay, client } = tunnelCommands(name, executables)
  const env = tunnelEnv(ports)
  const starter = (line: CommandLine, file: string) => () =>
    new Measured('sh', ['-c', LIMITED, 'sh', line[0], ...line[1], '-c', join(CONFIGS, file)], env)
  return [
    starter(relay, 'frps.toml'),
    starter(client, 'frpc.toml'),
    starter(client, 'frpc-visitor.toml'),
    starter(client, 'frpc-v2.toml'),
  ]
}

/** As many descriptors as a service may have: both raise their own limit to the hard one. */
const LIMITED = 'ulimit -n 8192 && exec "$@"'

type CommandLine = [string, string[]]

function tunnelCommands(name: 'ours' | 'stock', executables: Executables): { relay: CommandLine; client: CommandLine } {
  if (name === 'stock') {
    const folder = process.env['FRP_BIN'] ?? ''
    return { relay: [join(folder, 'frps'), []], client: [join(folder, 'frpc'), []] }
  }
  // BENCH_RELAY_FLAGS and BENCH_CLIENT_FLAGS: Node's own flags, for a profile of one of the two.
  const flags = (which: string): string[] => process.env[which]?.split(' ') ?? []
  const script = (file: string): string => join(executables.folder, file)
  return {
    relay: [hostNode(), [...flags('BENCH_RELAY_FLAGS'), script('frps.js')]],
    client: [hostNode(), [...flags('BENCH_CLIENT_FLAGS'), script('frpc.js')]],
  }
}

/** What the config files read: BENCH_ECHO_PORT, BENCH_ECHO_TARGET and so on. */
function tunnelEnv(ports: Ports): Record<string, string> {
  const named = (values: Record<string, number>, what: string) =>
    Object.entries(values).map(([name, port]) => [`BENCH_${name.toUpperCase()}_${what}`, String(port)])
  return Object.fromEntries([...named(ports, 'PORT'), ...named(TARGETS, 'TARGET')])
}

function startPipe(ports: Ports): Measured {
  const pairs = [
    `${ports.echo}:${TARGETS.echo}`,
    `${ports.bulk}:${TARGETS.bulk}`,
    `${ports.http}:${TARGETS.http}`,
    `${ports.vhost}:${TARGETS.http}`,
  ]
  const flags = ['--experimental-strip-types', '--disable-warning=ExperimentalWarning']
  return new Measured(process.execPath, [...flags, join(import.meta.dirname, 'load', 'pipe.ts'), ...pairs])
}

/** How far behind a port of the first haproxy that of the second lies. */
const SECOND_HOP = 10

/** Two haproxies in a row, one thread each, as many hops as a tunnel has. */
function startHaproxies(ports: Ports, folder: string): Measured[] {
  const second = (port: number): number => port + SECOND_HOP
  const relay = join(folder, 'haproxy-relay.cfg')
  const client = join(folder, 'haproxy-client.cfg')
  const hop = (name: string, mode: string, from: number, to: number): string => {
    const rule = mode === 'http' ? `  http-request deny unless { hdr(host) -i ${VHOST} }\n` : ''
    return `listen ${name}\n  mode ${mode}\n  bind 127.0.0.1:${from}\n${rule}  server one 127.0.0.1:${to}\n`
  }
  const head =
    'global\n  nbthread 1\n  maxconn 4000\ndefaults\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n'
  const rows = (['echo', 'bulk', 'http'] as const).map((name) => ({ name, from: ports[name], to: TARGETS[name] }))
  writeFileSync(
    relay,
    head +
      rows.map(({ name, from }) => hop(name, 'tcp', from, second(from))).join('') +
      hop('vhost', 'http', ports.vhost, second(ports.vhost)),
  )
  writeFileSync(
    client,
    head +
      rows.map(({ name, from, to }) => hop(name, 'tcp', second(from), to)).join('') +
      hop('vhost', 'http', second(ports.vhost), TARGETS.http),
  )
  // Of the second, first: else the first would find nobody.
  return [client, relay].map((file) => new Measured('haproxy', ['-db', '-f', file])).reverse()
}
