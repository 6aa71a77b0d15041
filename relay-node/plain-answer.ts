import type { Duplex } from 'node:stream'
import type { Runtime } from '../contract/runtime.ts'

/** How long a peer may go on sending after an answer that ends the connection. */
const LINGER_MS = 2_000

const TEXTS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  404: 'Not Found',
  431: 'Request Header Fields Too Large',
}

/** Answers a request that nobody takes, and closes. */
export function answerAndClose(socket: Duplex, status: number, runtime: Runtime): void {
  const text = TEXTS[status] ?? ''
  const body = `${status} ${text}\n`
  const linger = runtime.after(LINGER_MS, () => socket.destroy())
  socket.once('close', () => linger.cancel())
  socket.end(
    `HTTP/1.1 ${status} ${text}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  )
  // What still comes is read and dropped: closing with unread bytes resets, and the answer may be lost with it.
  socket.resume()
}
