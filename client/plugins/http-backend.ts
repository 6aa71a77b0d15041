import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { wrap } from '../../protocol/frp/wrap.ts'
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
export function userDuplex({ runtime, wrapping, onCount }: TcpParts, work: WorkConn): Duplex {
  onCount(1)
  return duplexOfUser(runtime, wrap(work.stream, wrapping, runtime.crypto), {
    address: addressOf(work),
    halfClose: work.halfClose,
    onClose: () => onCount(-1),
  })
}

/** The user's IP address; '' if the relay says none, or something else. */
export function addressOf({ start }: WorkConn): string {
  return isIP(start.src_addr) === 0 ? '' : start.src_addr
}
