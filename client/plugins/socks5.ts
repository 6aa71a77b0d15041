import { isIPv6, type Socket } from 'node:net'
import { FrpError, messageOf } from '../../contract/errors.ts'
import type { Backend } from '../proxies/proxy.ts'
import { Credentials } from './credentials.ts'
import type { PluginParts } from './plugin.ts'
import { type TunnelUser, tunnelBackend } from './tunnel-user.ts'

/** The longest message: user and password of 255 bytes each; what follows may come in the same piece. */
const MAX_OPENING_BYTES = 64 * 1024

/** RFC 1928. */
const VERSION = 5
const NO_AUTHENTICATION = 0
const USER_PASSWORD = 2
const NO_METHOD = 0xff
const CONNECT = 1
const IPV4 = 1
const NAME = 3
const IPV6 = 4
/** RFC 1929. */
const AUTHENTICATION_VERSION = 1

/** The answers of RFC 1928, section 6. */
const REPLY = {
  succeeded: 0,
  generalFailure: 1,
  networkUnreachable: 3,
  hostUnreachable: 4,
  refused: 5,
  commandNotSupported: 7,
  addressNotSupported: 8,
} as const
type Reply = (typeof REPLY)[keyof typeof REPLY]

/** `socks5`: CONNECT to IPv4, IPv6 and names, with user and password if the configuration has them. */
export function socks5(parts: PluginParts<'socks5'>): Backend {
  const { options, runtime, log } = parts
  const credentials = new Credentials(options.username, options.password, runtime)
  return tunnelBackend(parts, MAX_OPENING_BYTES, async (user) => {
    if (!(await greet(user, credentials))) return
    const { opening } = user
    const [version, command, , type] = await opening.take(4)
    if (version !== VERSION) throw badVersion(version)
    if (command !== CONNECT) return refuse(user, REPLY.commandNotSupported)
    const host = await readHost(user, type)
    // An empty name would be this machine to whoever dials it.
    if (host === undefined || host === '') return refuse(user, REPLY.addressNotSupported)
    const port = Buffer.from(await opening.take(2)).readUInt16BE()
    let socket: Socket
    try {
      socket = await user.dial(host, port)
    } catch (error) {
      if (opening.isGone) throw error
      log.warn(`socks5: ${messageOf(error)}`)
      return refuse(user, replyOf(error))
    }
    await user.join(socket, answer(REPLY.succeeded, socket.localAddress, socket.localPort))
  })
}

/** Agrees on a method and goes through it; false: the user was refused. */
async function greet(user: TunnelUser, credentials: Credentials): Promise<boolean> {
  const { opening } = user
  const [version, count = 0] = await opening.take(2)
  if (version !== VERSION) throw badVersion(version)
  const methods = await opening.take(count)
  const method = credentials.isAsked ? USER_PASSWORD : NO_AUTHENTICATION
  if (!methods.includes(method)) {
    await user.refuse(Uint8Array.of(VERSION, NO_METHOD))
    return false
  }
  await opening.send(Uint8Array.of(VERSION, method))
  if (!credentials.isAsked) return true

  const [authentication, userLength = 0] = await opening.take(2)
  if (authentication !== AUTHENTICATION_VERSION) throw badVersion(authentication)
  const name = Buffer.from(await opening.take(userLength)).toString()
  const [passwordLength = 0] = await opening.take(1)
  const password = Buffer.from(await opening.take(passwordLength)).toString()
  if (!credentials.isRight(name, password)) {
    await credentials.wrongOne()
    await user.refuse(Uint8Array.of(AUTHENTICATION_VERSION, 1))
    return false
  }
  await opening.send(Uint8Array.of(AUTHENTICATION_VERSION, 0))
  return true
}

async function readHost({ opening }: TunnelUser, type: number | undefined): Promise<string | undefined> {
  if (type === IPV4) return [...(await opening.take(4))].join('.')
  if (type === IPV6)
    return (
      Buffer.from(await opening.take(16))
        .toString('hex')
        .match(/.{4}/g) ?? []
    ).join(':')
  if (type !== NAME) return undefined
  const [length = 0] = await opening.take(1)
  return Buffer.from(await opening.take(length)).toString('latin1')
}

function refuse(user: TunnelUser, reply: Reply): Promise<void> {
  return user.refuse(answer(reply))
}

/** The bound address is of no use to a client of CONNECT: of IPv6 the port alone is told. */
function answer(reply: Reply, address = '0.0.0.0', port = 0): Uint8Array {
  const ports = [port >> 8, port & 0xff]
  if (!isIPv6(address)) return Uint8Array.of(VERSION, reply, 0, IPV4, ...address.split('.').map(Number), ...ports)
  return Uint8Array.of(VERSION, reply, 0, IPV6, ...new Uint8Array(16), ...ports)
}

function replyOf(error: unknown): Reply {
  const cause = error instanceof FrpError ? error.cause : undefined
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (code === 'ECONNREFUSED') return REPLY.refused
  if (code === 'ENETUNREACH') return REPLY.networkUnreachable
  const isUnreachable = code === 'EHOSTUNREACH' || code === 'ENOTFOUND' || code === 'EAI_AGAIN'
  return isUnreachable || cause instanceof FrpError ? REPLY.hostUnreachable : REPLY.generalFailure
}

function badVersion(version: number | undefined): FrpError {
  return new FrpError('PROXY_HANDSHAKE', `a SOCKS client speaks version ${version}, not ${VERSION}`)
}
