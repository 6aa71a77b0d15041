import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { proxyJson, visitorJson, withoutSecrets } from '../../../client/admin/go-json.ts'
import { Store } from '../../../client/admin/store.ts'
import { completeProxy, completeVisitor } from '../../../config/load.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'edgefrp-store-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const tcp = (name: string, remotePort = 1) => completeProxy({ name, type: 'tcp', localPort: 22, remotePort })

describe('the store', () => {
  it('is a file that frp reads, made with its first entry, for this user alone', () => {
    const path = join(folder, 'deep', 'er', 'store.json')
    const store = new Store(path)
    expect(existsSync(path)).toBe(false)
    store.proxies.add(tcp('a', 6000))
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({
      proxies: [
        {
          name: 'a',
          type: 'tcp',
          transport: { bandwidthLimit: '', bandwidthLimitMode: 'client' },
          loadBalancer: { group: '' },
          healthCheck: { type: '', intervalSeconds: 0 },
          localIP: '127.0.0.1',
          localPort: 22,
          plugin: null,
          remotePort: 6000,
        },
      ],
    })
    expect(readFileSync(path, 'utf8')).toMatch(/^\{\n {2}"proxies": \[\n {4}\{/)
    expect(existsSync(`${path}.tmp`)).toBe(false)
  })

  it('reads what frp wrote, with keys that it does not know', () => {
    const path = join(folder, 'store.json')
    // As stock frpc 0.70.1 writes it.
    const proxy = { name: 'st', type: 'tcp', enabled: true, transport: { bandwidthLimit: '' }, plugin: null }
    const visitor = { name: 'sv', type: 'stcp', transport: {}, secretKey: 'x', serverName: 's1', bindPort: 1, later: 1 }
    writeFileSync(path, JSON.stringify({ proxies: [{ ...proxy, localPort: 1, remotePort: 2 }], visitors: [visitor] }))
    const store = new Store(path)
    expect(store.proxies.get('st')).toMatchObject({ name: 'st', enabled: true, remotePort: 2 })
    expect(store.visitors.list()).toMatchObject([{ name: 'sv', serverName: 's1' }])
  })

  it('reads again what it wrote, whatever the changes', () => {
    const change = fc.tuple(fc.constantFrom('add', 'update', 'remove'), fc.constantFrom('a', 'b', 'c'), fc.nat(65_535))
    let run = 0
    fc.assert(
      fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
        const path = join(folder, `${run++}.json`)
        const store = new Store(path)
        const model = new Map<string, number>()
        for (const [what, name, port] of changes) {
          const isThere = model.has(name)
          const act = () => (what === 'remove' ? store.proxies.remove(name) : store.proxies[what](tcp(name, port)))
          if (isThere !== (what === 'add')) {
            act()
            if (what === 'remove') model.delete(name)
            else model.set(name, port)
          } else expect(act).toThrow(what === 'add' ? 'already exists' : 'not found')
        }
        const read = new Store(path).proxies.list()
        expect(read).toEqual(store.proxies.list())
        const ports = read.map((one) => [one.name, one.type === 'tcp' ? one.remotePort : -1])
        expect(ports).toEqual([...model].sort(([a], [b]) => (a < b ? -1 : 1)))
      }),
      { numRuns: 40 },
    )
  })

  it('takes a change back that cannot be written', () => {
    const path = join(folder, 'store.json')
    const store = new Store(path)
    store.proxies.add(tcp('a', 1))
    // The name that it writes first is a folder with something in it.
    mkdirSync(join(`${path}.tmp`, 'x'), { recursive: true })
    expect(() => store.proxies.update(tcp('a', 2))).toThrow('failed to persist')
    expect(() => store.proxies.remove('a')).toThrow('failed to persist')
    expect(() => store.proxies.add(tcp('b'))).toThrow('failed to persist')
    expect(store.proxies.list()).toEqual([tcp('a', 1)])
  })

  it('does not write through a link that somebody laid', () => {
    const path = join(folder, 'store.json')
    const victim = join(folder, 'victim')
    writeFileSync(victim, 'untouched')
    symlinkSync(victim, `${path}.tmp`)
    new Store(path).proxies.add(tcp('a'))
    expect(readFileSync(victim, 'utf8')).toBe('untouched')
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it.each([
    ['{', 'failed to load existing data'],
    ['{"proxies": 1}', 'proxies must be a list'],
    ['{"proxies": [{"type": "tcp"}]}', 'store: proxies[0]: name: name should not be empty'],
    ['{"proxies": [{"name": "a", "type": "none"}]}', 'store: proxies[0]: type: unknown proxy type: none'],
    ['{"visitors": [{"name": "a", "type": "stcp"}]}', 'store: visitors[0]'],
  ])('refuses to start with %s', (text, message) => {
    const path = join(folder, 'store.json')
    writeFileSync(path, text)
    expect(() => new Store(path)).toThrow(message)
  })

  it('says which file it cannot read', () => {
    const path = join(folder, 'folder')
    mkdirSync(path)
    chmodSync(path, 0o700)
    expect(() => new Store(path)).toThrow(`store.path [${path}]: failed to load existing data`)
  })
})

describe('a proxy as frp writes it', () => {
  it('reads back as the same proxy, whatever its type', () => {
    const header = { set: { 'x-a': 'b' } }
    const common = { enabled: false, metadatas: { a: 'b' }, transport: { useEncryption: true, bandwidthLimit: '1MB' } }
    const list = [
      { type: 'tcp', localPort: 1, remotePort: 2, loadBalancer: { group: 'g', groupKey: 'k' } },
      { type: 'udp', localPort: 1, transport: { proxyProtocolVersion: 'v2' } },
      { type: 'http', subdomain: 'a', locations: ['/'], httpUser: 'u', requestHeaders: header, routeByHTTPUser: 'r' },
      {
        type: 'http',
        customDomains: ['a'],
        healthCheck: { type: 'http', path: '/', httpHeaders: [{ name: 'a', value: 'b' }] },
      },
      { type: 'https', customDomains: ['a'], plugin: { type: 'https2http', localAddr: 'a:1', requestHeaders: header } },
      { type: 'tcpmux', customDomains: ['a'], multiplexer: 'httpconnect', httpPassword: 'p' },
      { type: 'stcp', secretKey: 's', allowUsers: ['*'], ...common },
      { type: 'sudp', secretKey: 's', annotations: { a: 'b' } },
      { type: 'xtcp', secretKey: 's', natTraversal: { disableAssistedAddrs: true } },
    ]
    for (const raw of list) {
      const options = completeProxy({ name: 'n', ...raw })
      expect(completeProxy(JSON.parse(JSON.stringify(proxyJson(options))), { strict: true })).toEqual(options)
    }
  })

  it('and so does a visitor', () => {
    const common = { name: 'v', serverName: 's', bindPort: -1, secretKey: 'k', serverUser: 'u', enabled: false }
    for (const raw of [{ type: 'stcp' }, { type: 'sudp' }, { type: 'xtcp', fallbackTo: 'x', keepTunnelOpen: true }]) {
      const options = completeVisitor({ ...common, ...raw })
      expect(completeVisitor(JSON.parse(JSON.stringify(visitorJson(options))), { strict: true })).toEqual(options)
    }
  })

  it('can be shown without what opens something', () => {
    const secrets = { secretKey: 'canary', plugin: { type: 'socks5', username: 'u', password: 'canary' } }
    const shown = withoutSecrets(proxyJson(completeProxy({ name: 'n', type: 'stcp', ...secrets })))
    expect(JSON.stringify(shown)).not.toContain('canary')
    expect(shown).toMatchObject({ name: 'n', plugin: { type: 'socks5', username: 'u' } })
    const http = { name: 'n', type: 'http', subdomain: 'a', httpUser: 'u', httpPassword: 'canary' }
    expect(JSON.stringify(withoutSecrets(proxyJson(completeProxy(http))))).not.toContain('canary')
  })
})
