import { networkOf } from './login-guard.ts'

/**
 * Connections that were not let in yet. They are few, and who makes room is of the address (IPv6: the /64) that has
 * most of them: a flood from one place then pushes out itself, and not the client that comes back meanwhile.
 */
export class Strangers<T> {
  /** With the network of each, in the order they came. */
  private readonly networks = new Map<T, string>()
  private readonly counts = new Map<string, number>()

  add(one: T, ip: string): void {
    const network = networkOf(ip)
    this.networks.set(one, network)
    this.counts.set(network, (this.counts.get(network) ?? 0) + 1)
  }

  /** It was let in, or is gone; one that is not in here is ignored. */
  delete(one: T): void {
    const network = this.networks.get(one)
    if (network === undefined) return
    this.networks.delete(one)
    const left = (this.counts.get(network) ?? 0) - 1
    if (left > 0) this.counts.set(network, left)
    else this.counts.delete(network)
  }

  has(one: T): boolean {
    return this.networks.has(one)
  }

  get size(): number {
    return this.networks.size
  }

  /** In the order they came. */
  all(): Iterable<T> {
    return this.networks.keys()
  }

  /** Who makes room: of the address that has most, who has waited longest. */
  surplus(): T | undefined {
    const most = Math.max(...this.counts.values())
    for (const [one, network] of this.networks) if (this.counts.get(network) === most) return one
    return undefined
  }
}
