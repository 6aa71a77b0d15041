import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { type TLSSocket, connect as tlsConnect } from 'node:tls'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { codeOf, messageOf } from '../../contract/errors.ts'
import { selfSigned } from '../../node/certificate.ts'
import { duplexOf } from '../../node/duplex.ts'
import { type ClientTlsOptions, clientTls, type ServerTlsFiles, serverTls } from '../../node/tls.ts'
import { pair } from '../../protocol/stream/pair.ts'

let folder = ''
let open: Duplex[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'edgefrp-tls-'))
})
afterEach(() => {
  for (const one of open) one.destroy()
  open = []
  rmSync(folder, { recursive: true, force: true })
})

/** Writes a certificate for `names` and gives the paths. */
function certificate(name: string, names: string[]) {
  const { key, cert } = selfSigned(names)
  const [keyFile, certFile] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)]
  writeFileSync(keyFile, key)
  writeFileSync(certFile, cert)
  return { keyFile, certFile, cert }
}

/** Two ends of a TCP connection. */
function tcpPair(): Promise<[Socket, Socket]> {
  return new Promise((resolve) => {
    const server = createServer({ allowHalfOpen: true }, (accepted) => {
      server.close()
      resolve([client, accepted])
    })
    let client: Socket
    server.listen(0, '127.0.0.1', () => {
      client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true })
    })
  })
}

async function handshake(server: ServerTlsFiles, client: ClientTlsOptions, ends?: [Duplex, Duplex]) {
  const [near, far] = ends ?? (await tcpPair())
  open.push(near, far)
  return Promise.allSettled([clientTls(near, client), serverTls(server).accept(far)])
}

function bothOf(results: PromiseSettledResult<TLSSocket>[]): [TLSSocket, TLSSocket] {
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  }) as [TLSSocket, TLSSocket]
}

async function textOf(socket: Duplex): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

describe('selfSigned', () => {
  it('is what frps makes: no subject, no names, ten years, from an hour ago', () => {
    const now = Date.UTC(2026, 5, 1)
    const x509 = new X509Certificate(selfSigned([], now).cert)
    expect([x509.subject || '', x509.issuer || '', x509.subjectAltName]).toEqual(['', '', undefined])
    expect(new Date(x509.validFrom).getTime()).toBe(now - 3_600_000)
    expect(new Date(x509.validTo).getTime()).toBe(Date.UTC(2036, 5, 1))
    expect(x509.verify(x509.publicKey)).toBe(true)
    expect(x509.serialNumber).not.toBe(new X509Certificate(selfSigned().cert).serialNumber)
  })

  it('carries names and addresses, and dates beyond 2049', () => {
    const x509 = new X509Certificate(selfSigned(['relay.example.com', '127.0.0.1'], Date.UTC(2045, 0, 1)).cert)
    expect(x509.checkHost('relay.example.com')).toBe('relay.example.com')
    expect(x509.checkIP('127.0.0.1')).toBe('127.0.0.1')
    expect(new Date(x509.validTo).getUTCFullYear()).toBe(2055)
  })
})

