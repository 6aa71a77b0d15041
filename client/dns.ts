import { Resolver } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'

/** A look-up through one DNS server (`dnsServer`, an address with or without port) instead of the system's. */
export function lookupWith(server: string): LookupFunction {
  const resolver = new Resolver()
  // Node wants IPv6 in brackets only with a port; both forms of frp's key are its forms.
  resolver.setServers([server])
  return (host, options, done) => {
    const known = isIP(host)
    const answers = known === 0 ? resolve(resolver, host) : Promise.resolve([{ address: host, family: known }])
    answers.then(
      (addresses) => {
        const [first] = addresses
        if (options.all === true) done(null, addresses)
        else done(null, first?.address ?? '', first?.family ?? 0)
      },
      (error: NodeJS.ErrnoException) => done(error, ''),
    )
  }
}

async function resolve(resolver: Resolver, host: string): Promise<{ address: string; family: number }[]> {
  const [v4, v6] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
  const found = [
    ...(v4.status === 'fulfilled' ? v4.value.map((address) => ({ address, family: 4 })) : []),
    ...(v6.status === 'fulfilled' ? v6.value.map((address) => ({ address, family: 6 })) : []),
  ]
  if (found.length === 0 && v4.status === 'rejected') throw v4.reason
  return found
}
