import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { CleanUp, freePorts, Lines } from './client-rig.ts'
import { FakeRelay } from './fake-relay.ts'
import { hostNode } from './host-node.ts'

const folder = mkdtempSync(join(tmpdir(), 'edgefrp-cli-'))
const program = join(folder, 'frpc.mjs')
const cleanUp = new CleanUp()

beforeAll(async () => {
  await build({
    entryPoints: [join(import.meta.dirname, '../../client/main.ts')],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'silent',
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  })
})
afterEach(() => cleanUp.run())
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string, text: string): string {
  const path = join(folder, name)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, text)
  return path
}

interface Run {
  lines: Lines
  kill(signal: NodeJS.Signals): void
  over: Promise<{ code: number | null; stdout: string; stderr: string }>
}

function frpc(args: readonly string[], env: Record<string, string> = {}): Run {
  const child = spawn(hostNode(), [program, ...args], { cwd: folder, env: { PATH: process.env['PATH'], ...env } })
  const lines = new Lines()
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    for (const line of text.split('\n')) lines.add(`${line}\n`)
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
  return { lines, kill: (signal) => child.kill(signal), over }
}

function config(port: number, more = ''): string {
  return `serverAddr = "127.0.0.1"\nserverPort = ${port}\ntransport.tls.enable = false\nlog.disablePrintColor = true\n${more}`
}

