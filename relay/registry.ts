import type { Runtime } from '../contract/runtime.ts'
import type { NewProxy } from '../protocol/frp/messages.ts'
import type { Control } from './control.ts'
import type { ProxyStats } from './proxy.ts'

/** Days of traffic that are kept, today included (frp: 7). */
export const TRAFFIC_DAYS = 7
const DAY_MS = 86_400_000

/** Bytes of one day. */
export interface DayTraffic {
  bytesIn: number
  bytesOut: number
}

/** One proxy that the relay has seen, on line or not. */
export interface ProxyRecord {
  name: string
  type: string
  user: string
  clientId: string
  /** The registration while it is on line. */
  message: NewProxy | undefined
  stats: ProxyStats | undefined
  /** Unix ms. */
  lastStartMs: number
  lastCloseMs: number | undefined
  /** Index 0 is today. */
  days: DayTraffic[]
}

export interface RegistryOptions {
  runtime: Runtime
  maxOffline: number
  offlineMs: number
}

interface Entry extends ProxyRecord {
  /** What of `stats` is in `days` already. */
  countedIn: number
  countedOut: number
}

/**
 * The clients and proxies of a relay, on line or not, with traffic by day. Counters are read where the bytes
 * pass, so a running connection shows too. Days are UTC; a day's last bytes are booked at the next look.
 */
export class Registry {
  private readonly options: RegistryOptions
  private readonly proxies = new Map<string, Entry>()
  /** Off line, in the order they went: the first one is forgotten first. */
  private readonly offline = new Map<string, Entry>()
  private readonly online = new Set<Control>()
  private day: number

  constructor(options: RegistryOptions) {
    this.options = options
    this.day = Math.floor(options.runtime.nowMs() / DAY_MS)
  }

  clientJoined(control: Control): void {
    this.online.add(control)
  }

  clientLeft(control: Control): void {
    this.online.delete(control)
  }

  get clients(): readonly Control[] {
    return [...this.online]
  }

  proxyStarted(control: Control, message: NewProxy, stats: ProxyStats): void {
    this.turnDays()
    const name = message.proxy_name
    const known = this.proxies.get(name) ?? this.offline.get(name)
    if (known !== undefined) bookBytes(known)
    this.offline.delete(name)
    this.proxies.set(name, {
      name,
      type: message.proxy_type === '' ? 'tcp' : message.proxy_type,
      user: control.user,
      clientId: control.state.login.client_id,
      message,
      stats,
      lastStartMs: this.options.runtime.nowMs(),
      lastCloseMs: known?.lastCloseMs,
      days: known?.days ?? newDays(),
      countedIn: 0,
      countedOut: 0,
    })
  }

  proxyStopped(name: string): void {
    this.turnDays()
    const entry = this.proxies.get(name)
    if (entry === undefined) return
    bookBytes(entry)
    entry.message = undefined
    entry.lastCloseMs = this.options.runtime.nowMs()
    this.proxies.delete(name)
    this.offline.set(name, entry)
    this.forgetOld()
  }

  /** All proxies by name, with today's traffic up to now. */
  list(): readonly ProxyRecord[] {
    this.turnDays()
    this.forgetOld()
    const all = [...this.proxies.values(), ...this.offline.values()]
    for (const entry of all) bookBytes(entry)
    return all.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Today's bytes of all proxies, and connections now. */
  totals(): DayTraffic & { connections: number } {
    let [bytesIn, bytesOut, connections] = [0, 0, 0]
    for (const record of this.list()) {
      bytesIn += record.days[0]?.bytesIn ?? 0
      bytesOut += record.days[0]?.bytesOut ?? 0
      connections += record.stats?.connections ?? 0
    }
    return { bytesIn, bytesOut, connections }
  }

  /** What passed before midnight is booked on the day that ends. */
  private turnDays(): void {
    const day = Math.floor(this.options.runtime.nowMs() / DAY_MS)
    const turned = Math.min(TRAFFIC_DAYS, Math.max(0, day - this.day))
    if (turned === 0) return
    this.day = day
    const fresh = newDays().slice(0, turned)
    for (const entry of [...this.proxies.values(), ...this.offline.values()]) {
      bookBytes(entry)
      entry.days = [...fresh.map((one) => ({ ...one })), ...entry.days].slice(0, TRAFFIC_DAYS)
    }
  }

  /** Called for each proxy that closes, so it looks at no more than it forgets. */
  private forgetOld(): void {
    const limitMs = this.options.runtime.nowMs() - this.options.offlineMs
    for (const [name, entry] of this.offline) {
      if (this.offline.size <= this.options.maxOffline && (entry.lastCloseMs ?? 0) >= limitMs) return
      this.offline.delete(name)
    }
  }
}

/** Adds what passed since the last look to the day that runs. */
function bookBytes(entry: Entry): void {
  const today = entry.days[0]
  if (entry.stats === undefined || today === undefined) return
  const { forward, backward } = entry.stats.traffic
  today.bytesIn += forward - entry.countedIn
  today.bytesOut += backward - entry.countedOut
  entry.countedIn = forward
  entry.countedOut = backward
}

function newDays(): DayTraffic[] {
  return Array.from({ length: TRAFFIC_DAYS }, () => ({ bytesIn: 0, bytesOut: 0 }))
}
