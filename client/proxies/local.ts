import type { Socket } from 'node:net'
import type { ProxyOptions } from '../../config/proxies.ts'
import { FrpError } from '../../contract/errors.ts'
import type { Runtime } from '../../contract/runtime.ts'
import { type Dialing, type DialTarget, startDial } from '../../node/dial.ts'
import { socketStream } from '../../node/socket.ts'
import type { StartWorkConn } from '../../protocol/frp/messages.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { join } from '../../protocol/stream/join.ts'
import { proxyHeader } from '../proxy-protocol.ts'

/** frp, client/proxy/proxy.go: libnet.WithTimeout. */
const LOCAL_DIAL_MS = 10_000
/**
 * How long a service may stay after a stock relay has closed: what it still sends goes nowhere, and one that
 * never ends would keep its socket.
 */
const LINGER_MS = 10_000

/** Connects to a service within 10 s; `done` as of `startDial`. */
export function startLocalDial(
  target: DialTarget,
  runtime: Runtime,
  done: (socket: Socket | undefined, error?: FrpError) => void,
): Dialing {
  const dialing = startDial(target, (socket, error) => {
    deadline.cancel()
    done(socket, error)
  })
  const deadline = runtime.after(LOCAL_DIAL_MS, () =>
    dialing.cancel(new FrpError('TIMEOUT', `no connection within ${LOCAL_DIAL_MS / 1000} s`)),
  )
  return dialing
}

/** The same as a promise; an aborted `signal` gives it up. */
export function dialLocal(target: DialTarget, runtime: Runtime, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const abort = (): void => dialing.cancel(signal.reason)
    const dialing = startLocalDial(target, runtime, (socket, error) => {
      signal.removeEventListener('abort', abort)
      if (socket === undefined) reject(error)
      else resolve(socket)
    })
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort)
  })
}

export interface LocalJoin {
  runtime: Runtime
  /** Whether a FIN of the user's stream ends one direction alone; a stock relay's ends both. */
  halfClose: boolean
  /** What the service is told before anything else: the PROXY protocol. */
  header?: Buffer | undefined
  /** Bytes of the user that were read before: a copy. */
  head?: Uint8Array | undefined
  /** Called once, when both ends are closed. */
  onClose(error?: Error): void
}

/** Joins a service's connection with a user's stream, which is then resumed. */
export function joinLocal(socket: Socket, user: ByteStream, options: LocalJoin): void {
  const { runtime, halfClose, header, head, onClose } = options
  if (header !== undefined) socket.write(header)
  if (!halfClose) boundLinger(socket, runtime)
  join(socketStream(socket), user, {
    endOfBIsClose: !halfClose,
    onClose,
    ...(head === undefined ? {} : { headOfB: head }),
  })
  user.resume()
}

function boundLinger(socket: Socket, runtime: Runtime): void {
  socket.once('finish', () => {
    const deadline = runtime.after(LINGER_MS, () => socket.destroy())
    socket.once('close', () => deadline.cancel())
  })
}

/** The PROXY protocol's header for a user, if the proxy asks for one and the relay says who it is. */
export function headerFor(config: ProxyOptions, start: StartWorkConn): Buffer | undefined {
  const { proxyProtocolVersion } = config.transport
  if (proxyProtocolVersion === '') return undefined
  const source = { ip: start.src_addr, port: start.src_port }
  return proxyHeader(proxyProtocolVersion, source, { ip: start.dst_addr, port: start.dst_port })
}
