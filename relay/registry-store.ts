import type { ClientRecord } from './client-records.ts'
import type { DayTraffic } from './registry.ts'

/** What is kept of one proxy, as plain data. */
export interface SavedProxy {
  name: string
  type: string
  user: string
  clientId: string
  /** Unix ms. */
  lastStartMs: number
  lastCloseMs: number | undefined
  /** Days since 1970 of `days[0]`. */
  day: number
  days: DayTraffic[]
  total: DayTraffic
  /** What of its registration's counters is in `days` already. */
  countedIn: number
  countedOut: number
}

/** Where a runtime keeps what the relay has seen, over sleep and restarts. */
export interface RegistryStore {
  loadProxies(): SavedProxy[]
  loadClients(): ClientRecord[]
  keepProxy(saved: SavedProxy): void
  dropProxy(name: string): void
  keepClient(record: ClientRecord): void
  dropClient(key: string): void
}
