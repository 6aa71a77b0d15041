import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import type { CleanUp } from './client-rig.ts'
import { quietPorts } from './rig/ports.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const POLL_MS = 20
export const EDGE_TOKEN = 'edge-token'

/** The relay of `worker/` in a workerd of its own: what `wrangler dev` runs, without what it puts in front. */
export class Edge {
  readonly port: number
  private readonly folder: string
  private readonly binary: string
  private child: ChildProcess | undefined

  private constructor(folder: string, port: number) {
    this.folder = folder
    this.port = port
    this.binary = workerdBinary()
  }

  /** Running; `config` are more lines of its frps.toml. Stops with the test. */
  static async start(cleanUp: CleanUp, config = ''): Promise<Edge> {
    const folder = mkdtempSync(join(tmpdir(), 'edgefrp-workerd-'))
    const [port = 0] = await quietPorts(1)
    await build({
      entryPoints: [join(ROOT, 'worker', 'index.ts')],
      outfile: join(folder, 'script.js'),
      bundle: true,
      format: 'esm',
      conditions: ['workerd', 'worker', 'browser'],
      external: ['cloudflare:*', 'node:*'],
      logLevel: 'silent',
    })
    const vars = { FRP_TOKEN: EDGE_TOKEN, FRPS_CONFIG: `auth.token = "${EDGE_TOKEN}"\n${config}` }
    writeWorkerdConfig(folder, { className: 'Hub', port, vars })
    const edge = new Edge(folder, port)
    cleanUp.add(async () => {
      await edge.stop()
      rmSync(folder, { recursive: true, force: true })
    })
    await edge.start()
    return edge
  }

  /** Again, on the same port and with the same storage. */
  async start(): Promise<void> {
    const child = spawn(this.binary, ['serve', join(this.folder, 'config.capnp')], { stdio: 'ignore' })
    this.child = child
    while (!(await isListening(this.port))) {
      if (child.exitCode !== null) throw new Error(`workerd ended with ${child.exitCode}`)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  /** Without a word to anybody, as when its machine is gone. */
  async stop(): Promise<void> {
    const { child } = this
    this.child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const over = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await over
  }
}

export function workerdBinary(): string {
  // The package has no types; its default export is the path of the binary.
  const { default: path } = createRequire(import.meta.url)('workerd') as { default: string }
  return path
}

/** Writes `config.capnp` for the module `script.js` in the same folder; objects keep their storage there too. */
export function writeWorkerdConfig(
  folder: string,
  { className, port, vars }: { className: string; port: number; vars: Record<string, string> },
): void {
  const state = join(folder, 'state')
  mkdirSync(state, { recursive: true })
  const bindings = Object.entries(vars).map(
    ([name, text]) => `(name = ${JSON.stringify(name)}, text = ${JSON.stringify(text)})`,
  )
  bindings.push(`(name = "${className.toUpperCase()}", durableObjectNamespace = "${className}")`)
  writeFileSync(
    join(folder, 'config.capnp'),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "state", disk = (path = ${JSON.stringify(state)}, writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "script.js", esModule = embed "script.js")],
  compatibilityDate = "2026-11-01",
  compatibilityFlags = ["enable_request_signal"],
  durableObjectNamespaces = [(className = "${className}", uniqueKey = "edgefrp", enableSql = true)],
  durableObjectStorage = (localDisk = "state"),
  bindings = [${bindings.join(', ')}],
);
`,
  )
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
