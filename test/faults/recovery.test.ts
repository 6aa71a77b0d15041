import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { CleanUp, startClient } from '../e2e/client-rig.ts'
import { startFastRelay } from '../e2e/rig/fast-relay.ts'
import { quietPorts } from '../e2e/rig/ports.ts'
import { Executables, tcpProxy } from '../e2e/rig/processes.ts'
import { dialUser, endingOf, service, wordFor } from '../e2e/rig/sockets.ts'

const cleanUp = new CleanUp()
let programs: Executables
beforeAll(async () => {
  programs = await Executables.build()
})
afterEach(() => cleanUp.run())
afterAll(() => programs.remove())

/** Clocks of ends in this process run faster, so that 15 s of silence are over sooner. */
const SPEED = 5

/** A service that says its name to whoever comes, and ends. */
function named(name: string): Promise<number> {
  return service(cleanUp, (socket) => void socket.end(name))
}

/** Which service answers on this port; the error's code if none does. */
async function who(port: number): Promise<string> {
  const user = dialUser(cleanUp, port)
  user.on('end', () => user.end())
  const ending = await endingOf(user)
  return ending.error === undefined ? ending.bytes.toString() : wordFor(ending)
}

const CARRIERS = [
  ['tcp', ''],
  ['websocket', 'transport.protocol = "websocket"\n'],
  ['tcp with tcpMux = false', 'transport.tcpMux = false\n'],
] as const

describe.each(CARRIERS)('over %s', { timeout: 40_000 }, (_name, keys) => {
  it('proxies are back by themselves after the relay was killed and started again, time and again', async () => {
    const [bindPort = 0, userPort = 0] = await quietPorts(2)
    const relayToml = `bindPort = ${bindPort}\ntransport.tcpMux = ${!keys.includes('tcpMux')}\n`
    let relay = await programs.frps(cleanUp, relayToml)
    const client = programs.frpc(cleanUp, bindPort, keys + tcpProxy('p', await named('back'), userPort))
    await client.lines.waitFor('[p] start proxy success')
    for (let round = 0; round < 3; round++) {
      expect(await who(userPort)).toBe('back')
      const since = client.lines.lines.length
      relay.kill('SIGKILL')
      await relay.over
      await client.lines.waitFor('session ended', since)
      relay = await programs.frps(cleanUp, relayToml)
      await client.lines.waitFor('[p] start proxy success', since)
    }
    expect(await who(userPort)).toBe('back')
  })

  it('a client that was killed gets its names back at its next start, without a word of refusal', async () => {
    const [bindPort = 0, userPort = 0] = await quietPorts(2)
    await programs.frps(cleanUp, `bindPort = ${bindPort}\ntransport.tcpMux = ${!keys.includes('tcpMux')}\n`)
    const toml = keys + tcpProxy('p', await named('again'), userPort)
    for (let round = 0; round < 3; round++) {
      const client = programs.frpc(cleanUp, bindPort, toml)
      await client.lines.waitFor('[p] start')
      expect(await who(userPort)).toBe('again')
      client.kill('SIGKILL')
      expect((await client.over).stdout).not.toMatch(/already|start error/)
    }
  })
})

describe('a peer that goes silent', { timeout: 40_000 }, () => {
  it('is noticed by the client, whose local connections break, and it comes back when the relay does', async () => {
    const [bindPort = 0, userPort = 0] = await quietPorts(2)
    const relay = await programs.frps(cleanUp, `bindPort = ${bindPort}\n`)
    const endings: Promise<string>[] = []
    const localPort = await service(cleanUp, (socket) => {
      socket.write('hello')
      endings.push(endingOf(socket).then(wordFor))
    })
    const proxies = [{ name: 'p', type: 'tcp', localPort, remotePort: userPort }]
    const client = startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: bindPort, proxies }, SPEED)
    await client.lines.waitFor('[p] start proxy success')
    const user = dialUser(cleanUp, userPort)
    await once(user, 'data')
    const since = client.lines.lines.length
    relay.kill('SIGSTOP')
    await client.lines.waitFor('session ended', since)
    expect(await endings[0]).toBe('ECONNRESET')
    relay.kill('SIGCONT')
    await client.lines.waitFor('[p] start proxy success', since)
    const again = dialUser(cleanUp, userPort)
    expect(String(await once(again, 'data'))).toBe('hello')
  })

  it('is noticed by the relay, whose users see an error, and it comes back when it goes on', async () => {
    const [bindPort = 0, userPort = 0] = await quietPorts(2)
    const lines = await startFastRelay(cleanUp, { bindPort }, SPEED)
    const localPort = await service(cleanUp, (socket) => void socket.write('hello'))
    const client = programs.frpc(cleanUp, bindPort, tcpProxy('p', localPort, userPort))
    await client.lines.waitFor('[p] start proxy success')
    const user = dialUser(cleanUp, userPort)
    const ending = endingOf(user)
    await once(user, 'data')
    const since = client.lines.lines.length
    client.kill('SIGSTOP')
    await lines.waitFor('client exit: ')
    expect(wordFor(await ending)).toBe('ECONNRESET')
    client.kill('SIGCONT')
    await client.lines.waitFor('[p] start proxy success', since)
    const again = dialUser(cleanUp, userPort)
    expect(String(await once(again, 'data'))).toBe('hello')
  })

  it('loses its names to whoever asks for them, who was refused while it answered', async () => {
    const [bindPort = 0, userPort = 0] = await quietPorts(2)
    await programs.frps(cleanUp, `bindPort = ${bindPort}\n`)
    const first = programs.frpc(cleanUp, bindPort, tcpProxy('p', await named('first'), userPort))
    await first.lines.waitFor('[p] start proxy success')
    const proxies = [{ name: 'p', type: 'tcp', localPort: await named('second'), remotePort: userPort }]
    // It asks again after 30 s, as frp does.
    const second = startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: bindPort, proxies }, 2 * SPEED)
    await second.lines.waitFor('[p] start error: proxy [p] already exists')
    expect(await who(userPort)).toBe('first')
    first.kill('SIGSTOP')
    await second.lines.waitFor('[p] start proxy success')
    expect(await who(userPort)).toBe('second')
  })
})
