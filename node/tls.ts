import { EventEmitter } from 'node:events'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect, createServer, type SecureVersion, type Server, type TLSSocket } from 'node:tls'
import { FrpError, messageOf } from '../contract/errors.ts'
import { selfSigned } from './certificate.ts'
import { distrust, misnamed } from './certificate-chain.ts'

/** Go's default since frp 0.55: nothing older. */
const MIN_VERSION: SecureVersion = 'TLSv1.2'
/** frp's keys in `transport.tls`. */
const RELAY_NAMES = { certFile: 'certFile', keyFile: 'keyFile' }

/** As frp's tables `transport.tls` and `tls` of a plugin; an empty path counts as absent. */
export interface ServerTlsFiles {
  certFile?: string
  keyFile?: string
  /** Set: clients must show a certificate of this CA. */
  trustedCaFile?: string
}

/** Where a server's side of TLS is not a relay's. */
export interface ServerTlsOptions {
  /** Protocols to agree on, the best first; a client that offers others alone is refused (RFC 7301). */
  alpn?: string[]
  /** What errors call the files. */
  names?: { certFile: string; keyFile: string }
}

/** Makes TLS out of connections that were accepted; one for all of a listener. */
export interface ServerTls {
  /**
   * Resolves when the handshake is done. `head`: bytes that were read from `transport` before. Rejects with
   * TLS_FAILED, and `transport` is then destroyed. It has no deadline: destroying `transport` ends the wait.
   */
  accept(transport: Duplex, head?: Uint8Array): Promise<TLSSocket>
}

/**
 * A server's side of TLS. Files are read now (CONFIG_FILE names the one that cannot be); without them a
 * certificate is made at the first connection, so that a relay that never sees TLS starts without it.
 */
export function serverTls(files: ServerTlsFiles, { alpn, names = RELAY_NAMES }: ServerTlsOptions = {}): ServerTls {
  const given = ownCertificate(files, names)
  const trusted = isSet(files.trustedCaFile) ? read(files.trustedCaFile, 'trustedCaFile') : undefined
  let server: Server | undefined
  const make = () => serverOf(given ?? selfSigned(), trusted, alpn, names)
  // Wrong files are told at the start, not at the first connection.
  if (given !== undefined) server = make()
  return {
    accept(transport, head) {
      server ??= make()
      return acceptOn(server, transport, head, trusted)
    },
  }
}

/** How a client goes through TLS. */
export interface ClientTlsOptions extends ServerTlsFiles {
  /** The name to send and to check. */
  serverName: string
  /**
   * Check the server against the system's roots when no `trustedCaFile` is set. Without either nothing is
   * checked, as in frp: whoever asks for that says so to the user.
   */
  isVerified?: boolean
  /** Protocols to offer, `http/1.1` for wss; none as in frp by default. */
  alpn?: string[]
}

/**
 * A client's side of TLS over a connected `transport`. Resolves when the handshake, and the check if there is
 * one, is done; rejects with TLS_FAILED, and `transport` is then destroyed. Destroying it ends the wait.
 * With `trustedCaFile` the server is checked against that CA alone and `serverName` (a name or an address).
 */
export function clientTls(transport: Duplex, options: ClientTlsOptions): Promise<TLSSocket> {
  const own = ownCertificate(options)
  const trusted = isSet(options.trustedCaFile) ? read(options.trustedCaFile, 'trustedCaFile') : undefined
  const { serverName } = options
  return new Promise((resolve, reject) => {
    const socket = connect({
      socket: transport,
      // What is checked: for an address too, though none is sent (RFC 6066 section 3 allows names only).
      host: serverName,
      ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
      // With a CA of its own the verdict is looked at by `distrust`.
      rejectUnauthorized: trusted === undefined && options.isVerified === true,
      minVersion: MIN_VERSION,
      ...(own ?? {}),
      ...(trusted === undefined ? {} : { ca: trusted }),
      ...(options.alpn === undefined ? {} : { ALPNProtocols: options.alpn }),
    })
    const fail = (error?: Error) => {
      socket.destroy()
      transport.destroy()
      reject(tlsFailed(`TLS with ${serverName}`, error))
    }
    const ended = () => fail()
    socket.once('error', fail)
    socket.once('close', ended)
    socket.once('secureConnect', () => {
      const reason =
        trusted === undefined ? undefined : (distrust(socket, trusted, 'server') ?? misnamed(socket, serverName))
      if (reason !== undefined) {
        fail(new Error(`the server's certificate: ${reason}`))
        return
      }
      socket.off('error', fail)
      socket.off('close', ended)
      // Between here and the caller's own listener nobody may be missing: an error event alone ends a process.
      socket.on('error', () => undefined)
      resolve(socket)
    })
  })
}

