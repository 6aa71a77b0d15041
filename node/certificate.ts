import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'

/** frp pkg/transport/tls.go: from an hour ago, for clocks that are behind, for ten years. */
const VALID_BEFORE_MS = 3_600_000
const VALID_YEARS = 10

const OID_ECDSA_SHA256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]
const OID_BASIC_CONSTRAINTS = [0x55, 0x1d, 0x13]
const OID_SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11]

/** A key and its certificate as PEM texts. */
export interface KeyAndCertificate {
  key: string
  cert: string
}

/**
 * A fresh P-256 key with a self-signed X.509 v3 certificate, in about a millisecond; with an empty subject as
 * frps makes it, or with names (DNS names, IPv4 addresses) that a client can verify.
 *
 * Written out here because Node can read certificates but not make them, and the packages that make them bring
 * half a megabyte of ASN.1 (and a start of their own) for these forty fields.
 */
export function selfSigned(names: readonly string[] = [], nowMs: number = Date.now()): KeyAndCertificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = sequence(oid(OID_ECDSA_SHA256))
  const notAfter = new Date(nowMs)
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + VALID_YEARS)
  const nameless = sequence()
  const toSign = sequence(
    tagged(0, integer([2])), // v3
    integer(positive(randomBytes(16))),
    algorithm,
    nameless, // issuer
    sequence(time(new Date(nowMs - VALID_BEFORE_MS)), time(notAfter)),
    nameless, // subject
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(3, sequence(...extensions(names))),
  )
  const signature = sign('sha256', toSign, privateKey)
  const certificate = sequence(toSign, algorithm, element(0x03, [0, ...signature]))
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: pem('CERTIFICATE', certificate),
  }
}

function extensions(names: readonly string[]): Uint8Array[] {
  // A certificate authority for itself: so it can be named as trustedCaFile of the other side.
  const constraints = sequence(oid(OID_BASIC_CONSTRAINTS), boolean(true), octets(sequence(boolean(true))))
  if (names.length === 0) return [constraints]
  // RFC 5280 4.2.1.6: critical when the subject is empty.
  return [constraints, sequence(oid(OID_SUBJECT_ALT_NAME), boolean(true), octets(sequence(...names.map(generalName))))]
}

function generalName(name: string): Uint8Array {
  const isIpv4 = /^\d+\.\d+\.\d+\.\d+$/.test(name)
  return isIpv4 ? element(0x87, name.split('.').map(Number)) : element(0x82, new TextEncoder().encode(name))
}

function element(tag: number, content: ArrayLike<number>): Uint8Array {
  const { length } = content
  const head =
    length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff]
  const out = new Uint8Array(head.length + length)
  out.set(head)
  out.set(content, head.length)
  return out
}

function sequence(...parts: Uint8Array[]): Uint8Array {
  return element(0x30, Buffer.concat(parts))
}

function oid(bytes: number[]): Uint8Array {
  return element(0x06, bytes)
}

function integer(bytes: ArrayLike<number>): Uint8Array {
  return element(0x02, bytes)
}

function boolean(value: boolean): Uint8Array {
  return element(0x01, [value ? 0xff : 0])
}

function octets(content: Uint8Array): Uint8Array {
  return element(0x04, content)
}

function tagged(index: number, content: Uint8Array): Uint8Array {
  return element(0xa0 + index, content)
}

/** DER integers are signed, and the shortest form is the only one: the top bits become 01. */
function positive(bytes: Uint8Array): Uint8Array {
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes
}

/** RFC 5280 4.1.2.5: UTCTime until 2049, GeneralizedTime from then on. */
function time(date: Date): Uint8Array {
  const digits = date.toISOString().replace(/\D/g, '').slice(0, 14)
  const isLate = date.getUTCFullYear() >= 2050
  return element(isLate ? 0x18 : 0x17, new TextEncoder().encode(`${isLate ? digits : digits.slice(2)}Z`))
}

function pem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
