import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { CleanUp, converse, echoTcp } from './client-rig.ts'
import { quietPorts } from './rig/ports.ts'
import { Executables } from './rig/processes.ts'
import { startStun } from './rig/stun.ts'

const cleanUp = new CleanUp()
let programs: Executables
beforeAll(async () => {
  programs = await Executables.build()
})
afterEach(() => cleanUp.run())
afterAll(() => programs.remove())

describe('frpc nathole discover', () => {
  it("prints frp's lines", async () => {
    const server = `127.0.0.1:${await startStun(cleanUp, { portStep: 2 })}`
    const args = ['nathole', 'discover', '--nat_hole_stun_server', server, '-l', '127.0.0.1:0']
    const { code, stdout } = await programs.run(cleanUp, 'frpc', args).over
    const port = Number(/Local address is: 127\.0\.0\.1:(\d+)/.exec(stdout)?.[1])
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: [
        `STUN server: ${server}`,
        'Your NAT type is: HardNAT',
        'Behavior is: BehaviorPortChanged',
        `External address is: [127.0.0.1:${port} 127.0.0.1:${port + 2}]`,
        `Local address is: 127.0.0.1:${port}`,
        'Public Network: false',
        '',
      ].join('\n'),
    })
  })

  it('takes the server from the file, and says why it cannot tell', async () => {
    const port = await startStun(cleanUp, { isAlone: true })
    const file = programs.file('stun.toml', `natHoleStunServer = "127.0.0.1:${port}"\n`)
    const { code, stdout } = await programs.run(cleanUp, 'frpc', ['-c', file, 'nathole', 'discover']).over
    expect(code).toBe(1)
    expect(stdout).toMatch(/^discover error: can not get enough addresses, need 2, got: \[127\.0\.0\.1:\d+\]\n$/)
  })
})

describe('frpc stcp visitor', () => {
  it('runs a visitor from flags alone, beside a proxy from flags alone', async () => {
    const [bindPort = 0, local = 0] = await quietPorts(2)
    await programs.frps(cleanUp, `bindPort = ${bindPort}\nauth.token = "t"\n`)
    const common = ['-P', String(bindPort), '-t', 't', '-u', 'me', '--sk', 'k', '--disable_log_color']
    const echo = String(await echoTcp(cleanUp))
    const owner = programs.run(cleanUp, 'frpc', ['stcp', ...common, '-n', 's', '-l', echo])
    await owner.lines.waitFor('[s] start proxy success')
    const visiting = [
      'stcp',
      'visitor',
      ...common,
      '-n',
      'v',
      '--server_name',
      's',
      '--bind_port',
      String(local),
      '--ue',
    ]
    const visitor = programs.run(cleanUp, 'frpc', visiting)
    await visitor.lines.waitFor('[v] start visitor success')
    expect((await converse(local, Buffer.from('hello'), { end: true })).bytes.toString()).toBe('hello')
  })
})
