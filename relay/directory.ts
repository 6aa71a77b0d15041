/**
 * Who owns a key: `run:<id>`, `proxy:<name>`, `http:<host> <location> <user>`, `https:<host>`,
 * `tcpmux:<host> <user>`, `tcp:<port>`, `udp:<port>`, `secret:<name>`, `group:<type> <name>`.
 * Asynchronous, so that a shared store can stand behind it.
 */
export interface Directory<Owner> {
  /** All keys or none, those of `shared` too. The answer names the first key that somebody holds. */
  claim(keys: readonly string[], owner: Owner, shared?: SharedKeys): Promise<ClaimResult<Owner>>
  /** Gives up those of the keys that `owner` holds; a key that it holds as several members, once. */
  release(keys: readonly string[], owner: Owner): Promise<void>
  /** Of several owners one. */
  lookup(key: string): Promise<Owner | undefined>
}

/** Keys that all members of one group hold together. */
export interface SharedKeys {
  keys: readonly string[]
  /** Not empty. */
  group: string
}

export type ClaimResult<Owner> = { isClaimed: true } | { isClaimed: false; key: string; owner: Owner }

interface Holding<Owner> {
  /** Empty: the key has one owner. */
  group: string
  /** An owner that is several members of the group is here as often. */
  owners: [Owner, ...Owner[]]
}

/** The directory of one relay, in memory; a claim is decided in one step. */
export class MemoryDirectory<Owner> implements Directory<Owner> {
  private readonly holdings = new Map<string, Holding<Owner>>()

  claim(keys: readonly string[], owner: Owner, shared?: SharedKeys): Promise<ClaimResult<Owner>> {
    for (const key of keys) {
      const held = this.holdings.get(key)
      if (held !== undefined) return Promise.resolve({ isClaimed: false, key, owner: held.owners[0] })
    }
    for (const key of shared?.keys ?? []) {
      const held = this.holdings.get(key)
      if (held === undefined || held.group === shared?.group) continue
      return Promise.resolve({ isClaimed: false, key, owner: held.owners[0] })
    }
    this.hold(keys, owner, shared)
    return Promise.resolve({ isClaimed: true })
  }

  /** Notes that `owner` has these keys, by a claim that this directory has forgotten. */
  hold(keys: readonly string[], owner: Owner, shared?: SharedKeys): void {
    for (const key of keys) this.holdings.set(key, { group: '', owners: [owner] })
    if (shared === undefined) return
    for (const key of shared.keys) {
      const held = this.holdings.get(key)
      if (held?.group === shared.group) held.owners.push(owner)
      else this.holdings.set(key, { group: shared.group, owners: [owner] })
    }
  }

  release(keys: readonly string[], owner: Owner): Promise<void> {
    for (const key of keys) {
      const held = this.holdings.get(key)
      const index = held?.owners.indexOf(owner) ?? -1
      if (held === undefined || index < 0) continue
      if (held.owners.length === 1) this.holdings.delete(key)
      else held.owners.splice(index, 1)
    }
    return Promise.resolve()
  }

  lookup(key: string): Promise<Owner | undefined> {
    return Promise.resolve(this.holdings.get(key)?.owners[0])
  }

  isHeldBy(key: string, owner: Owner): boolean {
    return this.holdings.get(key)?.owners.includes(owner) === true
  }

  /** Keys held, for tests and metrics. */
  get size(): number {
    return this.holdings.size
  }
}
