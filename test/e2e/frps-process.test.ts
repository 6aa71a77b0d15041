import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { CleanUp, freePorts, Lines, startClient } from './client-rig.ts'
import { hostNode } from './host-node.ts'

const folder = mkdtempSync(join(tmpdir(), 'edgefrp-frps-'))
const program = join(folder, 'frps.cjs')
const cleanUp = new CleanUp()

beforeAll(async () => {
  await build({
    entryPoints: [join(import.meta.dirname, '../../relay-node/main.ts')],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    external: ['cpu-features'],
    logLevel: 'silent',
  })
})
afterEach(() => cleanUp.run())
afterAll(() => rmSync(folder, { recursive: true }))

function frps(name: string, config: readonly string[]) {
  const path = join(folder, name)
  writeFileSync(path, ['bindAddr = "127.0.0.1"', 'log.disablePrintColor = true', ...config].join('\n'))
  const child = spawn(hostNode(), [program, '-c', path], { cwd: folder, env: {} })
  const lines = new Lines()
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text
    for (const line of text.split('\n')) lines.add(`${line}\n`)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text
  })
  const over = new Promise<number | null>((resolve) => child.once('close', resolve))
  cleanUp.add(async () => {
    child.kill('SIGKILL')
    await over
  })
  return { path, lines, output, over, kill: (signal: NodeJS.Signals) => child.kill(signal) }
}

describe('the process frps', () => {
  it('says what frp says at its start, and ends with 1 where the port is taken, saying so on standard output', async () => {
    const [bindPort = 0] = await freePorts(1)
    const first = frps('first.toml', [`bindPort = ${bindPort}`])
    await first.lines.waitFor(`[I] frps uses config file: ${first.path}`)
    await first.lines.waitFor(`[I] frps tcp listen on 127.0.0.1:${bindPort}`)
    await first.lines.waitFor('[I] frps started successfully')
    const second = frps('second.toml', [`bindPort = ${bindPort}`])
    expect(await second.over).toBe(1)
    const text = `create server listener error, listen tcp 127.0.0.1:${bindPort}: bind: address already in use`
    expect(second.output.stdout.split('\n')).toContain(text)
    expect(second.output.stderr).toBe('')
  })

  it.each(['SIGTERM', 'SIGINT'] as const)('stops for %s with a client and a silent stranger on it', async (signal) => {
    const [bindPort = 0] = await freePorts(1)
    writeFileSync(join(folder, 'token'), ' from-a-file\n')
    const relay = frps(`${signal}.toml`, [
      `bindPort = ${bindPort}`,
      'auth.tokenSource.type = "file"',
      `auth.tokenSource.file.path = "${join(folder, 'token')}"`,
    ])
    await relay.lines.waitFor('frps started successfully')
    const client = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: bindPort,
      auth: { token: 'from-a-file' },
      transport: { protocol: 'websocket' },
    })
    await client.lines.waitFor('login to server success')
    const stranger = connect(bindPort, '127.0.0.1')
    stranger.on('error', () => undefined)
    await new Promise<void>((resolve) => stranger.once('connect', () => resolve()))
    relay.kill(signal)
    expect(await relay.over).toBe(0)
    expect(relay.output.stdout).toContain(`frps stops: ${signal}`)
    // A run id or the token in a log would be a secret lost.
    expect(relay.output.stdout).not.toContain('from-a-file')
  })
})
