import { FrpError } from '../contract/errors.ts'
import type { NewProxy } from '../protocol/frp/messages.ts'

/** RFC 1035: a name and a label of it. */
const MAX_NAME = 253
const MAX_LABEL = 63

/**
 * A host as routes and checks compare it: lower case, ASCII (IDNA), without port, brackets' port or trailing
 * dot. Undefined for what is no host name; `*` and `*.name` pass.
 */
export function canonicalHost(text: string): string | undefined {
  let host = text.trim().toLowerCase()
  if (host.startsWith('[')) {
    const end = host.indexOf(']')
    return end > 0 && /^[0-9a-f:.]+$/.test(host.slice(1, end)) ? host.slice(0, end + 1) : undefined
  }
  const colon = host.lastIndexOf(':')
  if (colon >= 0) {
    if (!/^\d*$/.test(host.slice(colon + 1))) return undefined
    host = host.slice(0, colon)
  }
  if (host.endsWith('.')) host = host.slice(0, -1)
  if (!isAscii(host)) {
    const ascii = toAscii(host)
    if (ascii === undefined) return undefined
    host = ascii
  }
  if (host === '*') return host
  const name = host.startsWith('*.') ? host.slice(2) : host
  return isName(name) ? host : undefined
}

/** The domains of an http proxy, canonical; throws frp's text for one that belongs to the subdomain host. */
export function checkDomains(domains: readonly string[], subDomainHost: string): string[] {
  const parent = canonicalHost(subDomainHost) ?? ''
  return domains.map((domain) => {
    const host = canonicalHost(domain)
    if (host === undefined) throw new FrpError('PROXY_REFUSED', `custom domain [${domain}] is not a host name`)
    if (parent !== '' && host.endsWith(`.${parent}`)) {
      throw new FrpError(
        'PROXY_REFUSED',
        `custom domain [${domain}] should not belong to subdomain host [${subDomainHost}]`,
      )
    }
    return host
  })
}

/** `subdomain.subDomainHost`; throws frp's texts. */
export function subdomainHost(subdomain: string, subDomainHost: string): string {
  if (subDomainHost === '') {
    throw new FrpError('NOT_SUPPORTED', 'subdomain is not supported because this feature is not enabled in server')
  }
  if (subdomain.includes('.') || subdomain.includes('*')) {
    throw new FrpError('PROXY_REFUSED', "'.' and '*' are not supported in subdomain")
  }
  const host = canonicalHost(`${subdomain}.${subDomainHost}`)
  if (host === undefined) throw new FrpError('PROXY_REFUSED', `subdomain [${subdomain}] is not a host label`)
  return host
}

/** The hosts of a proxy, each once, canonical; throws frp's texts. */
export function hostsOf(message: NewProxy, subDomainHost: string): string[] {
  const hosts = checkDomains(message.custom_domains, subDomainHost)
  if (message.subdomain !== '') hosts.push(subdomainHost(message.subdomain, subDomainHost))
  return [...new Set(hosts)]
}

/** The keys under which a host may be routed, most exact first: itself, `*.` of each parent, `*` (frp pkg/util/vhost). */
export function hostCandidates(host: string): string[] {
  const candidates = [host]
  if (!host.startsWith('[')) {
    let labels = host.split('.')
    // frp: a wildcard needs two labels behind it, so `*.com` matches nothing.
    while (labels.length >= 3) {
      labels = labels.slice(1)
      candidates.push(`*.${labels.join('.')}`)
    }
  }
  candidates.push('*')
  return candidates
}

function isName(name: string): boolean {
  if (name.length === 0 || name.length > MAX_NAME) return false
  return name.split('.').every((label) => label.length <= MAX_LABEL && /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/.test(label))
}

function isAscii(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII begins with control characters
  return /^[\u0000-\u007f]*$/.test(text)
}

function toAscii(host: string): string | undefined {
  try {
    const star = host.startsWith('*.') ? '*.' : ''
    return star + new URL(`http://${host.slice(star.length)}`).hostname
  } catch {
    return undefined // not a name that IDNA knows
  }
}
