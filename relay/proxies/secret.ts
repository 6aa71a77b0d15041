import type { ProxyContext, RelayProxy } from './table.ts'

/**
 * stcp and sudp: no port, but a name that visitors with the secret ask for. The relay carries their bytes; for
 * sudp these are messages with datagrams, which only the two clients read.
 */
export function secretProxy(context: ProxyContext): RelayProxy {
  const { message, workConns } = context
  const key = secretKeyOf(message.proxy_name)
  return {
    claims: [key],
    usesPort: false,
    visitKey: key,
    open: () => Promise.resolve(''),
    reopen() {
      // Nothing is opened.
    },
    visit: (visitor, addresses, leg) => workConns.serveVisitor(visitor, addresses, leg),
    close() {
      // Visitors that are here live on with their connections.
    },
  }
}

/** The key of the directory of a stcp or sudp proxy. */
export function secretKeyOf(proxyName: string): string {
  return `secret:${proxyName}`
}
