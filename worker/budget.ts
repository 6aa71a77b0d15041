import { MemoryBudget } from '../protocol/yamux/memory-budget.ts'

/** What all hubs of one isolate may hold together: it has 128 MB, garbage included, and several objects may share it. */
const ISOLATE_BYTES = 48 * 1024 * 1024
/** Windows beyond yamux's first one are granted up to here. */
const GROWTH_BYTES = 16 * 1024 * 1024

/** Hubs of this isolate by their object. Weak: an object that left memory tells nobody. */
const hubs = new Map<string, WeakRef<HubBudget>>()

/** One hub's share of what its isolate may hold. */
export class HubBudget extends MemoryBudget {
  /** Takes the place of an earlier life of the same object. */
  constructor(objectId: string) {
    super(ISOLATE_BYTES, GROWTH_BYTES)
    hubs.set(objectId, new WeakRef(this))
  }

  override get total(): number {
    if (hubs.size === 1) return this.used
    let sum = 0
    for (const [id, ref] of hubs) {
      const hub = ref.deref()
      if (hub === undefined) hubs.delete(id)
      else sum += hub.used
    }
    return sum
  }
}
