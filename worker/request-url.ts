/** A request's URL in parts, as it was sent. */
export interface RequestUrl {
  /** With the port, if there is one. */
  authority: string
  isHttps: boolean
  /** Without the query. */
  pathname: string
  /** With the query. */
  path: string
}

/** The raw target: `new URL` would resolve dot segments, which are the service's to see, and costs more. */
export function splitUrl(url: string): RequestUrl {
  const start = url.indexOf('://') + 3
  const slash = url.indexOf('/', start)
  const end = slash < 0 ? url.length : slash
  const hash = url.indexOf('#', end)
  const rest = url.slice(end, hash < 0 ? undefined : hash)
  const path = rest === '' ? '/' : rest
  const query = path.indexOf('?')
  return {
    authority: url.slice(start, end),
    isHttps: url.startsWith('https:'),
    pathname: query < 0 ? path : path.slice(0, query),
    path,
  }
}

/** Without the port. */
export function hostnameOf(authority: string): string {
  return authority.replace(/:\d*$/, '')
}
