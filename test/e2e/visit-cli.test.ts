import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { askUdp, CleanUp, converse, echoTcp, echoUdp, freePorts, Lines, listenTcp, startClient } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'
import { hostNode } from './host-node.ts'
import { endOf } from './visitor-rig.ts'

const folder = mkdtempSync(join(tmpdir(), 'edgefrp-visit-'))
const program = join(folder, 'frpc.mjs')
const rig = new CleanUp()
const cleanUp = new CleanUp()
let ports: Record<'bind' | 'echo' | 'service' | 'udp' | 'nobody', number>
let onSocket: (socket: Socket) => void

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
  const [bind = 0, echo = 0, service = 0, udp = 0, nobody = 0] = await freePorts(5)
  ports = { bind, echo, service, udp, nobody }
  const auth = { auth: { token: 'secret' } }
  await startRelay(rig, { bindPort: bind, ...auth })
  const key = { metadatas: { 'edgefrp.visitKey': 'k' } }
  const { lines } = startClient(rig, {
    serverAddr: '127.0.0.1',
    serverPort: bind,
    ...auth,
    proxies: [
      { name: 'echo', type: 'tcp', localPort: await echoTcp(rig), remotePort: echo, ...key },
      {
        name: 'service',
        type: 'tcp',
        localPort: await listenTcp(rig, (socket) => onSocket(socket)),
        remotePort: service,
        metadatas: { 'edgefrp.visit': 'public' },
      },
      { name: 'udp', type: 'udp', localPort: await echoUdp(rig), remotePort: udp, ...key },
    ],
  })
  for (const name of ['echo', 'service', 'udp']) await lines.waitFor(`[${name}] start proxy success`)
})
afterEach(() => cleanUp.run())
afterAll(async () => {
  await rig.run()
  rmSync(folder, { recursive: true })
})

interface Visit {
  child: ChildProcessWithoutNullStreams
  errors: Lines
  /** Of stdout, before the process ends. */
  outputEnded: Promise<void>
  over: Promise<{ code: number | null; stdout: Buffer; stderr: string }>
}

function visit(...args: string[]): Visit {
  return run(hostNode(), [program, 'visit', ...args])
}

/** Node gives a child sockets; a shell gives it pipes, whose ends are told otherwise. */
function visitThroughPipe(...args: string[]): Visit {
  // The shell lets go of its own output, and gives what runs behind it its input.
  const script = 'exec 3<&0; "$0" "$@" <&3 3<&- | cat 3<&- & exec >&- 3<&-; wait'
  return run('/bin/sh', ['-c', script, hostNode(), program, 'visit', ...args])
}

function run(command: string, args: readonly string[]): Visit {
  const child = spawn(command, args, { cwd: folder, env: { PATH: process.env['PATH'] } })
  const parts: Buffer[] = []
  const errors = new Lines()
  child.stdout.on('data', (part: Buffer) => parts.push(part))
  child.stderr.setEncoding('utf8').on('data', (text: string) => errors.add(text))
  // A child that ended before it read all is what some of these tests want.
  child.stdin.on('error', () => undefined)
  const outputEnded = new Promise<void>((resolve) => child.stdout.on('end', () => resolve()))
  const over = new Promise<Awaited<Visit['over']>>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout: Buffer.concat(parts), stderr: errors.lines.join('') }))
  })
  cleanUp.add(async () => {
    child.kill('SIGKILL')
    await over
  })
  return { child, errors, outputEnded, over }
}

const at = (...more: string[]): string[] => ['--server', `ws://127.0.0.1:${ports.bind}`, ...more]

