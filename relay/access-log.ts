import type { Runtime } from '../contract/runtime.ts'
import type { NewProxy } from '../protocol/frp/messages.ts'
import type { Traffic } from '../protocol/stream/join.ts'

/** One visit of a user: a connection, an HTTP request, or the first datagram of an address. */
export interface AccessEntry {
  /** When it began, ISO 8601 in UTC. */
  time: string
  proxy: string
  type: string
  /** frpc's `user`. */
  user: string
  ip: string
  port: number
  /** From the user to the service, and back; absent for datagrams, where a line is the beginning. */
  bytesIn?: number
  bytesOut?: number
  ms?: number
  method?: string
  host?: string
  path?: string
  status?: number
  userAgent?: string
  /** Why it was not let in, or how it broke; absent: it ended in order. */
  error?: string
}

/** Where a runtime keeps the visits of users. */
export type AccessLog = (entry: AccessEntry) => void

/** What is known of a request. */
export type RequestPart = Pick<AccessEntry, 'method' | 'host' | 'path' | 'userAgent'>

/** The visits of one proxy. */
export class ProxyAccess {
  private readonly log: AccessLog
  private readonly runtime: Runtime
  private readonly fixed: Pick<AccessEntry, 'proxy' | 'type' | 'user'>

  constructor(log: AccessLog, runtime: Runtime, message: NewProxy, user: string) {
    this.log = log
    this.runtime = runtime
    this.fixed = {
      proxy: message.proxy_name,
      type: message.proxy_type,
      user,
    }
  }

  /** A visit that begins now; its end is what is written. */
  begin(ip: string, port: number, request: RequestPart = {}): Visit {
    const { runtime, log } = this
    const begunMs = runtime.monotonicMs()
    const head = { time: new Date(runtime.nowMs()).toISOString(), ...this.fixed, ip, port, ...request }
    return new Visit((end) => {
      const ms = Math.round(runtime.monotonicMs() - begunMs)
      log({ ...head, ...end, ms })
    })
  }

  /** The first datagram of an address, which has no end. */
  heard(ip: string, port: number): void {
    this.log({ time: new Date(this.runtime.nowMs()).toISOString(), ...this.fixed, ip, port })
  }
}

/** One visit that is going on; bytes are counted by whoever carries them. */
export class Visit {
  bytesIn = 0
  bytesOut = 0
  status: number | undefined
  private write: ((end: Partial<AccessEntry>) => void) | undefined

  constructor(write: (end: Partial<AccessEntry>) => void) {
    this.write = write
  }

  /** Writes the line, once. */
  end(error?: string): void {
    const { write, status, bytesIn, bytesOut } = this
    this.write = undefined
    write?.({
      ...(status === undefined ? {} : { status }),
      bytesIn,
      bytesOut,
      ...(error === undefined ? {} : { error }),
    })
  }

  /** A counter for a join that adds to `total` as well. */
  counting(total: Traffic): Traffic {
    const visit = this
    return {
      get forward() {
        return visit.bytesIn
      },
      set forward(bytes) {
        total.forward += bytes - visit.bytesIn
        visit.bytesIn = bytes
      },
      get backward() {
        return visit.bytesOut
      },
      set backward(bytes) {
        total.backward += bytes - visit.bytesOut
        visit.bytesOut = bytes
      },
    }
  }
}
