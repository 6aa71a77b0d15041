/**
 * Who owns a key: `run:<id>`, `proxy:<name>`, `http:<host> <location> <user>`, `tcp:<port>`, `udp:<port>`.
 * Asynchronous, so that a shared store can stand behind it.
 */
export interface Directory<Owner> {
  /** All keys or none. The answer names the first key that somebody holds. */
  claim(keys: readonly string[], owner: Owner): Promise<ClaimResult<Owner>>
  /** Gives up those of the keys that `owner` holds. */
  release(keys: readonly string[], owner: Owner): Promise<void>
  lookup(key: string): Promise<Owner | undefined>
}

export type ClaimResult<Owner> = { isClaimed: true } | { isClaimed: false; key: string; owner: Owner }

/** The directory of one relay, in memory; a claim is decided in one step. */
export class MemoryDirectory<Owner> implements Directory<Owner> {
  private readonly owners = new Map<string, Owner>()

  claim(keys: readonly string[], owner: Owner): Promise<ClaimResult<Owner>> {
    for (const key of keys) {
      const holder = this.owners.get(key)
      if (holder !== undefined) return Promise.resolve({ isClaimed: false, key, owner: holder })
    }
    for (const key of keys) this.owners.set(key, owner)
    return Promise.resolve({ isClaimed: true })
  }

  /** Notes that `owner` has these keys, by a claim that this directory has forgotten. */
  hold(keys: readonly string[], owner: Owner): void {
    for (const key of keys) this.owners.set(key, owner)
  }

  release(keys: readonly string[], owner: Owner): Promise<void> {
    for (const key of keys) {
      if (this.owners.get(key) === owner) this.owners.delete(key)
    }
    return Promise.resolve()
  }

  lookup(key: string): Promise<Owner | undefined> {
    return Promise.resolve(this.owners.get(key))
  }

  /** Keys held, for tests and metrics. */
  get size(): number {
    return this.owners.size
  }
}
