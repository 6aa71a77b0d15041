import { describe, expect, it } from 'vitest'
import { type Flag, normalizeCommand, ROOT_FLAGS } from '../../../client/cli/flags.ts'
import {
  ALL_QUICK_FLAGS,
  QUICK_TYPES,
  QUICK_VISITOR_FLAGS,
  QUICK_VISITOR_TYPES,
  quickConfig,
  quickFlags,
  quickVisitorConfig,
  quickVisitorFlags,
} from '../../../client/cli/quick.ts'
import { completeFrpc } from '../../../config/load.ts'
import { normalize, readFlag } from '../../../node/pflag.ts'

const FLAGS: Flag[] = [
  { name: 'server_addr', short: 's', kind: 'string', about: '' },
  { name: 'tls_enable', kind: 'bool', about: '' },
  { name: 'version', short: 'v', kind: 'bool', about: '' },
]

describe('normalize', () => {
  it('takes _ and - for the same in the names of flags, and in nothing else', () => {
    const expected = ['--server-addr', 'a_b', '--tls-enable=true']
    expect(normalize(['--server_addr', 'a_b', '--tls_enable'], FLAGS)).toEqual(expected)
    expect(normalize(['--server-addr', 'a_b', '--tls-enable'], FLAGS)).toEqual(expected)
    expect(normalize(['--server_addr=a_b'], FLAGS)).toEqual(['--server-addr=a_b'])
    expect(normalize(['--no_such=a_b', 'x_y'], FLAGS)).toEqual(['--no-such=a_b', 'x_y'])
  })

  it('leaves a value alone that looks like a flag', () => {
    expect(normalize(['-s', '--tls_enable'], FLAGS)).toEqual(['--server-addr', '--tls_enable'])
    expect(normalize(['--', '--tls_enable'], FLAGS)).toEqual(['--', '--tls_enable'])
  })

  it('gives a boolean its value only after =, so that a command may follow', () => {
    expect(normalize(['--tls_enable', 'tcp'], FLAGS)).toEqual(['--tls-enable=true', 'tcp'])
    expect(normalize(['--tls_enable=false', '-v'], FLAGS)).toEqual(['--tls-enable=false', '--version=true'])
  })
})

describe('normalizeCommand', () => {
  const all = [...ROOT_FLAGS, ...QUICK_VISITOR_FLAGS, ...ALL_QUICK_FLAGS]
  const rewrite = (line: string): string => normalizeCommand(line.split(' '), all, quickVisitorFlags).join(' ')

  it('gives a flag to the command that its words name', () => {
    expect(rewrite('stcp -n a --sk s')).toBe('stcp --proxy-name a --sk s')
    expect(rewrite('stcp visitor -n a --sk s')).toBe('stcp visitor --visitor-name a --sk s')
  })

  it('takes flags before the words, and no value for a word', () => {
    expect(rewrite('-s h --tls_enable=false stcp --sk s visitor --bind_port 1')).toBe(
      'stcp visitor --server-addr h --tls-enable=false --sk s --bind-port 1',
    )
    expect(rewrite('stcp -n visitor --sk s')).toBe('stcp --proxy-name visitor --sk s')
    expect(rewrite('tcp visitor -n a')).toBe('tcp visitor --proxy-name a')
  })
})

describe('readFlag', () => {
  const flag = (kind: Flag['kind']): Flag => ({ name: 'x_y', kind, about: '' })

  it('reads lists and maps, also when a flag comes twice', () => {
    expect(readFlag(flag('strings'), 'c', readFlag(flag('strings'), 'a,b', undefined))).toEqual(['a', 'b', 'c'])
    expect(readFlag(flag('stringToString'), 'c=d=e', readFlag(flag('stringToString'), 'a=b', undefined))).toEqual({
      a: 'b',
      c: 'd=e',
    })
  })

  it('refuses what is no number, no boolean, no pair', () => {
    expect(() => readFlag(flag('int'), '80a', undefined)).toThrow(
      'invalid argument "80a" for "--x-y" flag: strconv.ParseInt: parsing "80a": invalid syntax',
    )
    expect(() => readFlag(flag('bool'), 'yes', undefined)).toThrow('invalid argument "yes"')
    expect(() => readFlag(flag('stringToString'), 'a', undefined)).toThrow('must be formatted as key=value')
  })
})

describe('quickConfig', () => {
  it('says with flags what a file says', () => {
    const values: Record<string, unknown> = {
      server_port: 7001,
      protocol: 'websocket',
      tls_enable: false,
      token: '{{ no template }}',
      proxy_name: 'web',
      local_port: 80,
      custom_domain: ['a.example', 'b.example'],
      http_user: 'u',
      ue: true,
      bandwidth_limit: '1MB',
    }
    const { options } = completeFrpc(quickConfig('http', (flag) => values[flag.name]))
    expect(options).toMatchObject({
      serverAddr: '127.0.0.1',
      serverPort: 7001,
      auth: { token: '{{ no template }}' },
      transport: { protocol: 'websocket', tls: { enable: false } },
      proxies: [
        {
          type: 'http',
          name: 'web',
          localIP: '127.0.0.1',
          localPort: 80,
          customDomains: ['a.example', 'b.example'],
          httpUser: 'u',
          transport: { useEncryption: true, bandwidthLimit: '1MB' },
        },
      ],
    })
  })

  it('makes a visitor of each type that has one', () => {
    const values: Record<string, unknown> = {
      user: 'me',
      visitor_name: 'v',
      server_name: 's',
      'server-user': 'them',
      sk: 'k',
      bind_addr: '127.0.0.2',
      bind_port: 9,
      uc: true,
    }
    for (const type of QUICK_VISITOR_TYPES) {
      const { options } = completeFrpc(quickVisitorConfig(type, (flag) => values[flag.name]))
      expect(options).toMatchObject({
        serverAddr: '127.0.0.1',
        user: 'me',
        proxies: [],
        visitors: [
          {
            type,
            name: 'v',
            serverName: 's',
            serverUser: 'them',
            secretKey: 'k',
            bindAddr: '127.0.0.2',
            bindPort: 9,
            transport: { useEncryption: false, useCompression: true },
          },
        ],
      })
    }
    expect(() => completeFrpc(quickVisitorConfig('stcp', () => undefined))).toThrow('bind port is required')
  })

  it('knows no flag that the configuration does not know', () => {
    for (const type of QUICK_TYPES) {
      const samples = { string: 'tcp', int: 1, bool: true, strings: ['a'], stringToString: { a: 'b' } }
      const known: Record<string, unknown> = {
        log_level: 'info',
        bandwidth_limit: '1KB',
        bandwidth_limit_mode: 'client',
        mux: 'httpconnect',
      }
      const all = (flag: Flag): unknown => known[flag.name] ?? samples[flag.kind]
      expect(() => completeFrpc(quickConfig(type, all)), type).not.toThrow()
      expect(new Set(quickFlags(type).map((flag) => flag.name)).size).toBe(quickFlags(type).length)
    }
  })
})
