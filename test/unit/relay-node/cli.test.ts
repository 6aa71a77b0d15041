import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { FrpsOptions, Loaded } from '../../../config/load.ts'
import { VERSION } from '../../../contract/version.ts'
import { runCli } from '../../../relay-node/cli.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'edgefrp-cli-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

interface Outcome {
  code: number
  out: string
  err: string
  served: Loaded<FrpsOptions> | undefined
  configFile: string | undefined
}

async function run(args: readonly string[], env: Record<string, string> = {}, failure?: Error): Promise<Outcome> {
  const outcome: Outcome = { code: 0, out: '', err: '', served: undefined, configFile: undefined }
  outcome.code = await runCli(args, {
    print: (text) => {
      outcome.out += `${text}\n`
    },
    printError: (text) => {
      outcome.err += `${text}\n`
    },
    env,
    serve(loaded, configFile) {
      outcome.served = loaded
      outcome.configFile = configFile
      return failure === undefined ? Promise.resolve() : Promise.reject(failure)
    },
  })
  return outcome
}

describe('frps on the command line', () => {
  it.each(['-v', '--version'])('prints the version of frp that it follows for %s', async (flag) => {
    expect(await run([flag])).toMatchObject({ code: 0, out: `${VERSION}\n` })
  })

  it('verifies a file, with its warnings, and says where one is wrong, on standard output', async () => {
    const good = file('good.toml', 'bindPort = 7001\nkcpBindPort = 7001\n')
    const verified = await run(['verify', '-c', good])
    expect(verified.code).toBe(0)
    expect(verified.out).toContain('WARNING: ')
    expect(verified.out.endsWith(`frps: the configuration file ${good} syntax is ok\n`)).toBe(true)
    const bad = file('bad.toml', 'bindPort = 7001\nnoSuchKey = 1\n')
    expect(await run(['verify', '-c', bad])).toMatchObject({ code: 1, err: '' })
    expect((await run(['verify', '-c', bad])).out).toContain('json: unknown field "noSuchKey"')
    expect((await run(['--strict_config=false', '-c', bad, 'verify'])).code).toBe(0)
    expect(await run(['verify'])).toMatchObject({ code: 0, out: 'frps: the configuration file is not specified\n' })
    expect(await run(['verify', '-c', '/no/such'])).toMatchObject({
      code: 1,
      out: 'open /no/such: no such file or directory\n',
    })
  })

  it('reads INI with the line that frp prints', async () => {
    const ini = file('frps.ini', '[common]\nbind_port = 7002\ntoken = abc\n')
    expect((await run(['verify', '-c', ini])).out).toMatch(/^WARNING: ini format is deprecated/)
    const { served } = await run(['-c', ini])
    expect(served?.options).toMatchObject({ bindPort: 7002, auth: { token: 'abc' } })
  })

  it.each(['_', '-'])('takes flags spelled with %s', async (dash) => {
    const flags = '--bind_port=7100 --vhost_http_port 8080 --tls_only --log_level debug --allow_ports 2000-3000,3001'
    const { served, code, configFile } = await run([...flags.replaceAll('_', dash).split(' '), '-t', '--odd_token'])
    expect(code).toBe(0)
    expect(configFile).toBeUndefined()
    expect(served?.options).toMatchObject({
      bindPort: 7100,
      vhostHTTPPort: 8080,
      log: { level: 'debug' },
      auth: { token: '--odd_token' },
      transport: { tls: { force: true } },
    })
    expect(served?.options.allowPorts).toMatchObject([
      { start: 2000, end: 3000 },
      { start: 3001, end: 3001 },
    ])
  })

  it('ignores flags of the configuration beside a file', async () => {
    const path = file('own.toml', 'bindPort = 7003\n')
    const { served, configFile } = await run(['-c', path, '-p', '9999'])
    expect(served?.options.bindPort).toBe(7003)
    expect(configFile).toBe(path)
  })

  it('lays the file of our own keys over it, from the flag or the environment', async () => {
    const path = file('plain.toml', 'bindPort = 7004\n')
    const own = file('own-keys.toml', 'limits.headerTimeoutSeconds = 3\n')
    for (const outcome of [
      await run(['-c', path, '--edgefrp', own]),
      await run(['-c', path], { EDGEFRP_CONFIG: own }),
      await run(['-p', '7004'], { EDGEFRP_CONFIG: own }),
    ]) {
      expect(outcome.served?.options).toMatchObject({
        bindPort: 7004,
        edgefrp: { limits: { headerTimeoutSeconds: 3 } },
      })
    }
  })

  it('sets no password that the user did not set', async () => {
    const { served } = await run(['--dashboard_port', '7500'])
    expect(served?.options.webServer).toMatchObject({ port: 7500, user: '', password: '' })
  })

  it.each([
    [['--bind_port', 'many'], 'invalid argument "many" for "-p, --bind-port" flag: strconv.ParseInt'],
    [['--tls_only=maybe'], 'invalid argument "maybe" for "--tls-only" flag: strconv.ParseBool'],
    [['--allow_ports', '5-1'], 'range number is invalid'],
    [['--bind_port', '70000'], 'port number 70000 must be in the range 0..65535'],
  ])('refuses %j', async (args, text) => {
    const { code, out, err } = await run(args)
    expect([code, out + err]).toEqual([1, expect.stringContaining(text)])
  })

  it('explains misuse on standard error, as cobra does', async () => {
    const unknownFlag = await run(['--nonsense'])
    expect(unknownFlag).toMatchObject({ code: 1, out: '' })
    expect(unknownFlag.err).toMatch(/^Error: unknown flag: --nonsense\n/)
    const unknownCommand = await run(['nonsense'])
    expect(unknownCommand).toMatchObject({ code: 1, out: '' })
    expect(unknownCommand.err).toMatch(/^Error: unknown command "nonsense" for "frps"\n/)
  })

  it('gives shells their completion, of the flags and commands that it has', async () => {
    for (const shell of ['bash', 'zsh', 'fish', 'powershell']) {
      const { code, out, err } = await run(['completion', shell, '--no-descriptions'])
      expect([code, err]).toEqual([0, ''])
      for (const word of ['verify', 'vhost-http-port', 'allow-unsafe']) expect(out).toContain(word)
    }
    const help = await run(['completion'])
    expect(help.code).toBe(0)
    expect(help.out).toContain('powershell')
    expect((await run(['completion', 'bash', 'more'])).code).toBe(1)
    expect((await run(['help'])).out).toContain('completion')
  })

  it('prints why a relay cannot start on standard output, and ends with 1', async () => {
    const text = 'create server listener error, listen tcp 0.0.0.0:7000: bind: address already in use'
    expect(await run([], {}, new Error(text))).toMatchObject({ code: 1, out: `${text}\n`, err: '' })
  })
})
