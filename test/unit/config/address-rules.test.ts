import { describe, expect, it } from 'vitest'
import { newProxyMessage } from '../../../client/proxies/new-proxy.ts'
import { type ConfigSource, loadFrpc } from '../../../config/load.ts'
import { failure, source } from './loading.ts'

const RULES = { allowIPs: ['10.0.0.0/8', '2001:db8::/32'], denyIPs: ['10.9.9.9'] }
const METAS = { 'edgefrp.allowIPs': '10.0.0.0/8,2001:db8::/32', 'edgefrp.denyIPs': '10.9.9.9' }

function metasOf(config: ConfigSource): object[] {
  return loadFrpc(config).options.proxies.map((proxy) => {
    const message = newProxyMessage(proxy, proxy.name)
    return message.type === 'NewProxy' ? { ...message.metas } : {}
  })
}

const toml = (lines: string, name = 'ssh') =>
  source(`[[proxies]]\nname = "${name}"\ntype = "tcp"\nlocalPort = 22\n${lines}`, 'frpc.toml')
const ini = (lines: string, ours: string, sections = '[ssh]\ntype = tcp\nlocal_port = 22\n') =>
  source(`[common]\nserver_addr = s\n${sections}${lines}`, 'frpc.ini', {
    edgefrp: { text: ours, fileName: 'ours.toml' },
  })

describe('the addresses of a proxy’s users', () => {
  it('stand beside the proxy, in every format that has tables, and are sent as its metadata', () => {
    const { allowIPs, denyIPs } = RULES
    const proxy = { name: 'ssh', type: 'tcp', metadatas: { a: 'b' }, edgefrp: RULES }
    const yaml = `proxies:\n- name: ssh\n  type: tcp\n  metadatas: { a: b }\n  edgefrp:\n    AllowIPs: ${JSON.stringify(allowIPs)}\n    denyIPs: [10.9.9.9]`
    const lines = `metadatas.a = "b"\nedgefrp.allowIPs = ${JSON.stringify(allowIPs)}\nedgefrp.denyIPs = ${JSON.stringify(denyIPs)}`
    for (const file of [toml(lines), source(JSON.stringify({ proxies: [proxy] }), 'c'), source(yaml, 'c.yaml')]) {
      expect(metasOf(file)).toEqual([{ a: 'b', ...METAS }])
    }
  })

  it('stand in the file of our keys for INI, by the name of the proxy, ranges included', () => {
    const ours = (name: string) => `[[proxies]]\nname = "${name}"\nallowIPs = ["10.0.0.0/8"]`
    expect(metasOf(ini('', ours('ssh')))).toEqual([{ 'edgefrp.allowIPs': '10.0.0.0/8' }])
    const range = '[range:r]\ntype = tcp\nlocal_port = 1-2\nremote_port = 1-2\n'
    expect(metasOf(ini('', ours('r_1'), range))).toEqual([{}, { 'edgefrp.allowIPs': '10.0.0.0/8' }])
    // What frp's own key can say goes on meaning the same.
    expect(metasOf(ini('meta_edgefrp.allowIPs = 192.0.2.1', ''))).toEqual([{ 'edgefrp.allowIPs': '192.0.2.1' }])
  })

  it('reach the proxies of included files', () => {
    const main = source('includes = ["x"]\n[[edgefrp.proxies]]\nname = "in"\ndenyIPs = ["10.9.9.9"]', 'frpc.toml', {
      readInclude: () => [toml('', 'in')],
    })
    expect(metasOf(main)).toEqual([{ 'edgefrp.denyIPs': '10.9.9.9' }])
  })

  it.each([
    [toml('edgefrp.allowIPs = [\n"10.0.0.0/8",\n"10.0.0.0/33"]'), 'frpc.toml:5: proxies[0].edgefrp.allowIPs[1]: '],
    [toml('edgefrp.allowips = "10.0.0.0/8"'), 'frpc.toml:5: field "proxies[0].edgefrp.allowIPs": cannot unmarshal'],
    [toml('edgefrp.allowIP = []'), 'frpc.toml:5: json: unknown field "allowIP" in proxies[0].edgefrp'],
    [
      toml('edgefrp.denyIPs = ["::1"]\nmetadatas."edgefrp.denyIPs" = "::2"'),
      'frpc.toml:5: proxies[0].edgefrp.denyIPs: cannot specify both edgefrp.denyIPs and metadatas."edgefrp.denyIPs"',
    ],
    [
      source('proxies = [{ name = "p", type = "xtcp", edgefrp = { denyIPs = ["::1"] } }]', 'x.toml'),
      'x.toml:1: proxies[0].edgefrp.denyIPs: edgefrp.denyIPs cannot hold for xtcp: its users do not pass the relay',
    ],
    [ini('', '[[proxies]]\nname = "other"'), 'ours.toml:2: edgefrp.proxies[0].name: there is no proxy [other]'],
    [ini('', '[[proxies]]\nname = "ssh"\ndenyIPs = ["x"]'), 'ours.toml:3: edgefrp.proxies[0].denyIPs[0]: "x" is no IP'],
    [ini('', '[[proxies]]\nallowIPs = ["::1"]'), 'ours.toml:1: edgefrp.proxies[0].name: name is required'],
    [
      toml('edgefrp.allowIPs = ["::1"]\n[[edgefrp.proxies]]\nname = "ssh"\nallowIPs = ["::2"]'),
      'frpc.toml:8: edgefrp.proxies[0].allowIPs: proxy [ssh] has edgefrp.allowIPs of its own',
    ],
  ])('that are wrong are told with file and line: case %#', (file, line) => {
    const { code, lines } = failure(() => loadFrpc(file))
    expect([code, lines.length]).toEqual(['CONFIG_FIELD', 1])
    expect(lines[0]).toContain(line)
  })
})