describe('TLS', () => {
  it('without any file goes through, unverified, and carries a half-close both ways', async () => {
    const [client, server] = bothOf(await handshake({}, { serverName: 'relay.example.com' }))
    expect(['TLSv1.2', 'TLSv1.3']).toContain(client.getProtocol())
    expect(client.authorized).toBe(false)
    client.end('ask')
    expect(await textOf(server)).toBe('ask')
    server.end('answer after the end')
    expect(await textOf(client)).toBe('answer after the end')
  })

  it('sends a name as SNI, but no address', async () => {
    const [, named] = bothOf(await handshake({}, { serverName: 'relay.example.com' }))
    expect((named as { servername?: string | false }).servername).toBe('relay.example.com')
    const [, addressed] = bothOf(await handshake({}, { serverName: '127.0.0.1' }))
    expect((addressed as { servername?: string | false }).servername).toBe(false)
  })

  it('with a CA accepts its certificate for the right name or address, and nothing else', async () => {
    const own = certificate('relay', ['relay.example.com', '127.0.0.1'])
    const other = certificate('other', ['relay.example.com'])
    const trustedCaFile = own.certFile
    for (const serverName of ['relay.example.com', '127.0.0.1']) {
      const [client] = bothOf(await handshake(own, { serverName, trustedCaFile }))
      expect(client.authorized).toBe(true)
    }
    for (const [files, serverName] of [
      [own, 'evil.example.com'],
      [own, '127.0.0.2'],
      [other, 'relay.example.com'],
      [{}, 'relay.example.com'],
    ] as const) {
      const [client] = await handshake(files, { serverName, trustedCaFile })
      expect(client?.status === 'rejected' && codeOf(client.reason), serverName).toBe('TLS_FAILED')
    }
  })

  it('verified against the system’s roots refuses what a relay signed itself', async () => {
    const [client] = await handshake({}, { serverName: 'relay.example.com', isVerified: true })
    expect(client?.status === 'rejected' && messageOf(client.reason)).toMatch(/relay\.example\.com.*self-signed/)
  })

  it('lets in clients of the trusted CA only', async () => {
    const relay = certificate('relay', [])
    const friend = certificate('friend', [])
    const stranger = certificate('stranger', [])
    const files = { ...relay, trustedCaFile: friend.certFile }
    const own = ({ certFile, keyFile }: typeof friend) => ({ serverName: 'r', certFile, keyFile })
    const [, server] = bothOf(await handshake(files, own(friend)))
    expect(server.authorized).toBe(true)
    for (const options of [own(stranger), { serverName: 'r' }]) {
      const [, refused] = await handshake(files, options)
      expect(refused?.status === 'rejected' && codeOf(refused.reason)).toBe('TLS_FAILED')
    }
  })

  it('refuses TLS 1.1', async () => {
    const [near, far] = await tcpPair()
    open.push(near, far)
    const accepted = serverTls({}).accept(far)
    const old = tlsConnect({
      socket: near,
      minVersion: 'TLSv1.1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
      rejectUnauthorized: false,
    })
    old.on('error', () => undefined)
    await expect(accepted).rejects.toMatchObject({ code: 'TLS_FAILED' })
  })

  it('takes bytes that were read before it', async () => {
    const [near, far] = await tcpPair()
    open.push(near, far)
    const connecting = clientTls(near, { serverName: 'r' })
    const head = await new Promise<Buffer>((resolve) => {
      far.once('data', (chunk) => {
        far.pause()
        resolve(chunk)
      })
    })
    expect(head[0]).toBe(0x16)
    const server = await serverTls({}).accept(far, head)
    const client = await connecting
    client.end('hello')
    expect(await textOf(server)).toBe('hello')
  })

  it('runs inside a byte stream, half-close included', async () => {
    const [a, b] = pair()
    const [client, server] = bothOf(await handshake({}, { serverName: 'r' }, [duplexOf(a), duplexOf(b)]))
    const sent = 'x'.repeat(300_000)
    client.end(sent)
    expect(await textOf(server)).toBe(sent)
    server.end('got it')
    expect(await textOf(client)).toBe('got it')
  })

  it('many at once: each connection gets its own socket', async () => {
    const server = serverTls({})
    const pairs = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const [near, far] = await tcpPair()
        open.push(near, far)
        const [client, accepted] = await Promise.all([clientTls(near, { serverName: 'r' }), server.accept(far)])
        client.end(`client ${i}`)
        return textOf(accepted)
      }),
    )
    expect(pairs).toEqual(Array.from({ length: 20 }, (_, i) => `client ${i}`))
  })

  it('tells both ends when a connection dies in the handshake or speaks something else', async () => {
    const [near, far] = await tcpPair()
    open.push(near, far)
    const accepted = serverTls({}).accept(far)
    near.write('GET / HTTP/1.1\r\n\r\n')
    await expect(accepted).rejects.toMatchObject({ code: 'TLS_FAILED' })

    const [near2, far2] = await tcpPair()
    open.push(near2, far2)
    const connecting = clientTls(near2, { serverName: 'r' })
    far2.destroy()
    await expect(connecting).rejects.toMatchObject({ code: 'TLS_FAILED' })

    const [near3, far3] = await tcpPair()
    open.push(near3, far3)
    const waiting = serverTls({}).accept(far3)
    far3.destroy()
    await expect(waiting).rejects.toMatchObject({ code: 'TLS_FAILED' })
  })

  it('names the file that cannot be read or is none', () => {
    const own = certificate('relay', [])
    const wrong = join(folder, 'wrong.pem')
    writeFileSync(wrong, 'no certificate')
    const message = (files: ServerTlsFiles) => {
      try {
        serverTls(files)
      } catch (error) {
        return `${codeOf(error)} ${messageOf(error)}`
      }
      return 'nothing'
    }
    expect(message({ ...own, keyFile: join(folder, 'absent') })).toMatch(/^CONFIG_FILE keyFile .*absent/)
    expect(message({ ...own, certFile: wrong })).toMatch(/^CONFIG_FILE certFile and keyFile/)
    expect(message({ trustedCaFile: join(folder, 'absent') })).toMatch(/^CONFIG_FILE trustedCaFile .*absent/)
  })
})
