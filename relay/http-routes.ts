import { hostCandidates } from './host-names.ts'

/** Where a request goes: one member of what is behind a route. */
export interface HttpRoute<Target> {
  host: string
  /** Prefix of the path, as text; `/` for all. */
  location: string
  /** routeByHTTPUser; empty for everybody. */
  user: string
  target: Target
}

/**
 * The vhost table of frp (pkg/util/vhost/router.go): exact host, then wildcards, then `*`; in each the routes
 * of the request's user before those of everybody; in those the longest location first. Who may hold a route
 * is the directory's business: this table only finds.
 */
export class HttpRouteTable<Target> {
  private readonly byHost = new Map<string, HttpRoute<Target>[]>()

  add(route: HttpRoute<Target>): void {
    const routes = [...(this.byHost.get(route.host) ?? []), route]
    routes.sort((a, b) => b.location.length - a.location.length)
    this.byHost.set(route.host, routes)
  }

  remove(route: HttpRoute<Target>): void {
    const routes = (this.byHost.get(route.host) ?? []).filter((one) => one !== route)
    if (routes.length === 0) this.byHost.delete(route.host)
    else this.byHost.set(route.host, routes)
  }

  /** `host` is canonical, `path` as sent. */
  find(host: string, path: string, user: string): HttpRoute<Target> | undefined {
    const exact = this.match(host, path, user)
    if (exact !== undefined) return exact
    for (const candidate of hostCandidates(host)) {
      const route = this.match(candidate, path, user)
      if (route !== undefined) return route
    }
    return undefined
  }

  /** Routes in the table, for tests and metrics. */
  get size(): number {
    let count = 0
    for (const routes of this.byHost.values()) count += routes.length
    return count
  }

  private match(host: string, path: string, user: string): HttpRoute<Target> | undefined {
    const routes = this.byHost.get(host)
    if (routes === undefined) return undefined
    let forEverybody: HttpRoute<Target> | undefined
    for (const route of routes) {
      if (!path.startsWith(route.location)) continue
      if (route.user === user && user !== '') return route
      if (route.user === '') forEverybody ??= route
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
