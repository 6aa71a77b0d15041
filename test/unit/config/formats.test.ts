import fc from 'fast-check'
import { parse } from 'smol-toml'
import { describe, expect, it } from 'vitest'
import { loadFrpc, loadFrps } from '../../../config/load.ts'
import { pathKey } from '../../../config/problems.ts'
import { tomlPositions } from '../../../config/toml-positions.ts'
import { failure, source } from './loading.ts'

describe('the format', () => {
  it.each([
    ['TOML', 'bindPort = 1\nauth.token = "t"'],
    ['JSON', ' {"bindPort": 1, "auth": {"token": "t"}}'],
    ['YAML', 'bindPort: 1\nauth:\n  token: t'],
    ['INI', '[common]\nbind_port = 1\ntoken = t'],
  ])('%s is told by the content, without a name to go by', (_, text) => {
    const { options } = loadFrps(source(text, 'frp-e2e-server-0'))
    expect([options.bindPort, options.auth.token]).toEqual([1, 't'])
  })

  it('takes the booleans of YAML 1.1, merge keys, anchors under a dot, and null for absent', () => {
    const text = `
.base: &base
  type: tcp
  localPort: 22
serverAddr: s
user: null
loginFailExit: no
proxies:
  - <<: *base
    name: a
    transport: { useEncryption: on }`
    const { options } = loadFrpc(source(text, 'frpc.yaml'))
    expect(options.loginFailExit).toBe(false)
    expect(options.proxies).toMatchObject([{ name: 'a', localPort: 22, transport: { useEncryption: true } }])
  })

  it.each([
    ['x.toml', 'a = 1\nbindPort = = 3', 'CONFIG_SYNTAX', /^x\.toml:2: toml: line 2, column \d+: /],
    ['x', 'a = 1\nbindPort = = 3', 'CONFIG_SYNTAX', /^x:2: toml: line 2, column \d+: /],
    ['x.toml', 'a = 1\na = 2', 'CONFIG_SYNTAX', /^x\.toml:2: toml: /],
    ['x.json', '{\n"a": 1,\n}', 'CONFIG_SYNTAX', /^x\.json(:3)?: json: /],
    ['x.yaml', 'a: 1\nb: [', 'CONFIG_SYNTAX', /^x\.yaml:2: yaml: /],
    ['x.yaml', 'just words', 'CONFIG_SYNTAX', /^x\.yaml: yaml: a configuration is a table of keys/],
    ['x', 'just words', 'CONFIG_SYNTAX', /^x:1: toml: /],
    ['x.yaml', 'auth:\n  token: t\n  tokn: t', 'CONFIG_FIELD', /^x\.yaml:3: json: unknown field "tokn" in auth$/],
    ['x.yaml', 'bindPort: 70000', 'CONFIG_FIELD', /^x\.yaml:1: bindPort: port number 70000/],
    ['x.json', '{\n"auth": {\n"token": 5}}', 'CONFIG_FIELD', /^x\.json:3: field "auth.token": cannot unmarshal number/],
  ])('%s with %j is %s %s', (fileName, text, code, line) => {
    const { code: got, lines } = failure(() => loadFrps(source(text, fileName)))
    expect(got).toBe(code)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(line)
  })

  it('does not quote a secret beside a fault of JSON', () => {
    const { lines } = failure(() => loadFrps(source('{"auth": {"token": "s3cret" oops}}', 'x.json')))
    expect(lines.join()).toMatch(/^x\.json(:1)?: json: /)
    expect(lines.join()).not.toContain('s3cret')
  })

  it('stops at a bomb of YAML aliases', () => {
    const text = `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
      .split('')
      .map((name, at) => `${name}: &${name} [${Array(9).fill(`*${'abcdefg'[at]}`).join(',')}]`)
      .join('\n')}`
    expect(failure(() => loadFrps(source(text, 'x.yaml'))).code).toBe('CONFIG_SYNTAX')
  })
})

describe('a file of our own keys', () => {
  const load = (
    ours: string,
    text = 'bindPort = 1\nedgefrp = { allowWildcard = false, trustedProxies = ["10.0.0.1"] }',
  ) => loadFrps(source(text, 'frps.toml', { edgefrp: { text: ours, fileName: 'ours.yaml' } }))

  it('is laid over the table of the main file, with or without the table around it', () => {
    for (const ours of ['trustedProxies: [10.0.0.2]', 'edgefrp:\n  TrustedProxies: [10.0.0.2]']) {
      expect(load(ours).options.edgefrp).toMatchObject({ allowWildcard: false, trustedProxies: ['10.0.0.2'] })
    }
  })

  it('has its own name and lines', () => {
    expect(failure(() => load('limits:\n  nope: 1')).lines).toEqual([
      'ours.yaml:2: json: unknown field "nope" in edgefrp.limits',
    ])
    expect(failure(() => load('edgefrp: {}\nbindPort: 2')).lines).toEqual([
      'ours.yaml:2: bindPort: only keys of the table edgefrp may stand in this file',
    ])
    expect(failure(() => load('allowWildcard: true', 'edgefrp.users = 5')).lines).toEqual([
      'frps.toml:1: field "edgefrp.users": cannot unmarshal number into list',
    ])
  })
})

describe('positions of TOML keys', () => {
  const lineOf = (text: string, ...path: (string | number)[]) => {
    parse(text)
    return tomlPositions(text).get(pathKey(path))
  }

  it('are found through every kind of value', () => {
    const text = `# comment = 1
a = """
[not.a.table]
x = 1 \\"""
""""
"b.c"  . 'd' = [ # list
  1, "]", { e = 2 },
  { e = 3 } ]
[t.u] # end
v = { w = [ "}" ], x = '#' }
[[p]]
n = 2020-01-01T00:00:00Z
[p.q]
r = '''
'''
[[p]]
n = 2
[[p.s]]
[[p.s]]
z = 1`
    const at = (...path: (string | number)[]) => lineOf(text, ...path)
    expect(at('a')).toBe(2)
    expect(at('b.c', 'd')).toBe(6)
    expect(at('b.c', 'd', 3, 'e')).toBe(8)
    expect(at('t', 'u', 'v', 'x')).toBe(10)
    expect(at('p', 0, 'n')).toBe(12)
    expect(at('p', 0, 'q', 'r')).toBe(14)
    expect(at('p', 1, 'n')).toBe(17)
    expect(at('p', 1, 's', 1, 'z')).toBe(20)
  })

  it('are right for any keys, one a line', () => {
    const key = fc.string({ minLength: 1, maxLength: 12 }).filter((name) => name.toLowerCase() === name)
    fc.assert(
      fc.property(
        fc.uniqueArray(key, { maxLength: 10 }),
        fc.array(fc.string({ maxLength: 20 }), { maxLength: 10 }),
        (keys, values) => {
          const text = keys
            .map((name, at) => `${JSON.stringify(name)} = ${JSON.stringify(values[at] ?? 'v')}`)
            .join('\n')
          // Escapes in keys are kept as they stand, so only plain keys are asked for.
          keys.forEach((name, at) => {
            if (JSON.stringify(name) === `"${name}"` && name !== '__proto__') expect(lineOf(text, name)).toBe(at + 1)
          })
        },
      ),
      { numRuns: 300 },
    )
  })
})
