import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { networkInterfaces } from 'node:os'
import { asError, FrpError, messageOf } from '../../contract/errors.ts'
import type { Runtime } from '../../contract/runtime.ts'
import { splitAddress } from '../../protocol/frp/nat-feature.ts'
import { bindingAnswer, bindingRequest, type StunAnswer } from './stun.ts'

/** frp, pkg/nathole/discovery.go responseTimeout: of one request, which is not repeated. */
const ANSWER_MS = 3_000
const STUN_PORT = 3478
/** frp: addresses of this machine that a peer is told. */
const MAX_LOCAL_IPS = 10
const ID_BYTES = 12

/** What a STUN server saw of this machine. */
export interface Discovered {
  /** Seen from the server's first address and from its other one; one alone when it has no other. `ip:port`. */
  addresses: string[]
  /** The socket's own address, `ip:port`. */
  localAddress: string
}

/**
 * Asks a STUN server (`host[:port]`) from one UDP socket at `localAddress` (`ip:port`, "" for any). IPv4 alone, as frp.
 * Rejects with CONNECT_FAILED, TIMEOUT after 3 s, PORT_TAKEN or CONFIG_FIELD.
 */
export async function discoverNat(server: string, localAddress: string, runtime: Runtime): Promise<Discovered> {
  const socket = await bind(localAddress)
  try {
    const first = await ask(socket, server, runtime)
    if (first.mapped === undefined) throw new FrpError('CONNECT_FAILED', 'no external address found')
    const second = first.other === undefined ? undefined : await ask(socket, first.other, runtime)
    const { address, port } = socket.address()
    return {
      addresses: [first.mapped, ...(second?.mapped === undefined ? [] : [second.mapped])],
      localAddress: `${address}:${port}`,
    }
  } finally {
    socket.close()
  }
}

/** This machine's IPv4 addresses that a peer could reach, at most ten. */
export function localIps(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal, address }) => family === 'IPv4' && !internal && !address.startsWith('169.254.'))
    .map(({ address }) => address)
    .slice(0, MAX_LOCAL_IPS)
}

function bind(localAddress: string): Promise<Socket> {
  const { ip, port } = localAddress === '' ? { ip: '0.0.0.0', port: 0 } : endpointOf(localAddress)
  const socket = createSocket('udp4')
  return new Promise((resolve, reject) => {
    const refuse = (error: Error): void => {
      socket.close()
      reject(new FrpError('PORT_TAKEN', `listen udp4 ${ip}:${port}: ${error.message}`, { cause: error }))
    }
    socket.once('error', refuse)
    socket.bind(port, ip, () => {
      socket.off('error', refuse)
      resolve(socket)
    })
  })
}

async function ask(socket: Socket, server: string, runtime: Runtime): Promise<StunAnswer> {
  const { ip: host, port } = endpointOf(/:\d+$/.test(server) ? server : `${server}:${STUN_PORT}`)
  const { address } = await lookup(host, { family: 4 }).catch((error: unknown) => {
    throw new FrpError('CONNECT_FAILED', `STUN server ${server}: ${messageOf(error)}`, { cause: error })
  })
  const id = runtime.crypto.randomBytes(ID_BYTES)
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      deadline.cancel()
      socket.off('message', onMessage)
      socket.off('error', fail)
    }
    const fail = (error: Error): void => {
      stop()
      reject(error)
    }
    const deadline = runtime.after(ANSWER_MS, () =>
      fail(new FrpError('TIMEOUT', 'wait response from stun server timeout')),
    )
    const onMessage = (datagram: Buffer, from: { address: string; port: number }): void => {
      // Anybody can send here: what counts comes from whom we asked.
      if (from.address !== address || from.port !== port) return
      try {
        const answer = bindingAnswer(datagram, id)
        if (answer === undefined) return
        stop()
        resolve(answer)
      } catch (error) {
        fail(asError(error))
      }
    }
    socket.on('message', onMessage)
    socket.on('error', fail)
    socket.send(bindingRequest(id), port, address, (error) => {
      if (error) fail(new FrpError('CONNECT_FAILED', `STUN server ${server}: ${error.message}`, { cause: error }))
    })
  })
}

function endpointOf(address: string): { ip: string; port: number } {
  try {
    return splitAddress(address)
  } catch (error) {
    throw new FrpError('CONFIG_FIELD', messageOf(error), { cause: error })
  }
}
