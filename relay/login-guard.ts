import { hexOf } from '../contract/bytes.ts'
import { formatIp, parseIp } from '../contract/ip.ts'
import { type Rate, RateLimit } from '../contract/rate-limit.ts'
import type { Runtime } from '../contract/runtime.ts'

const NETWORK_BYTES = 8

interface Failures {
  /** What this address may still do wrong. */
  limit: RateLimit
  /** Failures that no line was written for. */
  unreported: number
  reportedMs: number
}

/** Addresses remembered at once: a flood from many addresses must not grow the table. */
const MAX_ADDRESSES = 10_000
/** One log line an address in this time; the next one says how many there were. */
const REPORT_INTERVAL_MS = 10_000

/**
 * Counts failed logins by address (IPv6: by /64) and says when an address must wait. The right token is never
 * refused for its address: whoever shares an address with an attacker still gets in.
 */
export class LoginGuard {
  private readonly runtime: Runtime
  private readonly rate: Rate
  private readonly byAddress = new Map<string, Failures>()

  /** `rate`: of failures of one address. */
  constructor(runtime: Runtime, rate: Rate) {
    this.runtime = runtime
    this.rate = rate
  }

  /**
   * Notes a failure; failures about different things are counted apart. `isThrottled`: answer with nothing but a
   * close. `report`: failures to put into one log line, 0 = none.
   */
  failed(ip: string, about = ''): { isThrottled: boolean; report: number } {
    const now = this.runtime.monotonicMs()
    const failures = this.failuresOf(`${networkOf(ip)} ${about}`, now)
    const isThrottled = !failures.limit.take(now)
    failures.unreported += 1
    if (now - failures.reportedMs < REPORT_INTERVAL_MS) return { isThrottled, report: 0 }
    const report = failures.unreported
    failures.unreported = 0
    failures.reportedMs = now
    return { isThrottled, report }
  }

  /** Whether a failure would be throttled now. */
  isBlocked(ip: string, about = ''): boolean {
    const failures = this.byAddress.get(`${networkOf(ip)} ${about}`)
    return failures !== undefined && failures.limit.left(this.runtime.monotonicMs()) < 1
  }

  private failuresOf(network: string, now: number): Failures {
    const known = this.byAddress.get(network)
    if (known !== undefined) {
      // The map keeps the order of use, so that the one forgotten is the one quiet for longest.
      this.byAddress.delete(network)
      this.byAddress.set(network, known)
      return known
    }
    if (this.byAddress.size >= MAX_ADDRESSES) {
      for (const oldest of this.byAddress.keys()) {
        this.byAddress.delete(oldest)
        break
      }
    }
    const fresh = {
      limit: new RateLimit(this.rate, now),
      unreported: 0,
      reportedMs: Number.NEGATIVE_INFINITY,
    }
    this.byAddress.set(network, fresh)
    return fresh
  }
}

/** IPv4 in one of its spellings; an IPv6 address by its first 64 bits, for a host owns at least as much. */
export function networkOf(ip: string): string {
  const bytes = parseIp(ip)
  if (bytes === undefined) return ip
  const plain = formatIp(bytes)
  return plain.includes(':') ? hexOf(bytes.subarray(0, NETWORK_BYTES)) : plain
}