describe('frpc visit tcp --stdio', () => {
  it('carries 20 MB both ways, and ends with 0 and not a word', async () => {
    const bytes = randomBytes(20_000_000)
    const { child, over } = visit('tcp', `${ports.echo}`, ...at('--token', 'secret', '--stdio'))
    child.stdin.end(bytes)
    const { code, stdout, stderr } = await over
    expect([code, stderr, stdout.equals(bytes)]).toEqual([0, '', true])
  })

  it('passes the end of stdin on while stdout continues', async () => {
    onSocket = (socket) => {
      let asked = 0
      socket.on('data', (part) => {
        asked += part.length
      })
      socket.on('end', () => {
        socket.write('first ')
        socket.end(`asked ${asked}`)
      })
    }
    const { child, over } = visit('tcp', `${ports.service}`, ...at('--stdio'))
    child.stdin.end('question')
    expect(await over).toEqual({ code: 0, stdout: Buffer.from('first asked 8'), stderr: '' })
  })

  it.each([
    ['a socket', visit],
    ['a pipe', visitThroughPipe],
  ])('ends stdout when the service ended, while stdin continues (%s)', async (_, start) => {
    let atService: ReturnType<typeof endOf> | undefined
    onSocket = (socket) => {
      atService = endOf(socket)
      socket.end('bye')
    }
    const { child, outputEnded, over } = start('tcp', `${ports.service}`, ...at('--stdio'))
    await outputEnded
    child.stdin.end('and another thing')
    expect(await over).toEqual({ code: 0, stdout: Buffer.from('bye'), stderr: '' })
    expect(await atService).toEqual({ text: 'and another thing', ended: true, code: undefined })
  })

  it('ends with 1 and a line when the service resets', async () => {
    onSocket = (socket) => {
      socket.once('data', () => socket.resetAndDestroy())
    }
    const { child, over } = visit('tcp', `${ports.service}`, ...at('--stdio'))
    child.stdin.write('go')
    const { code, stdout, stderr } = await over
    expect([code, stdout.length]).toEqual([1, 0])
    expect(stderr).toMatch(/^frpc visit tcp \d+: connection lost: .*reset.*\n$/)
  })

  it('resets the service when it is killed', async () => {
    const end = new Promise<ReturnType<typeof endOf>>((resolve) => {
      onSocket = (socket) => {
        resolve(endOf(socket))
        socket.write('ready')
      }
    })
    const { child } = visit('tcp', `${ports.service}`, ...at('--stdio'))
    child.stdout.once('data', () => child.kill('SIGKILL'))
    expect(await end).toMatchObject({ ended: false, code: 'ECONNRESET' })
  })

  it('takes server and token from a file', async () => {
    const file = join(folder, 'frpc.toml')
    writeFileSync(
      file,
      `serverAddr = "127.0.0.1"\nserverPort = ${ports.bind}\ntransport.tls.enable = false\nauth.token = "secret"\n`,
    )
    const { child, over } = visit('tcp', `${ports.echo}`, '-c', file, '--stdio')
    child.stdin.end('hello')
    expect(await over).toEqual({ code: 0, stdout: Buffer.from('hello'), stderr: '' })
  })
})

describe('frpc visit', () => {
  it.each([
    ['a wrong port', 'nobody', ['--token', 'secret', '--stdio'], 'no proxy at [tcp:PORT]'],
    ['a wrong token', 'echo', ['--token', 'wrong', '--stdio'], 'login failed: token in login'],
    [
      'a wrong token (bound)',
      'echo',
      ['--token', 'wrong', '--bind', '0', '--log_level', 'error'],
      'login failed: token',
    ],
    ['a wrong visit key', 'echo', ['--visit-key', 'wrong', '--stdio'], 'visitor connection of [tcp:PORT] auth failed'],
    ['nothing to show', 'echo', ['--stdio'], 'visitor connection of [tcp:PORT] auth failed'],
    ['both credentials', 'echo', ['--visit-key', 'k', '--token', 't'], 'give --token or --visit-key, not both'],
  ] as const)('ends with 1 and one line for %s', async (_, name, args, line) => {
    const { code, stdout, stderr } = await visit('tcp', `${ports[name]}`, ...at(...args)).over
    expect([code, stdout.toString()]).toEqual([1, ''])
    expect(stderr.split('\n')).toHaveLength(2)
    expect(stderr).toContain(`frpc visit tcp ${ports[name]}: ${line.replace('PORT', `${ports[name]}`)}`)
  })

  it('ends with 1 and one line when nobody listens there', async () => {
    const args = ['--server', `ws://127.0.0.1:${ports.nobody}`, '--stdio', '--visit-key', 'k']
    const { code, stderr } = await visit('tcp', '1', ...args).over
    expect(code).toBe(1)
    expect(stderr).toMatch(/^frpc visit tcp 1: cannot connect to 127\.0\.0\.1:\d+: .*\n$/)
  })

  it('brings a tcp port to a local one, until a signal', async () => {
    const [port = 0] = await freePorts(1)
    const { child, errors, over } = visit('tcp', `${ports.echo}`, ...at('--visit-key', 'k', '--bind', `${port}`))
    await errors.waitFor(`listen on 127.0.0.1:${port}`)
    const answers = await Promise.all([1, 2].map(() => converse(port, Buffer.from('hello'), { end: true })))
    expect(answers.map(({ bytes }) => bytes.toString())).toEqual(['hello', 'hello'])
    child.kill('SIGTERM')
    expect(await over).toMatchObject({ code: 0, stdout: Buffer.alloc(0) })
  })

  it('brings a udp port to a local one, and ends at once when the key is wrong', async () => {
    const [port = 0] = await freePorts(1)
    const { errors } = visit('udp', `${ports.udp}`, ...at('--visit-key', 'k', '--bind', `127.0.0.1:${port}`))
    await errors.waitFor(`listen on 127.0.0.1:${port}`)
    const answers = await Promise.all(['one', 'two'].map((text) => askUdp(port, Buffer.from(text))))
    expect(answers.map(String)).toEqual(['one', 'two'])
    const refused = await visit('udp', `${ports.udp}`, ...at('--visit-key', 'wrong', '--bind', '0')).over
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain(`frpc visit udp ${ports.udp}: visitor connection of`)
  })
})
