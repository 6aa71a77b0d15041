import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { wrap } from '../../protocol/frp/wrap.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import type { Backend, WorkConn } from '../proxies/proxy.ts'
import type { TcpParts } from '../proxies/tcp.ts'
import { duplexOfUser, HttpDoor, type HttpHandlers } from './http-door.ts'

/** What a plugin that speaks HTTP does, and how it ends. */
export interface HttpService extends HttpHandlers {
  /** The proxy is gone: lets go of what is kept for later users. */
  close(): void
}

/** Serves HTTP on each work connection. */
export function httpBackend(parts: TcpParts, service: HttpService): Backend {
  const door = new HttpDoor(parts.runtime, service)
  return {
    take: (work) => door.serve(userDuplex(parts, work)),
    close: () => service.close(),
  }
}

/** A work connection, unwrapped and counted, as Node's servers take it. */
export function userDuplex(parts: TcpParts, work: WorkConn, stream = unwrapped(parts, work)): Duplex {
  const { runtime, onCount } = parts
  onCount(1)
  return duplexOfUser(runtime, stream, {
    address: addressOf(work),
    halfClose: work.halfClose,
    onClose: () => onCount(-1),
  })
}

/** What the relay has encrypted and compressed, as the user sent it. */
export function unwrapped({ runtime, wrapping }: TcpParts, work: WorkConn): ByteStream {
  return wrap(work.stream, wrapping, runtime.crypto)
}

/** The user's IP address; '' if the relay says none, or something else. */
export function addressOf({ start }: WorkConn): string {
  return isIP(start.src_addr) === 0 ? '' : start.src_addr
}
