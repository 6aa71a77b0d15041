import { hostCandidates } from './host-names.ts'
import { Turns } from './turns.ts'

/** Where requests for a host go. */
export interface HttpRoute<Target> {
  host: string
  /** Prefix of the path, as text; `/` for all, and `''` where there is no path (https, tcpmux). */
  location: string
  /** routeByHTTPUser; empty for everybody. */
  user: string
  target: Target
}

interface Entry<Target> {
  location: string
  user: string
  /** More than one: a load-balancing group. */
  targets: Turns<Target>
}

/**
 * The vhost table of frp (pkg/util/vhost/router.go): exact host, then wildcards, then `*`; in each the routes
 * of the request's user before those of everybody; in those the longest location first. Who may hold a route
 * is the directory's business: this table only finds, and where a route has several targets they take turns.
 */
export class HttpRouteTable<Target> {
  private readonly byHost = new Map<string, Entry<Target>[]>()

  add(route: HttpRoute<Target>): void {
    const { host, location, user } = route
    const entries = this.byHost.get(host) ?? []
    let entry = entries.find((one) => one.location === location && one.user === user)
    if (entry === undefined) {
      entry = { location, user, targets: new Turns() }
      entries.push(entry)
      entries.sort((a, b) => b.location.length - a.location.length)
      this.byHost.set(host, entries)
    }
    entry.targets.add(route.target)
  }

  remove(route: HttpRoute<Target>): void {
    const { host, location, user, target } = route
    const entries = this.byHost.get(host) ?? []
    entries.find((one) => one.location === location && one.user === user)?.targets.remove(target)
    const rest = entries.filter((one) => one.targets.size > 0)
    if (rest.length === 0) this.byHost.delete(host)
    else this.byHost.set(host, rest)
  }

  /** `host` is canonical, `path` as sent. Of several targets the one whose turn it is. */
  find(host: string, path: string, user: string): Target | undefined {
    const exact = this.match(host, path, user)
    if (exact !== undefined) return exact.targets.next()
    for (const candidate of hostCandidates(host)) {
      const entry = this.match(candidate, path, user)
      if (entry !== undefined) return entry.targets.next()
    }
    return undefined
  }

  /** Targets in the table, for tests and metrics. */
  get size(): number {
    let count = 0
    for (const entries of this.byHost.values()) for (const entry of entries) count += entry.targets.size
    return count
  }

  private match(host: string, path: string, user: string): Entry<Target> | undefined {
    const entries = this.byHost.get(host)
    if (entries === undefined) return undefined
    let forEverybody: Entry<Target> | undefined
    for (const entry of entries) {
      if (!path.startsWith(entry.location)) continue
      if (entry.user === user && user !== '') return entry
      if (entry.user === '') forEverybody ??= entry
    }
    return forEverybody
  }
}

/** The routes of a relay, and the address that its users see. */
export interface HttpRoutes<Target> {
  table: HttpRouteTable<Target>
  /** frp util.CanonicalAddr: `host` or `host:port`. */
  publicAddress(host: string): string
}

/** The routes of a listener at `port`. */
export function routesAt<Target>(port: number): HttpRoutes<Target> {
  return {
    table: new HttpRouteTable<Target>(),
    publicAddress: (host) => (port === 80 || port === 443 ? host : `${host}:${port}`),
  }
}
