const ZERO = 48

/** An IP address (no zone) as Go's net.ParseIP takes it: 4 bytes, or 16, or undefined if it is none. */
export function parseIp(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIp6(text) : parseIp4(text)
}

/** By hand: it runs for every datagram. */
function parseIp4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4)
  let part = 0
  let digits = 0
  let value = 0
  for (let i = 0; i <= text.length; i++) {
    const digit = text.charCodeAt(i) - ZERO
    if (digit >= 0 && digit <= 9) {
      // Go refuses leading zeros: they were octal once.
      if (digits > 0 && value === 0) return undefined
      value = value * 10 + digit
      digits += 1
      if (value > 255) return undefined
    } else if (digits > 0 && part < 4 && (i === text.length || text[i] === '.')) {
      bytes[part] = value
      part += 1
      digits = 0
      value = 0
    } else return undefined
  }
  return part === 4 ? bytes : undefined
}

function parseIp6(text: string): Uint8Array | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const front = groupsOf(halves[0] ?? '', halves.length === 1)
  const back = halves.length === 2 ? groupsOf(halves[1] ?? '', true) : []
  if (front === undefined || back === undefined) return undefined
  const length = front.length + back.length
  if (halves.length === 1 ? length !== 16 : length > 14) return undefined
  const bytes = new Uint8Array(16)
  bytes.set(front)
  bytes.set(back, 16 - back.length)
  return bytes
}

/** The bytes of `a:b:c`; the last group may be an IPv4 address if `mayEndIn4`. */
function groupsOf(text: string, mayEndIn4: boolean): number[] | undefined {
  if (text === '') return []
  const bytes: number[] = []
  const groups = text.split(':')
  for (const [i, group] of groups.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16)
      bytes.push(value >> 8, value & 0xff)
      continue
    }
    const last = mayEndIn4 && i === groups.length - 1 ? parseIp4(group) : undefined
    if (last === undefined) return undefined
    bytes.push(...last)
  }
  return bytes
}

/** An address as Go's net.IP writes it: IPv4-mapped as IPv4, IPv6 compressed and in lower case. */
export function formatIp(ip: Uint8Array): string {
  if (ip.length === 4) return ip.join('.')
  if (isMapped(ip)) return ip.subarray(12).join('.')
  const groups: number[] = []
  for (let i = 0; i < 16; i += 2) groups.push(((ip[i] ?? 0) << 8) | (ip[i + 1] ?? 0))
  const gap = longestZeroRun(groups)
  const hex = groups.map((group) => group.toString(16))
  if (gap.length < 2) return hex.join(':')
  return `${hex.slice(0, gap.start).join(':')}::${hex.slice(gap.start + gap.length).join(':')}`
}

/** A host as it stands before a port or in a URL: IPv6 in brackets. */
export function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

/** `host:port` as Go's net.JoinHostPort writes it. */
export function formatAddress(host: string, port: number): string {
  return `${bracketed(host)}:${port}`
}

/** An address text in the form that Go would send, or undefined if it is no address. */
export function canonicalIp(text: string): string | undefined {
  const ip = parseIp(text)
  return ip && formatIp(ip)
}

/** An IPv4-mapped address as the IPv4 one that it is; others as they are. */
export function unmappedIp(ip: Uint8Array): Uint8Array {
  return isMapped(ip) ? ip.subarray(12) : ip
}

function isMapped(ip: Uint8Array): boolean {
  return ip.length === 16 && ip[10] === 0xff && ip[11] === 0xff && ip.subarray(0, 10).every((byte) => byte === 0)
}

/** The first of the longest runs of zero groups. */
function longestZeroRun(groups: number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  let start = 0
  for (let i = 0; i <= groups.length; i++) {
    if (groups[i] === 0) continue
    if (i - start > best.length) best = { start, length: i - start }
    start = i + 1
  }
  return best
}
