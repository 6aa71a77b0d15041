import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { request as requestHttps } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { selfSigned } from '../../node/certificate.ts'
import { CleanUp, converse, echoHttp, echoTcp, freePorts, startClient, type TestClient } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

let relay = { bindPort: 0, vhostHTTPPort: 0, vhostHTTPSPort: 0 }
let folder = ''
beforeEach(async () => {
  const [bindPort = 0, vhostHTTPPort = 0, vhostHTTPSPort = 0] = await freePorts(3)
  relay = { bindPort, vhostHTTPPort, vhostHTTPSPort }
  folder = mkdtempSync(join(tmpdir(), 'edgefrp-plugins-'))
  cleanUp.add(() => rmSync(folder, { recursive: true }))
  await startRelay(cleanUp, relay)
})

function start(...proxies: object[]): TestClient {
  return startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: relay.bindPort, proxies }, 50)
}

/** Of a proxy of type tcp whose remotePort was 0. */
function portOf({ service }: TestClient, name: string): number {
  const status = service.control?.manager.statuses().find((one) => one.name === name)
  return Number(status?.remoteAddr.replace(/^.*:/, ''))
}

interface Answer {
  status: number | undefined
  text: string
}

function post(options: { port: number; path: string; host: string; isTls?: boolean; ca?: string }): Promise<Answer> {
  const { port, path, host, isTls = false, ca } = options
  const common = { method: 'POST', host: '127.0.0.1', port, path, headers: { Host: host }, agent: false } as const
  return new Promise((resolve, reject) => {
    const out = isTls
      ? requestHttps({ ...common, servername: host, ...(ca === undefined ? { rejectUnauthorized: false } : { ca }) })
      : request(common)
    out.on('error', reject).on('response', (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part) => {
        text += part
      })
      response.on('end', () => resolve({ status: response.statusCode, text }))
    })
    out.end('asked')
  })
}

describe('plugins behind a relay', () => {
  it('serve tcp, http and https proxies, encrypted, compressed and limited too', async () => {
    writeFileSync(join(folder, 'file.txt'), 'from a file')
    const { cert, key } = selfSigned(['own.example'])
    writeFileSync(join(folder, 'crt.pem'), cert)
    writeFileSync(join(folder, 'key.pem'), key)
    const localAddr = `127.0.0.1:${await echoHttp(cleanUp)}`
    const transport = { useEncryption: true, useCompression: true, bandwidthLimit: '10MB' }
    const files = { type: 'static_file', localPath: folder }
    const certificate = { crtPath: join(folder, 'crt.pem'), keyPath: join(folder, 'key.pem') }
    const client = start(
      { name: 'files', type: 'http', customDomains: ['files.example'], transport, plugin: files },
      { name: 'proxy', type: 'tcp', remotePort: 0, transport, plugin: { type: 'http_proxy' } },
      {
        name: 'own',
        type: 'https',
        customDomains: ['own.example'],
        transport,
        plugin: { type: 'https2http', localAddr, ...certificate },
      },
      { name: 'made', type: 'https', customDomains: ['made.example'], plugin: { type: 'https2http', localAddr } },
    )
    await Promise.all(
      ['files', 'proxy', 'own', 'made'].map((name) => client.lines.waitFor(`[${name}] start proxy success`)),
    )

    const head = 'GET /file.txt HTTP/1.1\r\nHost: files.example\r\nConnection: close\r\n\r\n'
    expect((await converse(relay.vhostHTTPPort, Buffer.from(head))).bytes.toString()).toMatch(/200 OK.*from a file$/s)
    const port = portOf(client, 'proxy')
    expect(await post({ port, path: `http://${localAddr}/`, host: 'x' })).toEqual({ status: 200, text: 'asked' })
    const https = { port: relay.vhostHTTPSPort, path: '/', isTls: true }
    expect(await post({ ...https, host: 'own.example', ca: cert })).toEqual({ status: 200, text: 'asked' })
    expect(await post({ ...https, host: 'made.example' })).toEqual({ status: 200, text: 'asked' })
  })

  it('that cannot start say which field is wrong; the others serve, and this one when the file is there', async () => {
    const localPath = join(folder, 'later')
    const client = start(
      { name: 'bad', type: 'tcp', remotePort: 0, plugin: { type: 'static_file', localPath } },
      { name: 'good', type: 'tcp', remotePort: 0, plugin: { type: 'static_file', localPath: folder } },
    )
    await client.lines.waitFor('[good] start proxy success')
    await client.lines.waitFor(`[bad] start error: plugin.localPath ${localPath}: ENOENT`)
    const bad = client.service.control?.manager.statuses().find(({ name }) => name === 'bad')
    expect(bad).toMatchObject({ phase: 'start error', error: expect.stringContaining('plugin.localPath') })
    mkdirSync(localPath)
    await client.lines.waitFor('[bad] start proxy success')
  })

  it('end with their connections, and a new configuration replaces them', async () => {
    const echo = await echoTcp(cleanUp)
    const connectHead = `CONNECT 127.0.0.1:${echo} HTTP/1.1\r\nHost: x\r\n\r\n`
    const [remotePort = 0] = await freePorts(1)
    const plugin = { type: 'http_proxy' }
    const client = start({ name: 'p', type: 'tcp', remotePort, plugin })
    await client.lines.waitFor('[p] start proxy success')
    const first = await converse(remotePort, Buffer.from(`${connectHead}through`), { end: true })
    expect(first.bytes.toString()).toMatch(/through$/)
    const [known] = client.service.control?.manager.statuses() ?? []
    if (known?.config.plugin?.type !== 'http_proxy') throw new Error('no such proxy')
    const since = client.lines.lines.length
    client.service.update([{ ...known.config, plugin: { ...known.config.plugin, httpPassword: 'new' } }])
    await client.lines.waitFor('[p] start proxy success', since)
    const second = await converse(remotePort, Buffer.from(connectHead), { end: true })
    expect(second.bytes.toString()).toMatch(/^HTTP\/1.1 407/)
  })
})
