import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { Log, Runtime } from '../contract/runtime.ts'

/** Descriptors that are not for accepted sockets: listeners, files, datagram sockets, what Node itself opens. */
const RESERVED_DESCRIPTORS = 512
/** What is assumed where the system does not tell (not Linux): the lowest default of today's systems is 1,024. */
const UNKNOWN_LIMIT = 1_024
/** Sockets that users may not take, so that a client can come back while users flood a port. */
const RESERVED_FOR_CLIENTS = 64
/** How long drops are counted before the next line about them. */
const REPORT_MS = 10_000

/** Who a connection is from: a client of the relay, or a user of what a client exposes. */
export type Caller = 'client' | 'user'

/**
 * Bounds the accepted sockets of the process. Past the bound of open files Node accepts and closes without a
 * word, and cannot open anything else either; so we stop before it, and say so.
 */
export class ConnectionLimit {
  private max: number
  private readonly runtime: Runtime
  private readonly log: Log
  private readonly sockets = new Set<Socket>()
  private onEmpty: (() => void) | undefined
  private dropped = 0
  private isReporting = false

  constructor(max: number, runtime: Runtime) {
    this.max = max
    this.runtime = runtime
    this.log = runtime.log
  }

  /** Another bound from now on; whoever is in stays. */
  allow(max: number): void {
    this.max = max
  }

  /** Counts the socket until it closes; false: there are too many, and it was closed. */
  admit(socket: Socket, caller: Caller): boolean {
    const reserved = caller === 'user' ? Math.min(RESERVED_FOR_CLIENTS, Math.floor(this.max / 8)) : 0
    if (this.sockets.size >= this.max - reserved) {
      socket.destroy()
      this.report()
      return false
    }
    this.sockets.add(socket)
    socket.once('close', () => {
      this.sockets.delete(socket)
      if (this.sockets.size === 0) this.onEmpty?.()
    })
    return true
  }

  get size(): number {
    return this.sockets.size
  }

  /** Calls `run` when no counted socket is open, now or later. */
  whenEmpty(run: () => void): void {
    if (this.sockets.size === 0) run()
    else this.onEmpty = run
  }

  /** Closes every counted socket now. */
  destroyAll(): void {
    for (const socket of [...this.sockets]) socket.destroy()
  }

  private report(): void {
    this.dropped += 1
    if (this.isReporting) return
    this.isReporting = true
    this.log.warn(
      `too many connections (${this.max}): new ones are closed, edgefrp.limits.maxConnections sets the limit`,
    )
    this.dropped = 0
    this.runtime.after(REPORT_MS, () => {
      this.isReporting = false
      if (this.dropped > 0) this.log.warn(`${this.dropped} more connections were closed since`)
    })
  }
}

/** `limits.maxConnections`, or what the process may open less a reserve (at least half of it). */
export function maxConnections(configured: number, limitsText = readLimits()): number {
  if (configured > 0) return configured
  const found = /^Max open files\s+(\d+|unlimited)/m.exec(limitsText)?.[1]
  if (found === 'unlimited') return Number.MAX_SAFE_INTEGER
  const openFiles = found === undefined ? UNKNOWN_LIMIT : Number(found)
  return Math.max(openFiles - RESERVED_DESCRIPTORS, Math.floor(openFiles / 2))
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8')
  } catch {
    return '' // not Linux: UNKNOWN_LIMIT holds
  }
}
