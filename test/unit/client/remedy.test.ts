import net from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { messageWithRemedy, refusalWithRemedy, remedyOf } from '../../../client/remedy.ts'
import { FrpError } from '../../../contract/errors.ts'
import { dial } from '../../../node/dial.ts'
import { clientTls } from '../../../node/tls.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

async function portThat(onSocket: (socket: net.Socket) => void): Promise<number> {
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined)
    onSocket(socket)
  })
  closers.push(() => server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** The error of TLS with what answers at `port`. */
async function tlsError(port: number): Promise<unknown> {
  const socket = await dial({ host: '127.0.0.1', port })
  return clientTls(socket, { serverName: 'localhost' }).catch((error: unknown) => error)
}

describe('what to do about an error on the way to the relay', () => {
  it('a port where nobody listens', async () => {
    const error = await dial({ host: '127.0.0.1', port: 1 }).catch((reason: unknown) => reason)
    expect(messageWithRemedy(error)).toMatch(/^cannot connect to 127\.0\.0\.1:1: .* \(nothing listens there: .*\)$/)
  })

  it('a web server where TLS was meant: one line, without places in memory', async () => {
    const port = await portThat((socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))
    const text = messageWithRemedy(await tlsError(port))
    expect(text).toMatch(/^TLS with localhost: wrong version number \(what answers there speaks no TLS: .*\)$/)
  })

  it('a server that hangs up when TLS begins', async () => {
    const port = await portThat((socket) => socket.once('data', () => socket.end()))
    expect(remedyOf(await tlsError(port))).toContain('bindPort')
  })

  it('a token that is not the relay’s, after a visit’s own words too', () => {
    const cause = new FrpError('LOGIN_REFUSED', "token in login doesn't match token from configuration")
    expect(remedyOf(cause)).toContain('auth.token')
    expect(remedyOf(new FrpError('LOGIN_REFUSED', `login failed: ${cause.message}`, { cause }))).toContain('auth.token')
  })

  it('nothing where nothing is known', () => {
    expect(messageWithRemedy(new FrpError('LOGIN_REFUSED', 'no'))).toBe('no')
    expect(messageWithRemedy('text')).toBe('text')
  })
})

describe('what to do about a proxy that was refused', () => {
  it.each(['proxy [web] already exists', 'acquire port 1 error: port already used', 'router config conflict'])(
    '%s',
    (text) => expect(refusalWithRemedy(text)).toMatch(/ \(another .*\)$/),
  )

  it('nothing where the text says it', () => {
    expect(refusalWithRemedy('port not allowed')).toBe('port not allowed')
  })
})
