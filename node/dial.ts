import net from 'node:net'
import { FrpError } from '../contract/errors.ts'

/** Where to connect to. */
export type DialTarget = net.TcpNetConnectOpts | net.IpcNetConnectOpts

/** A connection that is being made. */
export interface Dialing {
  /** Gives it up: `done` is told `reason`. Nothing once it is made or has failed. */
  cancel(reason: unknown): void
}

/** Connects with half-close; `done` gets the socket, which reads nothing yet, or CONNECT_FAILED, never inside this call. */
export function startDial(
  target: DialTarget,
  done: (socket: net.Socket | undefined, error?: FrpError) => void,
): Dialing {
  const socket = net.connect({ ...target, allowHalfOpen: true })
  let isOver = false
  const fail = (cause: unknown): void => {
    if (isOver) return
    isOver = true
    socket.destroy()
    const text = cause instanceof Error ? cause.message : String(cause)
    done(undefined, new FrpError('CONNECT_FAILED', `cannot connect to ${nameOf(target)}: ${text}`, { cause }))
  }
  socket.on('error', fail)
  socket.once('connect', () => {
    if (isOver) return
    isOver = true
    socket.off('error', fail)
    // Nothing is read before somebody takes the socket over.
    socket.pause()
    done(socket)
  })
  return { cancel: fail }
}

/** The same as a promise; an aborted `signal` gives it up. */
export function dial(target: DialTarget, signal?: AbortSignal): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const abort = (): void => dialing.cancel(signal?.reason)
    const dialing = startDial(target, (socket, error) => {
      signal?.removeEventListener('abort', abort)
      if (socket === undefined) reject(error)
      else resolve(socket)
    })
    if (signal?.aborted) abort()
    else signal?.addEventListener('abort', abort, { once: true })
  })
}

function nameOf(target: DialTarget): string {
  return 'path' in target ? target.path : `${target.host ?? 'localhost'}:${target.port}`
}
