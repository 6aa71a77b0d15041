import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { CleanUp, echoTcp } from './client-rig.ts'
import { quietPorts } from './rig/ports.ts'
import { Executables, tcpProxy } from './rig/processes.ts'
import { dialUser } from './rig/sockets.ts'

const cleanUp = new CleanUp()
let programs: Executables
beforeAll(async () => {
  programs = await Executables.build()
})
afterEach(() => cleanUp.run())
afterAll(() => programs.remove())

function httpProxy(name: string, fields: string): string {
  return `[[proxies]]\nname = "${name}"\ntype = "http"\nlocalPort = 1\n${fields}\n`
}

describe('a mistake is told in one line, in words of frp', () => {
  it('a wrong token: the relay says why, and the client ends with 1', async () => {
    const [port = 0] = await quietPorts(1)
    const relay = await programs.frps(cleanUp, `bindPort = ${port}\nauth.token = "right"\n`)
    const { code, stdout } = await programs.frpc(cleanUp, port, 'auth.token = "wrong"\n').over
    expect(code).toBe(1)
    expect(stdout.trim().split('\n').at(-1)).toBe(
      "login to the server failed: token in login doesn't match token from configuration. " +
        'With loginFailExit enabled, no additional retries will be attempted',
    )
    await relay.lines.waitFor("register control error: token in login doesn't match token from configuration")
  })

  it('a relay that is not there: the client says where it looked, and ends with 1', async () => {
    const [port = 0] = await quietPorts(1)
    const { code, stdout } = await programs.frpc(cleanUp, port, '').over
    expect(code).toBe(1)
    expect(stdout).toMatch(new RegExp(`connect to server error: .*127\\.0\\.0\\.1:${port}`))
  })

  it.each([
    ['frps', 'bindPort = "many"\n', 'bindPort'],
    ['frps', 'bindPort = 70000\n', 'bindPort'],
    ['frps', 'bindPrt = 7000\n', 'bindPrt'],
    ['frps', 'bindPort = \n', 'line 1'],
    ['frpc', 'serverPort = "x"\n', 'serverPort'],
    ['frpc', 'transport.protocol = "smoke"\n', 'transport.protocol'],
    ['frpc', '[[proxies]]\nname = "x"\ntype = "nope"\n', 'nope'],
    ['frpc', '[[proxies]]\nname = "x"\ntype = "tcp"\nlocalPort = 70000\n', 'localPort'],
  ] as const)(
    'a bad file for %s (%j) names the place, with exit code 1 at once and at verify',
    async (program, text, word) => {
      const path = programs.file('bad.toml', text)
      for (const args of [
        ['-c', path],
        ['verify', '-c', path],
      ]) {
        const { code, stdout, stderr } = await programs.run(cleanUp, program, args).over
        expect([code, stderr]).toEqual([1, ''])
        expect(stdout.trim().split('\n')).toHaveLength(1)
        expect(stdout).toContain(word)
      }
    },
  )

  it('proxies that are refused are named with the reason, and the good ones run', async () => {
    const [port = 0, taken = 0, good = 0, vhost = 0, outside = 0] = await quietPorts(5)
    const allowed = [taken, good].map((single) => `{ single = ${single} }`).join(', ')
    const toml = `bindPort = ${port}\nvhostHTTPPort = ${vhost}\nallowPorts = [${allowed}]\n`
    const relay = await programs.frps(cleanUp, `${toml}maxPortsPerClient = 0\n`)
    const echo = await echoTcp(cleanUp)
    const first = programs.frpc(
      cleanUp,
      port,
      tcpProxy('name', echo, taken) + httpProxy('web', 'customDomains = ["h.example.com"]'),
    )
    await first.lines.waitFor('[name] start proxy success')
    await first.lines.waitFor('[web] start proxy success')
    const second = programs.frpc(
      cleanUp,
      port,
      [
        tcpProxy('name', echo, good),
        tcpProxy('same-port', echo, taken),
        tcpProxy('outside', echo, outside),
        httpProxy('same-host', 'customDomains = ["h.example.com"]'),
        httpProxy('sub', 'subdomain = "x"'),
        '[[proxies]]\nname = "sni"\ntype = "https"\nlocalPort = 1\ncustomDomains = ["s.example.com"]\n',
        tcpProxy('good', echo, good),
      ].join(''),
    )
    const refusals = {
      name: 'proxy [name] already exists',
      'same-port': 'port already used',
      outside: 'port not allowed',
      'same-host': 'router config conflict',
      sub: 'subdomain is not supported because this feature is not enabled in server',
    }
    for (const [name, reason] of Object.entries(refusals)) {
      await second.lines.waitFor(`[${name}] start error: ${reason}`)
      await relay.lines.waitFor(
        `new proxy [${name}] type [${name.startsWith('s') && name !== 'same-port' ? 'http' : 'tcp'}] error: ${reason}`,
      )
    }
    await second.lines.waitFor('[sni] start error: ')
    await second.lines.waitFor('[good] start proxy success')
    for (const userPort of [taken, good]) {
      const user = dialUser(cleanUp, userPort)
      user.write('hello')
      expect(String(await new Promise((resolve) => user.once('data', resolve)))).toBe('hello')
    }
    second.kill('SIGTERM')
    expect((await second.over).code).toBe(0)
  })

  it('a relay that stays away is asked again and again, and nothing piles up', async () => {
    const [port = 0] = await quietPorts(1)
    const client = programs.frpc(cleanUp, port, 'loginFailExit = false\n')
    // Node warns of the eleventh listener.
    for (let tries = 0; tries < 12; tries++) {
      await client.lines.waitFor('connect to server error', client.lines.lines.length)
    }
    client.kill('SIGTERM')
    expect((await client.over).stderr).toBe('')
  })

  it('with loginFailExit = false the client tries until the relay is there', async () => {
    const [port = 0, userPort = 0] = await quietPorts(2)
    const client = programs.frpc(
      cleanUp,
      port,
      `loginFailExit = false\n${tcpProxy('p', await echoTcp(cleanUp), userPort)}`,
    )
    await client.lines.waitFor('connect to server error')
    await programs.frps(cleanUp, `bindPort = ${port}\n`)
    await client.lines.waitFor('[p] start proxy success')
  })
})