function serverOf(
  own: { key: string; cert: string },
  trusted: string | undefined,
  alpn: string[] | undefined,
  names: { certFile: string; keyFile: string },
): Server {
  try {
    return createServer({
      ...own,
      minVersion: MIN_VERSION,
      ...(alpn === undefined ? {} : { ALPNProtocols: alpn }),
      // The verdict is looked at by `distrust`, which knows where OpenSSL's and Go's differ.
      ...(trusted === undefined ? {} : { ca: trusted, requestCert: true, rejectUnauthorized: false }),
    })
  } catch (error) {
    throw new FrpError('CONFIG_FILE', `${names.certFile} and ${names.keyFile}: ${messageOf(error)}`, { cause: error })
  }
}

/**
 * `tls.Server` alone checks client certificates, and it tells of its sockets by events that do not say which
 * connection became which. So each connection gets a server object of its own that inherits everything and
 * answers these two events.
 */
function acceptOn(
  server: Server,
  transport: Duplex,
  head: Uint8Array | undefined,
  trusted: string | undefined,
): Promise<TLSSocket> {
  if (head !== undefined && head.length > 0) transport.unshift(head)
  // Until the handshake is done an end is the end: half open, the wait would be without end too.
  const isHalfOpen = transport.allowHalfOpen
  transport.allowHalfOpen = false
  return new Promise((resolve, reject) => {
    const fail = (error?: Error) => {
      transport.destroy()
      reject(tlsFailed('TLS handshake', error))
    }
    const own = {
      emit(event: string, first: unknown, ...rest: unknown[]): boolean {
        if (event === 'secureConnection') {
          transport.off('close', ended)
          const socket = first as TLSSocket
          socket.on('error', () => undefined)
          const reason = trusted === undefined ? undefined : distrust(socket, trusted, 'client')
          if (reason !== undefined) {
            socket.destroy()
            fail(new Error(`the client's certificate: ${reason}`))
            return true
          }
          socket.allowHalfOpen = true
          transport.allowHalfOpen = isHalfOpen
          resolve(socket)
          return true
        }
        if (event === 'tlsClientError') fail(first as Error)
        return server.emit(event, first, ...rest)
      },
    }
    const ended = () => fail()
    transport.once('close', ended)
    const door: Server = Object.assign(Object.create(server), own)
    EventEmitter.prototype.emit.call(door, 'connection', transport)
  })
}

function tlsFailed(what: string, cause: Error | undefined): FrpError {
  const why = cause === undefined ? 'the connection closed' : reasonOf(cause)
  return new FrpError('TLS_FAILED', `${what}: ${why}`, cause === undefined ? {} : { cause })
}

/** OpenSSL's own word, where its text is an address in memory and a place in its source. */
function reasonOf(cause: Error): string {
  return 'reason' in cause && typeof cause.reason === 'string' && cause.message.includes(':error:')
    ? cause.reason
    : messageOf(cause)
}

function ownCertificate(
  files: ServerTlsFiles,
  names: { certFile: string; keyFile: string } = RELAY_NAMES,
): { key: string; cert: string } | undefined {
  if (!isSet(files.certFile) || !isSet(files.keyFile)) return undefined
  return { cert: read(files.certFile, names.certFile), key: read(files.keyFile, names.keyFile) }
}

function isSet(path: string | undefined): path is string {
  return path !== undefined && path !== ''
}

function read(path: string, field: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new FrpError('CONFIG_FILE', `${field} ${path}: ${messageOf(error)}`, { cause: error })
  }
}
