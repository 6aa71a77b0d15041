import type { Control } from '../relay/control.ts'
import { type ClaimResult, type Directory, MemoryDirectory, type SharedKeys } from '../relay/directory.ts'
import type { HeldKeys } from '../relay/proxy-set.ts'
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

  async claim(keys: readonly string[], owner: Control, shared?: SharedKeys): Promise<ClaimResult<Control>> {
    this.options.wake([...keys, ...(shared?.keys ?? [])])
    const result = await this.memory.claim(keys, owner, shared)
    const name = this.options.nameOf(owner)
    if (result.isClaimed && name !== undefined) this.options.store.keep(keys, name, shared?.keys)
    return result
  }

  async release(keys: readonly string[], owner: Control): Promise<void> {
    await this.memory.release(keys, owner)
    const name = this.options.nameOf(owner)
    // A key that the owner holds as another member of a group as well stays.
    const dropped = keys.filter((key) => !this.memory.isHeldBy(key, owner))
    if (name !== undefined) this.options.store.drop(dropped, name)
  }

  lookup(key: string): Promise<Control | undefined> {
    this.options.wake([key])
    return this.memory.lookup(key)
  }

  /** After sleep: keys that a client still holds in the store. */
  reclaim({ keys, shared }: HeldKeys, owner: Control): void {
    this.memory.hold(keys, owner, shared)
  }
}
