import { connect, type Socket } from 'node:net'
import { tellEndFromReset } from '../../../node/socket-handle.ts'
import { type CleanUp, type Ending, listenTcp } from '../client-rig.ts'

/** A user's connection, half-open, that sees a reset as what it is (Node by itself may show it as an end). */
export function dialUser(cleanUp: CleanUp, port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  tellEndFromReset(socket, true, () => true)
  socket.on('error', () => undefined)
  cleanUp.add(() => void socket.destroy())
  return socket
}

/** The same for the sockets that a service accepts. */
export function service(cleanUp: CleanUp, onSocket: (socket: Socket) => void, port = 0): Promise<number> {
  return listenTcp(
    cleanUp,
    (socket) => {
      tellEndFromReset(socket, true, () => true)
      onSocket(socket)
    },
    port,
  )
}

/** Reads to the end; does not end by itself. */
export function endingOf(socket: Socket): Promise<Ending> {
  return new Promise((resolve) => {
    const parts: Buffer[] = []
    const ending: Ending = { bytes: Buffer.alloc(0), ended: false, error: undefined }
    socket.on('data', (part) => parts.push(part))
    socket.on('end', () => {
      ending.ended = true
    })
    socket.on('error', (error) => {
      ending.error = error
    })
    socket.on('close', () => {
      ending.bytes = Buffer.concat(parts)
      resolve(ending)
    })
  })
}

/** How a connection ended, in a word or an error code. */
export function wordFor({ ended, error }: Ending): string {
  if (ended) return 'a clean end'
  return error !== undefined && 'code' in error ? String(error.code) : (error?.message ?? 'no error')
}
