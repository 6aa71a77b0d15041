import type { TLSSocket } from 'node:tls'
import { FrpError, messageOf } from '../../contract/errors.ts'
import { resetSocket, socketStream } from '../../node/socket.ts'
import { serverTls } from '../../node/tls.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { dialLocal, headerFor, joinLocal } from '../proxies/local.ts'
import type { Backend, WorkConn } from '../proxies/proxy.ts'
import { Waiting } from '../proxies/waiting.ts'
import { parseLocalAddr } from './bridge.ts'
import { unwrapped, userDuplex } from './http-backend.ts'
import { CERTIFICATE_NAMES } from './https-backend.ts'
import type { PluginParts } from './plugin.ts'
import { OPENING_MS } from './tunnel-user.ts'

/** `tls2raw`: TLS ends here, and what it carried is joined with the service at `localAddr`. */
export function tls2raw(parts: PluginParts<'tls2raw'>): Backend {
  const { options, runtime, log } = parts
  const { host, port } = parseLocalAddr(options.localAddr, false)
  const tls = serverTls({ certFile: options.crtPath, keyFile: options.keyPath }, { names: CERTIFICATE_NAMES })

  const serve = async (work: WorkConn): Promise<void> => {
    const stream = unwrapped(parts, work)
    const duplex = userDuplex(parts, work, stream)
    const deadline = runtime.after(OPENING_MS, () => duplex.destroy(new FrpError('TIMEOUT', 'no TLS in time')))
    let socket: TLSSocket
    try {
      socket = await tls.accept(duplex)
    } catch (error) {
      log.warn(`tls handshake error: ${messageOf(error)}`)
      return
    } finally {
      deadline.cancel()
    }
    const user: ByteStream = socketStream(socket)
    const dialing = new AbortController()
    const waiting = new Waiting((error) => dialing.abort(error))
    user.pause()
    user.attach(waiting)
    try {
      const local = await dialLocal({ host, port }, runtime, dialing.signal)
      if (waiting.isClosed) {
        resetSocket(local)
        return
      }
      joinLocal(local, user, {
        runtime,
        halfClose: work.halfClose,
        header: headerFor(parts.config, work.start),
        onClose: (error) => {
          // Where TLS has ended by itself before, its socket passes no reset on any more.
          if (error !== undefined) stream.destroy(error)
          log.debug(`join connections closed${error === undefined ? '' : `: ${messageOf(error)}`}`)
        },
      })
    } catch (error) {
      if (!waiting.isClosed) log.warn(`dial to local addr error: ${messageOf(error)}`)
      const reason = error instanceof Error ? error : new FrpError('CONNECT_FAILED', messageOf(error))
      user.destroy(reason)
      stream.destroy(reason)
    }
  }

  return {
    take: (work) => void serve(work),
    close() {
      // Connections that run belong to the session that carries them.
    },
  }
}
