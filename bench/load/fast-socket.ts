import { randomBytes } from 'node:crypto'
import type net from 'node:net'
import { TLSSocket } from 'node:tls'
import { adopt, canUseReadBuffer, handleOf } from '../../node/socket-handle.ts'

/** One buffer for all sockets of a process: what is read is counted and forgotten. */
const SCRAP = Buffer.allocUnsafeSlow(256 * 1024)
/** What a full-speed sender writes at once: every second KiB compresses well, the others not at all. */
const CHUNK = randomBytes(256 * 1024)
for (let at = 0; at < CHUNK.length; at += 2048) CHUNK.fill('edgefrp ', at, at + 1024)

/** Reads and forgets everything at the least cost; works on accepted sockets, too. */
export function discard(socket: net.Socket, onBytes: (length: number) => void): void {
  const handle = socket instanceof TLSSocket ? undefined : handleOf(socket)
  if (handle === undefined || !canUseReadBuffer()) {
    socket.on('data', (chunk) => onBytes(chunk.length)).resume()
    return
  }
  adopt(
    socket,
    handle,
    () => SCRAP,
    (length) => {
      onBytes(length)
      return true
    },
  )
  socket.resume()
}

/** Writes at full speed until the socket closes. */
export function flood(socket: net.Socket): void {
  const next = (error?: Error | null): void => {
    // After a failed write the socket is not yet destroyed, and the next write would fail at once, for ever.
    if (!error && !socket.destroyed && !socket.writableEnded) socket.write(CHUNK, next)
  }
  next()
}
