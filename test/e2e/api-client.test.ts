import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { selfSigned } from '../../node/certificate.ts'
import { askWeb, basic, json } from './api-rig.ts'
import { CleanUp, converse, echoTcp, freePorts, Lines } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'
import { hostNode } from './host-node.ts'

const folder = mkdtempSync(join(tmpdir(), 'edgefrp-admin-'))
const program = join(folder, 'frpc.cjs')
const cleanUp = new CleanUp()

beforeAll(async () => {
  await build({
    entryPoints: [join(import.meta.dirname, '../../client/main.ts')],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    logLevel: 'silent',
  })
})
afterEach(() => cleanUp.run())
afterAll(() => rmSync(folder, { recursive: true }))

interface Run {
  lines: Lines
  over: Promise<{ code: number | null; stdout: string }>
}

function frpc(...args: string[]): Run {
  const child = spawn(hostNode(), [program, ...args], { cwd: folder, env: {} })
  const lines = new Lines()
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    for (const line of text.split('\n')) lines.add(`${line}\n`)
  })
  const over = new Promise<{ code: number | null; stdout: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout }))
  })
  cleanUp.add(async () => {
    child.kill('SIGKILL')
    await over
  })
  return { lines, over }
}

interface Scene extends Run {
  admin: number
  localPort: number
  ports: number[]
  file: string
  /** The file of a client with `proxies`. */
  text(proxies: string): string
  command(...args: string[]): Promise<{ code: number | null; stdout: string }>
}

function proxyText(name: string, localPort: number, remotePort: number): string {
  return `[[proxies]]\nname = "${name}"\ntype = "tcp"\nlocalPort = ${localPort}\nremotePort = ${remotePort}\n`
}

/** A relay, and frpc with an admin API in a process of its own. */
async function scene(more: string, proxies: (localPort: number, ports: number[]) => string): Promise<Scene> {
  const [serverPort = 0, admin = 0, ...ports] = await freePorts(5)
  await startRelay(cleanUp, { bindPort: serverPort })
  const localPort = await echoTcp(cleanUp)
  const home = mkdtempSync(join(folder, 'home-'))
  const file = join(home, 'frpc.toml')
  const text = (list: string): string =>
    `serverAddr = "127.0.0.1"\nserverPort = ${serverPort}\nwebServer.port = ${admin}\n${more}\n${list}`
  mkdirSync(home, { recursive: true })
  writeFileSync(file, text(proxies(localPort, ports)))
  const run = frpc('-c', file)
  await run.lines.waitFor('login to server success')
  return { ...run, admin, localPort, ports, file, text, command: (...args) => frpc(...args, '-c', file).over }
}

async function isOpen(port: number): Promise<boolean> {
  return (await converse(port, Buffer.from('x'), { until: 1 })).bytes.length === 1
}

