import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import { CleanUp, converse, echoTcp, listenTcp } from '../../e2e/client-rig.ts'
import { deferred, openPlugin } from './plugin-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const HEADER = 'PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n'

interface Ending {
  text: string
  ended: boolean
  error: Error | undefined
}

/** Sends `text` through TLS, half-closes if asked, and reads until the connection is over. */
function converseTls(port: number, text: string, end = false): Promise<Ending> {
  return new Promise((resolve) => {
    const options = { port, host: '127.0.0.1', rejectUnauthorized: false, allowHalfOpen: true }
    // Of the options of net.connect TLS takes this one too; its type does not know it.
    const socket: TLSSocket = connectTls(options)
    const ending: Ending = { text: '', ended: false, error: undefined }
    socket.on('data', (part) => {
      ending.text += part
    })
    socket.on('end', () => {
      ending.ended = true
      socket.end()
    })
    socket.on('error', (error) => {
      ending.error = error
    })
    socket.on('close', () => resolve(ending))
    socket.write(text)
    if (end) socket.end()
  })
}

async function listenUnix(onSocket: (socket: Socket) => void): Promise<string> {
  const path = join(tmpdir(), `edgefrp-${process.pid}.sock`)
  const server = createServer({ allowHalfOpen: true }, onSocket).listen(path)
  await once(server, 'listening')
  cleanUp.add(() => {
    server.close()
    rmSync(path, { force: true })
  })
  return path
}

describe('tls2raw', () => {
  it('carries what was in TLS, with the half-close', async () => {
    const patient = await listenTcp(cleanUp, (socket) => {
      let text = ''
      socket.on('data', (part) => {
        text += part
      })
      socket.once('end', () => socket.end(`${text}, after the end`))
    })
    const { port, idle } = await openPlugin(cleanUp, { type: 'tls2raw', localAddr: `127.0.0.1:${patient}` })
    expect(await converseTls(port, 'heard', true)).toEqual({
      text: 'heard, after the end',
      ended: true,
      error: undefined,
    })
    await idle()
  })

  it('carries a megabyte both ways', async () => {
    const { port } = await openPlugin(cleanUp, { type: 'tls2raw', localAddr: `127.0.0.1:${await echoTcp(cleanUp)}` })
    const text = 'x'.repeat(1024 * 1024)
    const ending = await converseTls(port, text, true)
    expect(ending.text.length).toBe(text.length)
    expect(ending.ended).toBe(true)
  })

  it('tells the service by the PROXY protocol who came', async () => {
    const echo = await echoTcp(cleanUp)
    const options = { type: 'tls2raw', localAddr: `127.0.0.1:${echo}` }
    const { port } = await openPlugin(cleanUp, options, { proxyProtocolVersion: 'v1' })
    expect((await converseTls(port, 'text', true)).text).toBe(`${HEADER}text`)
  })

  it('passes a reset on: what was cut does not look complete', async () => {
    const rude = await listenTcp(cleanUp, (socket) => {
      socket.once('data', () => socket.write('half', () => socket.resetAndDestroy()))
    })
    const { port, idle } = await openPlugin(cleanUp, { type: 'tls2raw', localAddr: `127.0.0.1:${rude}` })
    const { ended, error } = await converseTls(port, 'ask')
    expect([ended, error]).toEqual([false, expect.objectContaining({ code: 'ECONNRESET' })])
    await idle()
  })

  it('resets the service when the user is cut', async () => {
    let error: Error | undefined
    const closed = deferred()
    const local = await listenTcp(cleanUp, (socket) => {
      socket.on('error', (reason) => {
        error = reason
      })
      socket.on('close', () => closed.resolve())
      socket.on('data', () => undefined)
      socket.write('ready')
    })
    const { port, idle } = await openPlugin(cleanUp, { type: 'tls2raw', localAddr: `127.0.0.1:${local}` })
    const raw = connect(port, '127.0.0.1')
    const socket = connectTls({ socket: raw, rejectUnauthorized: false })
    socket.on('error', () => undefined)
    await once(socket, 'data')
    raw.resetAndDestroy()
    await closed.promise
    expect(error).toMatchObject({ code: 'ECONNRESET' })
    await idle()
  })

  it('says what it cannot do: no TLS, no service, no certificate', async () => {
    const { port, lines, idle } = await openPlugin(cleanUp, { type: 'tls2raw', localAddr: '127.0.0.1:1' })
    await converse(port, Buffer.from('no TLS at all'))
    await lines.waitFor('tls handshake error')
    expect((await converseTls(port, 'x')).ended).toBe(false)
    await lines.waitFor('dial to local addr error: cannot connect to 127.0.0.1:1')
    await idle()
    const files = { crtPath: '/none.crt', keyPath: '/none.key' }
    await expect(openPlugin(cleanUp, { type: 'tls2raw', localAddr: '127.0.0.1:1', ...files })).rejects.toThrow(
      /^plugin.crtPath \/none.crt/,
    )
  })
})

describe('unix_domain_socket', () => {
  it('joins users with the socket, with the half-close', async () => {
    const unixPath = await listenUnix((socket) => socket.resume().once('end', () => socket.end('after the end')))
    const { port, idle } = await openPlugin(cleanUp, { type: 'unix_domain_socket', unixPath })
    const { bytes, ended, error } = await converse(port, Buffer.from('ask'), { end: true })
    expect([bytes.toString(), ended, error]).toEqual(['after the end', true, undefined])
    await idle()
  })

  it('tells the service by the PROXY protocol who came', async () => {
    const unixPath = await listenUnix((socket) => socket.pipe(socket))
    const rig = await openPlugin(cleanUp, { type: 'unix_domain_socket', unixPath }, { proxyProtocolVersion: 'v1' })
    expect((await converse(rig.port, Buffer.from('text'), { end: true })).bytes.toString()).toBe(`${HEADER}text`)
  })

  it('opens without its socket, which may come later, and resets whoever comes before', async () => {
    const unixPath = join(tmpdir(), 'edgefrp-nobody.sock')
    const { port, lines, idle } = await openPlugin(cleanUp, { type: 'unix_domain_socket', unixPath })
    expect((await converse(port, Buffer.from('ask'))).error).toMatchObject({ code: 'ECONNRESET' })
    await lines.waitFor(`connect to local service [${unixPath}] error: cannot connect to ${unixPath}: connect ENOENT`)
    await idle()
  })
})
