import type { Runtime } from '../contract/runtime.ts'
import type { NewProxy } from '../protocol/frp/messages.ts'
import { type ClientRecord, ClientRecords, clientIdOf } from './client-records.ts'
import type { Control } from './control.ts'
import type { ProxyStats } from './proxy.ts'
import type { RegistryStore, SavedProxy } from './registry-store.ts'

/** Days of traffic that are kept, today included (frp: 7). */
const TRAFFIC_DAYS = 7
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
  /** The client's own id, or what stands for its run id. */
  clientId: string
  /** The registration while it is on line. */
  message: NewProxy | undefined
  stats: ProxyStats | undefined
  /** Unix ms. */
  lastStartMs: number
  lastCloseMs: number | undefined
  /** Index 0 is today. */
  days: DayTraffic[]
  /** Since the relay first saw it. */
  total: DayTraffic
}

export interface RegistryOptions {
  runtime: Runtime
  maxOffline: number
  offlineMs: number
  /** Absent: nothing outlives the relay. */
  store?: RegistryStore | undefined
}

/** Between two times that running traffic is written down: what a crash may forget, and a row written costs money. */
const SAVE_INTERVAL_MS = 10_000

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
  private readonly records: ClientRecords
  private day: number
  private savedMs: number

  constructor(options: RegistryOptions) {
    this.options = options
    const { runtime, maxOffline, offlineMs } = options
    this.records = new ClientRecords({ nowMs: () => runtime.nowMs(), maxOffline, offlineMs, store: options.store })
    this.savedMs = runtime.nowMs()
    this.day = Math.floor(this.savedMs / DAY_MS)
    for (const saved of options.store?.loadProxies() ?? []) this.offline.set(saved.name, loaded(saved, this.day))
  }

  clientJoined(control: Control, isRevived = false): void {
    this.online.add(control)
    this.records.joined(control, isRevived)
  }

  clientLeft(control: Control): void {
    this.online.delete(control)
    this.records.left(control)
  }

  get clients(): readonly Control[] {
    return [...this.online]
  }

  /** All clients by user and id, on line or not. */
  listClients(): readonly ClientRecord[] {
    return this.records.list()
  }

  findClient(key: string): ClientRecord | undefined {
    return this.records.find(key)
  }

  /** `isRevived`: it goes on after sleep, with its counters as they were. */
  proxyStarted(control: Control, message: NewProxy, stats: ProxyStats, isRevived = false): void {
    this.turnDays()
    const name = message.proxy_name
    const known = this.proxies.get(name) ?? this.offline.get(name)
    if (known !== undefined) bookBytes(known)
    this.offline.delete(name)
    const isSame = isRevived && known !== undefined
    const entry: Entry = {
      name,
      type: message.proxy_type,
      user: control.user,
      clientId: clientIdOf(control),
      message,
      stats,
      lastStartMs: isSame ? known.lastStartMs : this.options.runtime.nowMs(),
      lastCloseMs: known?.lastCloseMs,
      days: known?.days ?? newDays(),
      total: known?.total ?? { bytesIn: 0, bytesOut: 0 },
      countedIn: isSame ? known.countedIn : 0,
      countedOut: isSame ? known.countedOut : 0,
    }
    this.proxies.set(name, entry)
    if (!isSame) this.keep(entry)
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
    this.keep(entry)
    this.forgetOld()
  }

  /** Writes running traffic down, now and then: call it when nothing else is to be done. */
  save(intervalMs = SAVE_INTERVAL_MS): void {
    const now = this.options.runtime.nowMs()
    if (this.options.store === undefined || now - this.savedMs < intervalMs) return
    this.savedMs = now
    this.turnDays()
    for (const entry of this.proxies.values()) {
      const { countedIn, countedOut } = entry
      bookBytes(entry)
      if (entry.countedIn !== countedIn || entry.countedOut !== countedOut) this.keep(entry)
    }
  }

  /** All proxies by name, with today's traffic up to now. */
  list(): readonly ProxyRecord[] {
    this.turnDays()
    this.forgetOld()
    const all = [...this.proxies.values(), ...this.offline.values()]
    for (const entry of all) bookBytes(entry)
    return all.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** One proxy, with today's traffic up to now. */
  find(name: string): ProxyRecord | undefined {
    this.turnDays()
    this.forgetOld()
    const entry = this.proxies.get(name) ?? this.offline.get(name)
    if (entry !== undefined) bookBytes(entry)
    return entry
  }

  /** Forgets the proxies that are off line; `total` is how many there were of either kind. */
  prune(): { cleared: number; total: number } {
    const cleared = this.offline.size
    for (const name of this.offline.keys()) this.options.store?.dropProxy(name)
    const total = this.proxies.size + cleared
    this.offline.clear()
    return { cleared, total }
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

  private keep(entry: Entry): void {
    const { message: _message, stats: _stats, ...saved } = entry
    this.options.store?.keepProxy({ ...saved, day: this.day })
  }

  /** Called for each proxy that closes, so it looks at no more than it forgets. */
  private forgetOld(): void {
    const limitMs = this.options.runtime.nowMs() - this.options.offlineMs
    for (const [name, entry] of this.offline) {
      if (this.offline.size <= this.options.maxOffline && (entry.lastCloseMs ?? entry.lastStartMs) >= limitMs) return
      this.offline.delete(name)
      this.options.store?.dropProxy(name)
    }
  }
}

/** A proxy of an earlier life; who is still there says so. */
function loaded({ day, ...saved }: SavedProxy, today: number): Entry {
  const turned = Math.min(TRAFFIC_DAYS, Math.max(0, today - day))
  const days = [...newDays().slice(0, turned), ...saved.days].slice(0, TRAFFIC_DAYS)
  return { ...saved, days, message: undefined, stats: undefined }
}

/** Adds what passed since the last look to the day that runs. */
function bookBytes(entry: Entry): void {
  const today = entry.days[0]
  if (entry.stats === undefined || today === undefined) return
  const { forward, backward } = entry.stats.traffic
  for (const sum of [today, entry.total]) {
    sum.bytesIn += forward - entry.countedIn
    sum.bytesOut += backward - entry.countedOut
  }
  entry.countedIn = forward
  entry.countedOut = backward
}

function newDays(): DayTraffic[] {
  return Array.from({ length: TRAFFIC_DAYS }, () => ({ bytesIn: 0, bytesOut: 0 }))
}