describe("frpc's admin API", () => {
  it('replaces what changed in the file, leaves the rest alone, and tells what runs', async () => {
    const { admin, localPort, ports, file, text, lines } = await scene('', (local, [a = 0, b = 0]) =>
      [proxyText('kept', local, a), proxyText('moved', local, b)].join(''),
    )
    const [kept = 0, from = 0, to = 0] = ports
    await lines.waitFor('[kept] start proxy success')
    await lines.waitFor('[moved] start proxy success')
    expect((await askWeb(admin, '/api/config')).text).toBe(readFileSync(file, 'utf8'))
    const changed = text(proxyText('kept', localPort, kept) + proxyText('moved', localPort, to))
    expect(await askWeb(admin, '/api/config', { method: 'PUT', body: changed })).toMatchObject({
      status: 200,
      text: '',
    })
    expect(readFileSync(file, 'utf8')).toBe(changed)
    const since = lines.lines.length
    expect(await askWeb(admin, '/api/reload?strictConfig=true')).toMatchObject({ status: 200, text: '' })
    await lines.waitFor('[moved] start proxy success', since)
    expect(lines.lines.slice(since).join('')).not.toContain('[kept]')
    expect(await Promise.all([kept, from, to].map(isOpen))).toEqual([true, false, true])
    const entry = (name: string, port: number) => ({
      name,
      type: 'tcp',
      status: 'running',
      err: '',
      local_addr: `127.0.0.1:${localPort}`,
      plugin: '',
      remote_addr: `127.0.0.1:${port}`,
    })
    expect(await json(askWeb(admin, '/api/status'))).toEqual({ tcp: [entry('kept', kept), entry('moved', to)] })
    expect(await json(askWeb(admin, '/api/proxy/moved/config'))).toMatchObject({
      name: 'moved',
      type: 'tcp',
      tcp: { name: 'moved', localPort, remotePort: to },
    })
    expect(await json(askWeb(admin, '/api/proxy/gone/config'))).toEqual({ Code: 404, Msg: 'proxy "gone" not found' })
  }, 30_000)

  it('keeps what runs when the file is wrong', async () => {
    const { admin, ports, file, lines } = await scene('', (local, [a = 0]) => proxyText('kept', local, a))
    await lines.waitFor('[kept] start proxy success')
    writeFileSync(file, '[[proxies]]\nname = "kept"\ntype = "none"\n')
    const refused = await askWeb(admin, '/api/reload')
    expect(refused.status).toBe(400)
    expect(refused.text).toMatch(/^\{"Code":400,"Msg":"invalid argument: .*unknown proxy type: none/)
    expect((await askWeb(admin, '/api/config', { method: 'PUT', body: '' })).text).toContain("body can't be empty")
    expect(await isOpen(ports[0] ?? 0)).toBe(true)
  }, 30_000)

  it('makes, changes and deletes proxies of the store, which go before those of the file', async () => {
    const { admin, localPort, ports, file, lines } = await scene('store.path = "store.json"', (local, [a = 0]) =>
      proxyText('both', local, a),
    )
    const [inFile = 0, inStore = 0, other = 0] = ports
    await lines.waitFor('[both] start proxy success')
    const send = (method: string, path: string, body?: object) =>
      askWeb(admin, `/api/store/${path}`, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    const both = (remotePort: number) => ({ name: 'both', type: 'tcp', tcp: { localPort, remotePort } })

    const startedAgain = async (act: () => Promise<unknown>): Promise<void> => {
      const since = lines.lines.length
      await act()
      await lines.waitFor('[both] start proxy success', since)
    }
    await startedAgain(async () => expect((await send('POST', 'proxies', both(inStore))).status).toBe(200))
    expect(await Promise.all([inFile, inStore].map(isOpen))).toEqual([false, true])
    expect(await json(askWeb(admin, '/api/status'))).toMatchObject({ tcp: [{ name: 'both', source: 'store' }] })
    expect(await json(send('GET', 'proxies'))).toMatchObject({ proxies: [{ name: 'both', type: 'tcp' }] })
    expect(JSON.parse(readFileSync(join(file, '../store.json'), 'utf8'))).toMatchObject({ proxies: [{ name: 'both' }] })
    expect(await json(send('POST', 'proxies', both(other)))).toEqual({
      Code: 409,
      Msg: 'conflict: already exists: proxy "both"',
    })
    await startedAgain(async () => expect((await send('PUT', 'proxies/both', both(other))).status).toBe(200))
    expect(await Promise.all([inStore, other].map(isOpen))).toEqual([false, true])
    await startedAgain(async () => expect((await send('DELETE', 'proxies/both')).status).toBe(200))
    expect(await Promise.all([inFile, other].map(isOpen))).toEqual([true, false])

    const wrong = async (method: string, path: string, body?: object) => {
      const { status, text } = await send(method, path, body)
      return [status, (JSON.parse(text) as { Msg: string }).Msg] // frp's error, or the test is red
    }
    expect(await wrong('GET', 'proxies/both')).toEqual([404, 'not found: proxy "both"'])
    expect(await wrong('DELETE', 'proxies/both')).toEqual([404, 'not found: not found: proxy "both"'])
    expect(await wrong('POST', 'proxies', { name: 'a', type: 'tcp', udp: {} })).toEqual([
      400,
      'proxy type block "udp" does not match type "tcp"',
    ])
    expect(await wrong('POST', 'proxies', { name: 'a', type: 'tcp' })).toEqual([
      400,
      'exactly one proxy type block is required',
    ])
    expect(await wrong('PUT', 'proxies/b', both(1))).toEqual([400, 'proxy name in URL must match name in body'])
    expect(await wrong('POST', 'proxies', { name: 'a', type: 'http', http: {} })).toEqual([
      400,
      'invalid argument: validation error: subdomain and custom domains should not be both empty',
    ])
    expect(await wrong('POST', 'visitors', { name: ' ', type: 'stcp', stcp: {} })).toEqual([
      400,
      'visitor name is required',
    ])
  }, 30_000)

  it('has no store unless the file names one, and answers 405 to a wrong method', async () => {
    const { admin } = await scene('', () => '')
    expect(await askWeb(admin, '/api/store/proxies')).toMatchObject({ status: 404, text: '404 page not found\n' })
    expect((await askWeb(admin, '/api/stop')).status).toBe(405)
    expect(await json(askWeb(admin, '/api/status'))).toEqual({})
  }, 30_000)

  it('asks for the password everywhere but at healthz, and changes nothing for a page of another site', async () => {
    const more = 'webServer.user = "admin"\nwebServer.password = "canary"\nstore.path = "store.json"'
    const { admin } = await scene(
      more,
      () => '[[proxies]]\nname = "s"\ntype = "stcp"\nsecretKey = "key"\nlocalPort = 1\n',
    )
    expect(await askWeb(admin, '/healthz')).toMatchObject({ status: 200, text: '' })
    const reads = ['/', '/api/reload', '/api/status', '/api/config', '/api/proxy/s/config', '/api/store/proxies', '/x']
    for (const path of reads) expect([path, (await askWeb(admin, path)).status]).toEqual([path, 401])
    const headers = basic('admin', 'canary')
    expect(await json(askWeb(admin, '/api/proxy/s/config', { headers }))).toMatchObject({ stcp: { secretKey: 'key' } })
    const changes = [
      ['GET', '/api/reload'],
      ['POST', '/api/stop'],
      ['PUT', '/api/config'],
      ['POST', '/api/store/proxies'],
      ['PUT', '/api/store/proxies/a'],
      ['DELETE', '/api/store/proxies/a'],
    ] as const
    for (const [method, path] of changes) {
      for (const page of [
        { 'Sec-Fetch-Site': 'cross-site' },
        { 'Sec-Fetch-Site': 'same-site' },
        { Origin: 'http://a' },
      ]) {
        const answer = await askWeb(admin, path, { method, headers: { ...headers, ...page } })
        expect([method, path, answer.status]).toEqual([method, path, 403])
      }
    }
  }, 30_000)

  it('without a password answers to no name, and shows no key', async () => {
    const { admin } = await scene(
      '',
      () => '[[proxies]]\nname = "s"\ntype = "stcp"\nsecretKey = "canary"\nlocalPort = 1\n',
    )
    expect((await askWeb(admin, '/api/status', { headers: { Host: 'rebind.example.com' } })).status).toBe(403)
    expect((await askWeb(admin, '/api/proxy/s/config')).text).not.toContain('canary')
  }, 30_000)
})

describe('frpc', () => {
  it('reload, status and stop ask the one that runs, and print what frp prints', async () => {
    const { ports, localPort, lines, command, over, text, file } = await scene('', (local, [a = 0]) =>
      proxyText('ssh', local, a),
    )
    await lines.waitFor('[ssh] start proxy success')
    const local = `127.0.0.1:${localPort}`
    const remote = `127.0.0.1:${ports[0]}`
    const rows = [
      ['Name', 'Status', 'LocalAddr', 'Plugin', 'RemoteAddr', 'Error'],
      ['ssh', 'running', local, '', remote, ''],
    ]
    // Each column is two wider than its widest cell, the last one too.
    const width = (column: number) => Math.max(...rows.map((cells) => (cells[column] ?? '').length)) + 2
    const table = rows.map((cells) => cells.map((cell, column) => cell.padEnd(width(column))).join(''))
    expect(await command('status')).toEqual({
      code: 0,
      stdout: ['Proxy Status...', '', 'TCP', ...table, '', ''].join('\n'),
    })
    writeFileSync(file, text(proxyText('web', localPort, ports[1] ?? 0)))
    expect(await command('reload')).toEqual({ code: 0, stdout: 'reload success\n' })
    await lines.waitFor('[web] start proxy success')
    expect(await Promise.all(ports.slice(0, 2).map(isOpen))).toEqual([false, true])
    writeFileSync(file, text('[[proxies]]\nname = "x"\ntype = "tcp"\nunknown = 1\n'))
    expect(await command('reload', '--strict_config=false')).toEqual({ code: 0, stdout: 'reload success\n' })
    expect(await command('stop', '--strict_config=false')).toEqual({ code: 0, stdout: 'stop success\n' })
    expect((await over).code).toBe(0)
    const { code, stdout } = await command('status', '--strict_config=false')
    expect(code).toBe(1)
    expect(stdout).toMatch(
      /^Get "http:\/\/127\.0\.0\.1:\d+\/api\/status": dial tcp 127\.0\.0\.1:\d+: connect: connection refused\n$/,
    )
  }, 60_000)

  it('says what is missing, and what the API answered', async () => {
    const file = join(folder, 'no-port.toml')
    writeFileSync(file, 'serverPort = 1\n')
    for (const name of ['reload', 'status', 'stop']) {
      expect(await frpc(name, '-c', file).over).toEqual({
        code: 1,
        stdout: 'web server port should be set if you want to use this feature\n',
      })
    }
    const { admin, command } = await scene('webServer.user = "a"\nwebServer.password = "b"', () => '')
    const other = join(folder, 'other.toml')
    writeFileSync(other, `webServer.port = ${admin}\nwebServer.password = "wrong"\n`)
    expect(await frpc('status', '-c', other).over).toEqual({ code: 1, stdout: 'api status code [401]\n' })
    expect(await command('status')).toEqual({ code: 0, stdout: 'Proxy Status...\n\n' })
  }, 60_000)

  it('reaches an admin API with TLS, which frp cannot', async () => {
    const { certificate, key } = pemFiles()
    const tls = `webServer.tls.certFile = "${certificate}"\nwebServer.tls.keyFile = "${key}"`
    const { command } = await scene(tls, () => '')
    expect(await command('status')).toEqual({ code: 0, stdout: 'Proxy Status...\n\n' })
  }, 30_000)
})

function pemFiles(): { certificate: string; key: string } {
  const made = selfSigned()
  const certificate = join(folder, 'cert.pem')
  const key = join(folder, 'key.pem')
  writeFileSync(certificate, made.cert)
  writeFileSync(key, made.key)
  return { certificate, key }
}
