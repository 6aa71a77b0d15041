import { FrpError } from './errors.ts'
import { parseIp, unmappedIp } from './ip.ts'

/** Metadata of a proxy that say where its users may come from: addresses and CIDR blocks, with commas between. */
export const ALLOW_IPS = 'edgefrp.allowIPs'
export const DENY_IPS = 'edgefrp.denyIPs'

/** Bits of an IPv4-mapped address before the IPv4 one. */
const MAPPED_BITS = 96

interface Block {
  bytes: Uint8Array
  bits: number
}

/** Which addresses may come: none that is denied, and if any are allowed, only those. */
export class IpRules {
  private readonly allowed: readonly Block[]
  private readonly denied: readonly Block[]

  /** Addresses or CIDR blocks. Throws CONFIG_FIELD that names the one that is neither. */
  constructor(allow: readonly string[], deny: readonly string[]) {
    this.allowed = allow.map(parseBlock)
    this.denied = deny.map(parseBlock)
  }

  /** Whether anything is said at all. */
  get isEmpty(): boolean {
    return this.allowed.length === 0 && this.denied.length === 0
  }

  /** What is no IP address is in no block; an IPv4-mapped address is the IPv4 one, here and in blocks. */
  allows(ip: string): boolean {
    if (this.isEmpty) return true
    const parsed = parseIp(ip)
    const bytes = parsed && unmappedIp(parsed)
    const isIn = (blocks: readonly Block[]): boolean =>
      bytes !== undefined && blocks.some((block) => contains(block, bytes))
    if (isIn(this.denied)) return false
    return this.allowed.length === 0 || isIn(this.allowed)
  }
}

/** Why `text` is no IP address or CIDR block; undefined: it is one. */
export function wrongBlock(text: string): string | undefined {
  return blockOf(text) === undefined ? noBlock(text) : undefined
}

function noBlock(text: string): string {
  return `${JSON.stringify(text)} is no IP address and no CIDR block`
}

function parseBlock(text: string): Block {
  const block = blockOf(text)
  if (block === undefined) throw new FrpError('CONFIG_FIELD', noBlock(text))
  return block
}

function blockOf(text: string): Block | undefined {
  const [address = '', digits, more] = text.split('/')
  const bytes = parseIp(address)
  if (bytes === undefined || more !== undefined) return undefined
  const most = bytes.length * 8
  if (digits !== undefined && !/^\d{1,3}$/.test(digits)) return undefined
  const bits = digits === undefined ? most : Number(digits)
  if (bits > most) return undefined
  const plain = unmappedIp(bytes)
  if (plain === bytes) return { bytes, bits }
  // A wider one is no block of IPv4 addresses, and no IPv6 address is in it.
  return bits >= MAPPED_BITS ? { bytes: plain, bits: bits - MAPPED_BITS } : undefined
}

function contains({ bytes, bits }: Block, ip: Uint8Array): boolean {
  if (ip.length !== bytes.length) return false
  const whole = bits >> 3
  for (let i = 0; i < whole; i++) if (bytes[i] !== ip[i]) return false
  const rest = bits & 7
  return rest === 0 || ((bytes[whole] ?? 0) ^ (ip[whole] ?? 0)) >> (8 - rest) === 0
}
