import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { selfSigned } from '../../node/certificate.ts'
import { CleanUp, converse, echoTcp, freePorts, startClient } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

type Content = Record<string, unknown>

/** A plugin that answers with what `answer` says; `asked` has every operation with its content. */
async function startPlugin(answer: (op: string, content: Content) => object | Promise<object>, isHttps = false) {
  const asked: { op: string; content: Content; url: string; reqid: unknown }[] = []
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    let text = ''
    request.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
    request.on('end', () => {
      const { op, content } = JSON.parse(text)
      asked.push({ op, content, url: request.url ?? '', reqid: request.headers['x-frp-reqid'] })
      void Promise.resolve(answer(op, content)).then((reply) => response.end(JSON.stringify(reply)))
    })
  }
  const server = isHttps ? createHttpsServer(selfSigned(), onRequest) : createHttpServer(onRequest)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanUp.add(() => {
    server.closeAllConnections()
    server.close()
  })
  return { asked, port: (server.address() as AddressInfo).port } // an address, no path
}

const ALL = ['Login', 'NewProxy', 'CloseProxy', 'Ping', 'NewWorkConn', 'NewUserConn']

async function startWith(plugin: object, proxies: object[], client: object = {}) {
  const [bindPort = 0] = await freePorts(1)
  const relay = await startRelay(cleanUp, { bindPort, httpPlugins: [{ name: 'p', path: '/h', ops: ALL, ...plugin }] })
  const started = startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: bindPort, proxies, ...client })
  return { relay, client: started }
}

const tcp = (localPort: number, remotePort: number) => [{ name: 'echo', type: 'tcp', localPort, remotePort }]

describe('server plugins of a relay', () => {
  it('are asked about all six operations, and a changed port is the one that opens', async () => {
    const [wanted = 0, given = 0] = await freePorts(2)
    const plugin = await startPlugin((op, content) =>
      op === 'NewProxy' ? { content: { ...content, remote_port: given } } : { unchange: true },
    )
    const { relay, client } = await startWith(
      { addr: `127.0.0.1:${plugin.port}` },
      tcp(await echoTcp(cleanUp), wanted),
      { user: 'me', metadatas: { a: 'b' }, transport: { heartbeatInterval: 1 } },
    )
    await relay.lines.waitFor('plugin [p] has been registered')
    await client.lines.waitFor('start proxy success')
    expect((await converse(given, Buffer.from('hello'), { end: true })).bytes.toString()).toBe('hello')
    await expect.poll(() => plugin.asked.some(({ op }) => op === 'Ping')).toBe(true)
    client.service.close()
    await relay.lines.waitFor('close proxy [me.echo] success')
    await expect.poll(() => plugin.asked.at(-1)?.op).toBe('CloseProxy')
    const first = new Map(plugin.asked.toReversed().map((one) => [one.op, one]))
    expect([...first.keys()].sort()).toEqual([...ALL].sort())
    const runId = first.get('NewWorkConn')?.content['run_id']
    const user = { user: 'me', metas: { a: 'b' }, run_id: runId }
    expect(first.get('Login')?.content).toMatchObject({ user: 'me', client_address: /^127.0.0.1:\d+$/ })
    expect(first.get('NewProxy')?.content).toMatchObject({ user, proxy_name: 'me.echo', remote_port: wanted })
    expect(first.get('NewUserConn')?.content).toMatchObject({ user, proxy_name: 'me.echo', proxy_type: 'tcp' })
    expect(first.get('CloseProxy')?.content).toEqual({ user, proxy_name: 'me.echo' })
    expect(first.get('Ping')?.url).toBe('/h?op=Ping&version=0.1.0')
    expect(first.get('Ping')?.reqid).toMatch(/^[0-9a-f]{16}$/)
  })

  it.each([
    ['Login', 'login to the server failed: no Login'],
    ['NewProxy', 'start error: no NewProxy'],
  ])('refuse %s with their reason', async (refused, text) => {
    const plugin = await startPlugin((op) =>
      op === refused ? { reject: true, reject_reason: `no ${op}` } : { unchange: true },
    )
    const { client } = await startWith({ addr: `http://127.0.0.1:${plugin.port}` }, tcp(1, 0), { loginFailExit: false })
    await client.lines.waitFor(refused === 'Login' ? 'no Login' : text)
  })

  it('turn a user away before the client hears of it', async () => {
    const [port = 0] = await freePorts(1)
    const plugin = await startPlugin((op) =>
      op === 'NewUserConn' ? { reject: true, reject_reason: 'members only' } : { unchange: true },
    )
    const { relay, client } = await startWith({ addr: `127.0.0.1:${plugin.port}` }, tcp(await echoTcp(cleanUp), port))
    await client.lines.waitFor('start proxy success')
    expect((await converse(port, Buffer.from('hello'))).bytes.length).toBe(0)
    await relay.lines.waitFor('was rejected, err:members only')
    expect(client.lines.lines.join('')).not.toContain('start a new work connection')
  })

  it('do not hold a user who leaves before they answer, and no byte of one who waits is lost', async () => {
    const [port = 0] = await freePorts(1)
    const answers: (() => void)[] = []
    const plugin = await startPlugin((op) => {
      if (op !== 'NewUserConn') return { unchange: true }
      return new Promise((resolve) => answers.push(() => resolve({ unchange: true })))
    })
    const { relay, client } = await startWith({ addr: `127.0.0.1:${plugin.port}` }, tcp(await echoTcp(cleanUp), port))
    await client.lines.waitFor('start proxy success')
    const { registry, joins } = relay.server.relay
    const leaving = connect(port, '127.0.0.1')
    const waiting = converse(port, Buffer.alloc(200_000, 7), { end: true })
    await expect.poll(() => answers.length).toBe(2)
    leaving.resetAndDestroy()
    for (const answer of answers) answer()
    expect((await waiting).bytes.length).toBe(200_000)
    await expect.poll(() => [joins.size, registry.totals().connections]).toEqual([0, 0])
  })

  it('may have a certificate that nobody signed, unless tlsVerify is on', async () => {
    const plugin = await startPlugin(() => ({ unchange: true }), true)
    const addr = `https://127.0.0.1:${plugin.port}`
    const { client } = await startWith({ addr }, [])
    await client.lines.waitFor('login to server success')
    const strict = await startWith({ addr, tlsVerify: true }, [], { loginFailExit: false })
    await strict.client.lines.waitFor('send Login request to plugin error')
    await strict.relay.lines.waitFor('send Login request to plugin [p] error: self-signed certificate')
  })

  it('that are not there fail the operation, and the relay serves on', async () => {
    const [nobody = 0] = await freePorts(1)
    const { relay, client } = await startWith({ addr: `127.0.0.1:${nobody}`, ops: ['NewProxy'] }, tcp(1, 0))
    await client.lines.waitFor('start error: send NewProxy request to plugin error')
    await relay.lines.waitFor('ECONNREFUSED')
    expect(relay.server.relay.clientCount).toBe(1)
  })
})
