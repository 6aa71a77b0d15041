import { describe, expect, it } from 'vitest'
import { loadFrpc, loadFrps } from '../../../config/load.ts'
import { failure, source } from './loading.ts'

const UNSAFE =
  'unsafe feature "TokenSourceExec" is not enabled. To enable it, ensure it is allowed in the configuration or command line flags'
const ALLOWED = { allowUnsafe: ['TokenSourceExec'] }

const frps = (text: string, extra: object = {}) => loadFrps(source(text, 'frps.toml', extra))
const frpc = (text: string, extra: object = {}) => loadFrpc(source(text, 'frpc.toml', extra))

/** What is wrong with a file, without names of files and lines. */
const wrongWith = (load: typeof frps | typeof frpc, text: string, extra: object = {}): string[] =>
  failure(() => load(text, extra)).lines.map((line) => line.replace(/^frp[cs]\.toml:\d+: /, ''))

describe.each([
  ['frps', frps],
  ['frpc', frpc],
] as const)('auth.tokenSource of %s', (_name, load) => {
  it.each<[string, string, string[], object?]>([
    ['a program that is not allowed', '[auth.tokenSource]\ntype = "exec"\nexec.command = "c"', [UNSAFE]],
    [
      'a token beside a program that is not allowed',
      'auth.token = "t"\n[auth.tokenSource]\ntype = "exec"\nexec.command = "c"',
      ['cannot specify both auth.token and auth.tokenSource', UNSAFE],
    ],
    [
      'a token beside a file',
      'auth.token = "t"\n[auth.tokenSource]\ntype = "file"\nfile.path = "p"',
      ['cannot specify both auth.token and auth.tokenSource'],
    ],
    ['a file without a path', 'auth.tokenSource = { type = "file", file = {} }', ['file path cannot be empty']],
    ['no file', 'auth.tokenSource = { type = "file" }', ["file configuration is required when type is 'file'"]],
    [
      'no program',
      'auth.tokenSource = { type = "exec" }',
      ["exec configuration is required when type is 'exec'"],
      ALLOWED,
    ],
    [
      'a program without a name',
      'auth.tokenSource = { type = "exec", exec = {} }',
      ['exec command cannot be empty'],
      ALLOWED,
    ],
    [
      'a variable without a name',
      'auth.tokenSource = { type = "exec", exec = { command = "c", env = [{ value = "v" }] } }',
      ['exec env name cannot be empty'],
      ALLOWED,
    ],
    [
      'a variable that would set another one',
      'auth.tokenSource = { type = "exec", exec = { command = "c", env = [{ name = "A=B" }] } }',
      ["exec env name cannot contain '='"],
      ALLOWED,
    ],
    [
      'another type',
      'auth.tokenSource = { type = "env" }',
      ["unsupported value source type: env (only 'file' and 'exec' are supported)"],
    ],
  ])('with %s is refused in the words of frp', (_case, text, reasons, extra) => {
    const lines = wrongWith(load, text, extra)
    expect(lines).toHaveLength(reasons.length)
    for (const [index, reason] of reasons.entries()) expect(lines[index]?.endsWith(reason)).toBe(true)
  })
})

describe('auth.oidc of a relay', () => {
  it('needs an issuer that can be asked, once it is used', () => {
    expect(wrongWith(frps, 'auth.method = "oidc"')).toEqual(['auth.oidc.issuer is required'])
    for (const issuer of ['issuer.test', '/realm', 'ftp://issuer.test']) {
      expect(wrongWith(frps, `auth.method = "oidc"\nauth.oidc.issuer = "${issuer}"`)[0]).toMatch(
        /^auth\.oidc\.issuer must/,
      )
    }
    expect(frps('auth.oidc.issuer = "x"').warnings).toEqual([])
  })

  it('without an audience is warned of: any service of the issuer could log in', () => {
    const text = 'auth.method = "oidc"\nauth.oidc.issuer = "https://issuer.test"'
    expect(frps(text).warnings).toEqual([expect.stringContaining('frps.toml: auth.oidc.audience is not set')])
    expect(frps(`${text}\nauth.oidc.audience = "frps"`).warnings).toEqual([])
  })
})

describe('auth.oidc of a client', () => {
  const good = 'auth.method = "oidc"\nauth.oidc.clientID = "a"\nauth.oidc.tokenEndpointURL = "https://i.test/t"\n'

  it('is refused in the words of frp', () => {
    expect(wrongWith(frpc, 'auth.method = "oidc"')).toEqual([
      'auth.oidc.clientID is required',
      'auth.oidc.tokenEndpointURL is required',
    ])
    expect(wrongWith(frpc, good.replace('https:', 'ftp:'))).toEqual([
      'auth.oidc.tokenEndpointURL must use http or https',
    ])
    expect(wrongWith(frpc, `${good}auth.oidc.additionalEndpointParams.scope = "s"`)[0]).toContain(
      'auth.oidc.additionalEndpointParams.scope is not allowed; use auth.oidc.scope instead',
    )
    const twice = 'auth.oidc.audience = "a"\nauth.oidc.additionalEndpointParams.audience = "b"'
    expect(wrongWith(frpc, good + twice)[0]).toContain(
      'cannot specify both auth.oidc.audience and auth.oidc.additionalEndpointParams.audience',
    )
    expect(frpc(good).warnings).toEqual([])
  })

  it('with a token source has nothing beside it', () => {
    const path = 'auth.method = "oidc"\nauth.oidc.tokenSource = { type = "file", file = { path = "p" } }\n'
    expect(frpc(path).warnings).toEqual([])
    for (const other of ['clientID = "a"', 'insecureSkipVerify = true', 'additionalEndpointParams.a = "b"']) {
      expect(wrongWith(frpc, `${path}auth.oidc.${other}`)[0]).toContain(
        'cannot specify both auth.oidc.tokenSource and any other field of auth.oidc',
      )
    }
    const program = path.replace('"file", file = { path', '"exec", exec = { command')
    expect(wrongWith(frpc, program)[0]).toContain(UNSAFE)
    expect(frpc(program, ALLOWED).options.auth.oidc.tokenSource?.exec?.command).toBe('p')
  })
})

describe('auth of a fallback server', () => {
  const server = (lines: string) => `\n[[edgefrp.fallbackServers]]\nserverAddr = "b"\n${lines}`

  it('needs the same permission for a program', () => {
    const text = server('auth.tokenSource = { type = "exec", exec = { command = "c" } }')
    expect(wrongWith(frpc, text)).toEqual([`edgefrp.fallbackServers[0].auth.tokenSource: ${UNSAFE}`])
    expect(frpc(text, ALLOWED).options.edgefrp.fallbackServers[0]?.auth.tokenSource?.type).toBe('exec')
  })

  it('says once what is wrong in the file that it takes over', () => {
    expect(wrongWith(frpc, `auth.method = "oidc"\nauth.oidc.clientID = "a"${server('')}`)).toHaveLength(1)
  })

  it('has its own token where the file has a source, and its own source where the file has a token', () => {
    const source = 'auth.tokenSource = { type = "file", file = { path = "p" } }'
    const [own] = frpc(source + server('auth.token = "t"')).options.edgefrp.fallbackServers
    expect(own?.auth).toMatchObject({ token: 't', tokenSource: undefined })
    const [other] = frpc(`auth.token = "t"${server(source)}`).options.edgefrp.fallbackServers
    expect(other?.auth).toMatchObject({ token: '', tokenSource: { type: 'file' } })
  })
})
