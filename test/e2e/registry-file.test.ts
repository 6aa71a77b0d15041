import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { createLineLog } from '../../node/log.ts'
import { nodeRuntime } from '../../node/runtime.ts'
import type { SavedProxy } from '../../relay/registry-store.ts'
import { RegistryFile } from '../../relay-node/registry-file.ts'
import { askWeb } from './api-rig.ts'
import { CleanUp, converse, echoTcp, freePorts, startClient } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

function folderOf(): string {
  const folder = mkdtempSync(join(tmpdir(), 'edgefrp-state-'))
  cleanUp.add(() => rmSync(folder, { recursive: true }))
  return folder
}

function proxy(name: string): SavedProxy {
  const day = { bytesIn: 1, bytesOut: 2 }
  const times = { lastStartMs: 1, lastCloseMs: undefined, day: 3, countedIn: 0, countedOut: 0 }
  return { name, type: 'tcp', user: '', clientId: 'c', ...times, days: [day], total: day }
}

describe('edgefrp.stateFile', () => {
  it('keeps traffic and clients over a restart of the relay', async () => {
    const stateFile = join(folderOf(), 'deep', 'state.json')
    const [bindPort = 0, webPort = 0, port = 0] = await freePorts(3)
    const config = { bindPort, webServer: { port: webPort }, enablePrometheus: true, edgefrp: { stateFile } }
    const first = await startRelay(cleanUp, config)
    const local = await echoTcp(cleanUp)
    const client = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: bindPort,
      clientID: 'nas',
      proxies: [{ name: 'echo', type: 'tcp', localPort: local, remotePort: port }],
    })
    await client.lines.waitFor('start proxy success')
    await converse(port, Buffer.alloc(1000), { end: true })
    client.service.close()
    await first.lines.waitFor('close proxy [echo] success')
    await first.server.close()
    expect(statSync(stateFile).mode & 0o777).toBe(0o600)

    await startRelay(cleanUp, config)
    const traffic = JSON.parse((await askWeb(webPort, '/api/traffic/echo')).text)
    expect(traffic).toMatchObject({ name: 'echo', trafficIn: [1000, 0, 0, 0, 0, 0, 0] })
    const clients = JSON.parse((await askWeb(webPort, '/api/clients')).text)
    expect(clients).toMatchObject([{ key: 'nas', online: false }])
    const metrics = (await askWeb(webPort, '/metrics')).text
    expect(metrics).toContain('frp_server_traffic_in{name="echo",type="tcp"} 1000')
  })

  it('puts a file aside that it did not write, and says so', async () => {
    const folder = folderOf()
    const path = join(folder, 'state.json')
    const valid = JSON.stringify({ version: 1, proxies: [proxy('a')], clients: [] })
    for (const text of ['', '{"version":1', '[]', '{"version":2}', valid.replace('"bytesIn":1', '"bytesIn":"1"')]) {
      writeFileSync(path, text)
      const lines: string[] = []
      const log = createLineLog({ write: (line) => void lines.push(line), close: async () => undefined }, 'info', false)
      expect(new RegistryFile(path, nodeRuntime(log)).loadProxies()).toEqual([])
      expect(readFileSync(`${path}.bad`, 'utf8')).toBe(text)
      expect(lines.join('')).toContain('a new one begins')
    }
    writeFileSync(path, valid)
    expect(new RegistryFile(path, nodeRuntime()).loadProxies()).toMatchObject([{ name: 'a' }])
  })

  it('is whole at any time: it is replaced, not written over, and nothing stays beside it', async () => {
    const folder = folderOf()
    const path = join(folder, 'state.json')
    const file = new RegistryFile(path, nodeRuntime())
    const before = statSync(path).ino
    for (let i = 0; i < 200; i++) file.keepProxy(proxy(`p${i}`))
    file.dropProxy('p0')
    await file.close()
    expect(statSync(path).ino).not.toBe(before)
    expect(readdirSync(folder)).toEqual(['state.json'])
    expect(new RegistryFile(path, nodeRuntime()).loadProxies()).toHaveLength(199)
  })

  it('that cannot be made stops the start', async () => {
    const path = join(folderOf(), 'file')
    writeFileSync(path, '')
    await expect(
      startRelay(cleanUp, { bindPort: 0, edgefrp: { stateFile: join(path, 'state.json') } }),
    ).rejects.toThrow('edgefrp.stateFile: ')
  })
})
