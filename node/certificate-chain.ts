import { X509Certificate } from 'node:crypto'
import { checkServerIdentity, type TLSSocket } from 'node:tls'

/** OpenSSL's word for a certificate whose subject is its issuer. */
const LOOKS_SELF_SIGNED = 'DEPTH_ZERO_SELF_SIGNED_CERT'
const PEM = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g

/** Extended key usage (RFC 5280 4.2.1.12). */
const USAGE = { client: '1.3.6.1.5.5.7.3.2', server: '1.3.6.1.5.5.7.3.1' } as const

/**
 * Whether the peer of a finished handshake is trusted, by OpenSSL's verdict or, where that is known to differ
 * from Go's, by our own look: a certificate that was issued under the name of its CA (many home-made ones are)
 * is self-signed to OpenSSL, while Go checks its signature against the CA. Returns why not, or undefined.
 */
export function distrust(socket: TLSSocket, trusted: string, peer: keyof typeof USAGE): string | undefined {
  const verdict = verdictOf(socket)
  if (verdict === undefined) return undefined
  if (verdict !== LOOKS_SELF_SIGNED) return verdict
  const raw = socket.getPeerCertificate().raw
  const leaf = raw === undefined ? undefined : new X509Certificate(raw)
  return leaf !== undefined && isSignedByOne(leaf, trusted) && isFor(leaf, peer) ? undefined : verdict
}

/** Why a certificate does not stand for this host, or undefined. */
export function misnamed(socket: TLSSocket, serverName: string): string | undefined {
  return checkServerIdentity(serverName, socket.getPeerCertificate())?.message
}

function verdictOf(socket: TLSSocket): string | undefined {
  const error: unknown = socket.authorizationError
  if (socket.authorized) return undefined
  // A string by the documentation's own example, an Error by its text.
  if (error instanceof Error) return 'code' in error && typeof error.code === 'string' ? error.code : error.message
  return typeof error === 'string' && error !== '' ? error : 'no certificate'
}

function isSignedByOne(leaf: X509Certificate, trusted: string): boolean {
  const now = Date.now()
  if (Date.parse(leaf.validFrom) > now || Date.parse(leaf.validTo) < now) return false
  return (trusted.match(PEM) ?? []).some((pem) => {
    const authority = new X509Certificate(pem)
    if (!authority.ca || authority.fingerprint256 === leaf.fingerprint256) return false
    return leaf.checkIssued(authority) && leaf.verify(authority.publicKey)
  })
}

function isFor(leaf: X509Certificate, peer: keyof typeof USAGE): boolean {
  const usages: readonly string[] | undefined = leaf.keyUsage
  return usages === undefined || usages.includes(USAGE[peer])
}
