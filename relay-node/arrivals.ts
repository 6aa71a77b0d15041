import type { Socket } from 'node:net'
import { codeOf, messageOf } from '../contract/errors.ts'
import { IpRules } from '../contract/ip-rules.ts'
import type { Runtime } from '../contract/runtime.ts'
import type { Addresses } from '../relay/ingress.ts'
import { addressesOf } from './addresses.ts'
import type { Caller, ConnectionLimit } from './connection-limit.ts'
import { readUntil } from './first-bytes.ts'
import { readProxyHeader } from './proxy-header.ts'

export interface ArrivalsOptions {
  runtime: Runtime
  limit: ConnectionLimit
  /** Says why a connection was closed, in bounded lines. */
  report: (ip: string, why: string) => void
  /** `edgefrp.proxyProtocolFrom`. */
  proxyProtocolFrom: readonly string[]
  /** How long a PROXY header may take. */
  headerTimeoutMs: number
}

/** Takes a socket that was accepted; `head` was read of it before. */
export type Taker = (socket: Socket, addresses: Addresses, head: Uint8Array | undefined) => void

/**
 * What every accepted socket goes through: there is room for it, and it is known where it comes from. From
 * addresses that put a PROXY header in front the header says that; without one such a connection is closed, since
 * anything else could not be told from a user who writes one.
 */
export class Arrivals {
  private readonly options: ArrivalsOptions
  /** Undefined: nobody sends a header. */
  private readonly senders: IpRules | undefined

  constructor(options: ArrivalsOptions) {
    const { proxyProtocolFrom } = options
    this.options = options
    this.senders = proxyProtocolFrom.length === 0 ? undefined : new IpRules(proxyProtocolFrom, [])
  }

  admit(socket: Socket, caller: Caller, take: Taker): void {
    const { limit } = this.options
    if (!limit.admit(socket, caller)) return
    const addresses = addressesOf(socket)
    if (addresses === undefined) socket.destroy()
    else if (this.senders?.allows(addresses.sourceIp) === true) this.readHeader(socket, addresses, take)
    else take(socket, addresses, undefined)
  }

  private readHeader(socket: Socket, own: Addresses, take: Taker): void {
    const { runtime, headerTimeoutMs, report } = this.options
    const late = runtime.after(headerTimeoutMs, () => {
      report(own.sourceIp, `no PROXY header within ${headerTimeoutMs / 1000} s`)
      socket.destroy()
    })
    let seen = new Uint8Array(0)
    readUntil(socket, (chunk) => {
      seen = seen.length === 0 ? new Uint8Array(chunk) : new Uint8Array(Buffer.concat([seen, chunk]))
      return readProxyHeader(seen)
    })
      .then(({ found, bytes }) => {
        const rest = bytes.subarray(found.byteLength)
        take(socket, found.addresses ?? own, rest.length === 0 ? undefined : rest.slice())
      })
      .catch((error: unknown) => {
        if (codeOf(error) !== 'LINK_CLOSED') report(own.sourceIp, messageOf(error))
        socket.destroy()
      })
      .finally(() => late.cancel())
  }
}