describe('frpc', () => {
  it('reads without -c what lies there, frpc.ini first', async () => {
    const fails = await frpc(['verify']).over
    expect(fails.stdout + fails.stderr).toContain('open ./frpc.ini: no such file or directory')
    const toml = file('frpc.toml', config(7000))
    expect(await frpc(['verify']).over).toMatchObject({ code: 0 })
    const ini = file('frpc.ini', '[common]\nserver_port = x\n')
    expect((await frpc(['verify']).over).code).toBe(1)
    for (const path of [toml, ini]) rmSync(path)
  })

  it('prints its version', async () => {
    expect(await frpc(['-v']).over).toEqual({ code: 0, stdout: '0.1.0\n', stderr: '' })
  })

  it('reads ./frpc.ini without -c, and tells on stdout what is wrong', async () => {
    const { code, stdout } = await frpc([]).over
    expect(code).toBe(1)
    expect(stdout).toContain('frpc.ini')
  })

  it('refuses an unknown flag on stderr', async () => {
    const { code, stderr } = await frpc(['--no_such_flag']).over
    expect({ code, stderr }).toEqual({ code: 1, stderr: "Error: unknown option '--no-such-flag'\n" })
  })

  it('gives shells their completion, of the flags and commands that it has', async () => {
    const { code, stdout, stderr } = await frpc(['completion', 'bash']).over
    expect([code, stderr]).toEqual([0, ''])
    for (const word of ["'verify reload", ' visit ', '--remote-port', '-P', '--config-dir'])
      expect(stdout).toContain(word)
    expect(await frpc(['completion', 'bash', 'more']).over).toMatchObject({ code: 1, stdout: '' })
    expect((await frpc(['help', 'verify']).over).stdout).toContain('Verify that the configures is valid')
  })

  it('verifies a file in frp’s words', async () => {
    const good = file('good.toml', config(7000))
    expect(await frpc(['verify', '-c', good]).over).toEqual({
      code: 0,
      stdout: `frpc: the configuration file ${good} syntax is ok\n`,
      stderr: '',
    })
    const bad = file('bad.toml', config(7000, 'nope = 1\n'))
    expect(await frpc(['-c', bad, 'verify']).over).toMatchObject({ code: 1, stderr: '' })
    expect((await frpc(['verify', '--strict_config=false', '-c', bad]).over).code).toBe(0)
  })

  it('takes our keys from a file beside an INI', async () => {
    const ini = file('plain.ini', '[common]\nserver_addr = 127.0.0.1\n')
    const wrong = file('ours.toml', 'fallbackCheckSeconds = "often"\n')
    for (const { code, stdout } of [
      await frpc(['verify', '-c', ini, '--edgefrp', wrong]).over,
      await frpc(['verify', '-c', ini], { EDGEFRP_CONFIG: wrong }).over,
    ]) {
      expect({ code, isNamed: stdout.includes('fallbackCheckSeconds') }).toEqual({ code: 1, isNamed: true })
    }
    expect((await frpc(['verify', '-c', ini]).over).code).toBe(0)
  })

  it('ends with 1 and frp’s text when the first login fails', async () => {
    const [closed = 0] = await freePorts(1)
    const { code, stdout } = await frpc(['-c', file('down.toml', config(closed))]).over
    expect(code).toBe(1)
    expect(stdout).toMatch(
      /\nlogin to the server failed: .*\. With loginFailExit enabled, no additional retries will be attempted\n$/,
    )
  })

  it('prints a relay’s reason without what moves a terminal’s cursor', async () => {
    const relay = await FakeRelay.start(cleanUp, { onLogin: () => ({ error: 'no\x1b[2J\u009b1m' }) })
    const { stdout } = await frpc(['-c', file('refused.toml', config(relay.port))]).over
    expect(stdout).toContain('login to the server failed: no')
    expect(stdout).not.toMatch(/[^\P{Cc}\n]/u)
  })

  it('runs a proxy from flags alone', async () => {
    const relay = await FakeRelay.start(cleanUp, { token: 'secret' })
    const port = String(relay.port)
    frpc(['tcp', '-P', port, '-t', 'secret', '--tls_enable=false', '-n', 'ssh', '-l', '22', '--remote-port', '6000'])
    const session = await relay.nextSession()
    expect(await session.next('NewProxy')).toMatchObject({ proxy_name: 'ssh', proxy_type: 'tcp', remote_port: 6000 })
  })

  it.each(['SIGINT', 'SIGTERM'] as const)('closes and ends with 0 at %s', async (signal) => {
    const relay = await FakeRelay.start(cleanUp)
    const run = frpc(['-c', file('up.toml', config(relay.port))])
    await run.lines.waitFor('login to server success')
    const session = await relay.nextSession()
    const from = performance.now()
    run.kill(signal)
    expect((await run.over).code).toBe(0)
    await session.over
    expect(performance.now() - from).toBeLessThan(2_000)
  })

  it('ends at a signal also between two sessions', async () => {
    const [closed = 0] = await freePorts(1)
    const run = frpc(['-c', file('retry.toml', config(closed, 'loginFailExit = false\n'))])
    await run.lines.waitFor('connect to server error')
    await run.lines.waitFor('connect to server error', run.lines.lines.length)
    run.kill('SIGTERM')
    expect((await run.over).code).toBe(0)
  })

  it('ends at a signal also while a program is asked for the token', async () => {
    const source = `auth.tokenSource.type = "exec"\nauth.tokenSource.exec.command = "sleep"\nauth.tokenSource.exec.args = ["20"]\n`
    const run = frpc(['--allow-unsafe=TokenSourceExec', '-c', file('asks.toml', config(1, source))])
    await run.lines.waitFor('start frpc service for config file')
    run.kill('SIGTERM')
    expect((await run.over).code).toBe(0)
  })

  it('runs one service for each file of a folder, and always ends with 0', async () => {
    const relay = await FakeRelay.start(cleanUp)
    file('many/a.toml', config(relay.port, 'user = "a"\n'))
    file('many/deep/b.toml', config(relay.port, 'user = "b"\n'))
    const broken = file('many/c.toml', 'serverAddr = 5\n')
    const run = frpc(['--config_dir', join(folder, 'many')])
    await run.lines.waitFor(`frpc service error for config file [${broken}]`)
    const users = [await relay.nextSession(), await relay.nextSession()].map(({ login }) => login.user)
    expect(users.sort()).toEqual(['a', 'b'])
    run.kill('SIGTERM')
    expect((await run.over).code).toBe(0)
  })
})
