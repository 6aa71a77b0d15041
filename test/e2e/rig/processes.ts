import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { type CleanUp, Lines } from '../client-rig.ts'
import { hostNode } from '../host-node.ts'

/** A program of ours that runs as a process of its own. */
export interface Running {
  lines: Lines
  child: ChildProcess
  kill(signal: NodeJS.Signals): void
  /** What it printed, once it is over. */
  over: Promise<{ code: number | null; stdout: string; stderr: string }>
}

/** Our two executables, made as `npm run build` makes them, in a folder of their own. */
export class Executables {
  readonly folder = mkdtempSync(join(tmpdir(), 'edgefrp-run-'))

  static async build(): Promise<Executables> {
    const made = new Executables()
    await build({
      entryPoints: { frps: 'relay-node/main.ts', frpc: 'client/main.ts' },
      absWorkingDir: join(import.meta.dirname, '../../..'),
      outdir: made.folder,
      outExtension: { '.js': '.cjs' },
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: 'node20',
      external: ['cpu-features'],
      logLevel: 'silent',
    })
    return made
  }

  remove(): void {
    rmSync(this.folder, { recursive: true })
  }

  /** Writes a file, and returns its path. */
  file(name: string, text: string): string {
    const path = join(this.folder, name)
    writeFileSync(path, text)
    return path
  }

  /** Runs `frps args...` or `frpc args...` with the machine's own node, until the test is over. */
  run(cleanUp: CleanUp, program: 'frps' | 'frpc', args: readonly string[]): Running {
    const child = spawn(hostNode(), [join(this.folder, `${program}.cjs`), ...args], {
      cwd: this.folder,
      env: { PATH: process.env['PATH'] },
    })
    const lines = new Lines()
    let [stdout, stderr, rest] = ['', '', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      const whole = (rest + text).split('\n')
      rest = whole.pop() ?? ''
      for (const line of whole) lines.add(`${line}\n`)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    const over = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
      child.on('close', (code) => resolve({ code, stdout, stderr }))
    })
    cleanUp.add(async () => {
      child.kill('SIGKILL')
      await over
    })
    return { lines, child, kill: (signal) => void child.kill(signal), over }
  }

  /** A relay with this frps.toml; resolves when it listens. */
  async frps(cleanUp: CleanUp, toml: string): Promise<Running> {
    const path = this.file(`frps-${this.count++}.toml`, `bindAddr = "127.0.0.1"\nlog.disablePrintColor = true\n${toml}`)
    const running = this.run(cleanUp, 'frps', ['-c', path])
    await running.lines.waitFor('frps started successfully')
    return running
  }

  /** A client of the relay on `port` with this frpc.toml. */
  frpc(cleanUp: CleanUp, port: number, toml: string): Running {
    const head = `serverAddr = "127.0.0.1"\nserverPort = ${port}\nlog.disablePrintColor = true\n`
    return this.run(cleanUp, 'frpc', ['-c', this.file(`frpc-${this.count++}.toml`, head + toml)])
  }

  private count = 0
}

/** A tcp proxy as frpc.toml has it. */
export function tcpProxy(name: string, localPort: number, remotePort: number, more = ''): string {
  return `[[proxies]]\nname = "${name}"\ntype = "tcp"\nlocalPort = ${localPort}\nremotePort = ${remotePort}\n${more}\n`
}
