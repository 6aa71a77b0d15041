import net from 'node:net'

// What Node keeps to itself about sockets, in one place, each with a test of whether it is there.

// Node has no public way to give an accepted socket a buffer to read into (`onread` is for sockets that we dial), so
// we set the fields that `onread` sets. They are looked for once; where they are not, the events serve.

/** The part of libuv's handle that reading needs. */
export interface ReadHandle {
  reading: boolean
  readStart(): number
  readStop(): number
  useUserBuffer(buffer: Uint8Array): void
}

interface UserBufferKeys {
  buffer: symbol
  callback: symbol
  generator: symbol
}

const USER_BUFFER = findUserBufferKeys()

/** Whether sockets of this runtime can read into a buffer of ours. */
export function canUseReadBuffer(): boolean {
  return USER_BUFFER !== undefined
}

function findUserBufferKeys(): UserBufferKeys | undefined {
  const symbols = Object.getOwnPropertySymbols(new net.Socket())
  const find = (name: string) => symbols.find((symbol) => symbol.description === name)
  const [buffer, callback, generator] = [find('kBuffer'), find('kBufferCb'), find('kBufferGen')]
  if (buffer === undefined || callback === undefined || generator === undefined) return undefined
  return { buffer, callback, generator }
}

/** The handle of an open socket; undefined where it does not have what reading needs. */
export function handleOf(socket: net.Socket): ReadHandle | undefined {
  return usableHandle(insideOf(socket)._handle)
}

/** Whether `handle` is still the one of the socket: a closed socket has none. */
export function hasHandle(socket: net.Socket, handle: ReadHandle): boolean {
  return insideOf(socket)._handle === handle
}

/** What Node's types do not show. Plain reads and writes: `Reflect` would look each member up again, for every connection. */
function insideOf(socket: net.Socket): { _handle?: unknown; [key: symbol]: unknown } {
  // Any object can be seen like this: what is read is checked, and what is written was there before.
  return socket as unknown as { _handle?: unknown; [key: symbol]: unknown }
}

function usableHandle(handle: unknown): ReadHandle | undefined {
  if (typeof handle !== 'object' || handle === null) return undefined
  // Checked below: each member that is used.
  const candidate = handle as Partial<ReadHandle>
  const isUsable =
    typeof candidate.useUserBuffer === 'function' &&
    typeof candidate.readStart === 'function' &&
    typeof candidate.readStop === 'function'
  return isUsable ? (candidate as ReadHandle) : undefined
}

/** From now on the socket reads into what `next` answers, and calls `onRead` with the length; `false` stops the reading. */
export function adopt(
  socket: net.Socket,
  handle: ReadHandle,
  next: () => Uint8Array,
  onRead: (length: number) => boolean,
): void {
  if (USER_BUFFER === undefined) return
  const inside = insideOf(socket)
  inside[USER_BUFFER.callback] = onRead
  inside[USER_BUFFER.generator] = next
  replaceBuffer(socket, handle, next())
}

/** The same with another buffer; not while a read may be under way in the old one. */
export function replaceBuffer(socket: net.Socket, handle: ReadHandle, buffer: Uint8Array): void {
  if (USER_BUFFER !== undefined) insideOf(socket)[USER_BUFFER.buffer] = buffer
  handle.useUserBuffer(buffer)
}

/** What the socket buffers from before. */
export function readBuffered(socket: net.Socket): Buffer | null {
  const bytes: unknown = socket.read()
  return Buffer.isBuffer(bytes) ? bytes : null
}

/**
 * libuv takes a hang-up after a short read for the end (uv__stream_io) without asking whether it was a reset: a
 * download that was cut would look complete. So an end that `isDoubtful` is held until it is sure.
 */
export function tellEndFromReset(socket: net.Socket, isPlain: boolean, isDoubtful: () => boolean): void {
  const handle = handleOf(socket)
  if (handle === undefined) return
  const { push } = socket
  let isSure = false
  socket.push = (chunk: unknown, encoding?: BufferEncoding) => {
    if (chunk === null && !isSure && isDoubtful() && hasHandle(socket, handle)) {
      isSure = true
      if (isPlain ? readsAgain(handle) : isReset(socket, handle)) return true
    }
    return push.call(socket, chunk, encoding)
  }
}

/**
 * When a write fails because the peer has closed, Node throws away what the peer sent before: a server's early
 * answer to a long upload. So the failure waits until all of that is read. For sockets that read into our buffer:
 * others deliver nothing after an error.
 */
export function readOutBeforeFailing(socket: net.Socket): void {
  const { push, destroy } = socket
  let failure: Error | undefined
  let isEnded = false
  socket.destroy = (error?: Error) => {
    const isFirst = failure === undefined && !isEnded && !socket.destroyed
    if (!isFirst || !isFailedWrite(error)) return destroy.call(socket, error)
    failure = error
    return socket
  }
  // The end, or the error by the way of `destroy`: one of them comes, since the connection is over.
  socket.push = (chunk: unknown, encoding?: BufferEncoding) => {
    if (chunk === null) isEnded = true
    if (chunk === null && failure !== undefined) destroy.call(socket, failure)
    return push.call(socket, chunk, encoding)
  }
}

function isFailedWrite(error: Error | undefined): boolean {
  if (error === undefined || !('syscall' in error) || !('code' in error)) return false
  return error.syscall === 'write' && (error.code === 'EPIPE' || error.code === 'ECONNRESET')
}

/** Reading once more brings the end again, or the error. */
function readsAgain(handle: ReadHandle): boolean {
  handle.reading = true
  return handle.readStart() === 0
}

/**
 * A TLS handle reads no more after an end, but after a reset its TCP socket has no peer any more. Where we ended
 * before, a clean end looks the same and is taken for one.
 */
function isReset(socket: net.Socket, handle: ReadHandle): boolean {
  const tcp: unknown = Reflect.get(handle, '_parent')
  if (socket.writableEnded || typeof tcp !== 'object' || tcp === null || !('getpeername' in tcp)) return false
  const { getpeername } = tcp
  if (typeof getpeername !== 'function' || getpeername.call(tcp, {}) === 0) return false
  socket.destroy(new Error('connection reset by the peer'))
  return true
}
