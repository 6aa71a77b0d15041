/** A request's URL in parts, as it was sent. */
export interface RequestUrl {
  /** With the port, if there is one. */
  authority: string
  hostname: string
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
  const authority = url.slice(start, end)
  return {
    authority,
    hostname: authority.replace(/:\d*$/, ''),
    pathname: query < 0 ? path : path.slice(0, query),
    path,
  }
}
