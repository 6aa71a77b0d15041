import type { Control } from '../relay/control.ts'
import { type ClaimResult, type Directory, MemoryDirectory } from '../relay/directory.ts'
import type { HubStore } from './store.ts'

export interface HubDirectoryOptions {
  store: HubStore
  /** Revives the owners of these keys. */
  wake: (keys: readonly string[]) => void
  /** The name of a client's socket. */
  nameOf: (control: Control) => string | undefined
}

/** The directory of a hub: in memory for whom is awake, with the keys of all in the store. */
export class HubDirectory implements Directory<Control> {
  private readonly memory = new MemoryDirectory<Control>()
  private readonly options: HubDirectoryOptions

  constructor(options: HubDirectoryOptions) {
    this.options = options
  }

  async claim(keys: readonly string[], owner: Control): Promise<ClaimResult<Control>> {
    this.options.wake(keys)
    const result = await this.memory.claim(keys, owner)
    const name = this.options.nameOf(owner)
    if (result.isClaimed && name !== undefined) this.options.store.keep(keys, name)
    return result
  }

  async release(keys: readonly string[], owner: Control): Promise<void> {
    const name = this.options.nameOf(owner)
    if (name !== undefined) this.options.store.drop(keys, name)
    await this.memory.release(keys, owner)
  }

  lookup(key: string): Promise<Control | undefined> {
    this.options.wake([key])
    return this.memory.lookup(key)
  }

  /** After sleep: keys that a client still holds in the store. */
  reclaim(keys: readonly string[], owner: Control): void {
    this.memory.hold(keys, owner)
  }
}
