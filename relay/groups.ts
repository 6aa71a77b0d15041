import { FrpError } from '../contract/errors.ts'
import type { Crypto } from '../contract/runtime.ts'
import type { NewProxy } from '../protocol/frp/messages.ts'
import { equalKeys } from '../protocol/frp/token.ts'

/** Types whose proxies can share a port or a route (frp server/group). */
export type GroupedType = 'tcp' | 'http' | 'https' | 'tcpmux'

/** A place in a group; given up once, with `leave`. */
export interface Membership {
  leave(): void
}

interface Group {
  key: string
  /** What all members must ask for alike, as the first one did. */
  wanted: string
  members: number
}

/**
 * The load-balancing groups of a relay: who may join. Which port or route a group has is held in the directory by
 * its members together; who of them serves the next user is decided where users come in.
 */
export class Groups {
  private readonly crypto: Crypto
  private readonly byName = new Map<string, Group>()

  constructor(crypto: Crypto) {
    this.crypto = crypto
  }

  /**
   * Joins the group that `message` names, or makes it. `wanted` is what members must have in common. Throws
   * PROXY_REFUSED or AUTH_FAILED with frp's texts.
   */
  join(type: GroupedType, message: NewProxy, wanted: readonly (string | number)[]): Membership {
    const name = groupName(type, message.group)
    const asked = JSON.stringify(wanted)
    const group = this.byName.get(name) ?? { key: message.group_key, wanted: asked, members: 0 }
    if (group.wanted !== asked) {
      const text = type === 'tcp' ? 'group should have same remote port' : 'group params invalid'
      throw new FrpError('PROXY_REFUSED', text)
    }
    if (!equalKeys(this.crypto, group.key, message.group_key)) throw new FrpError('AUTH_FAILED', 'group auth failed')
    group.members += 1
    this.byName.set(name, group)
    return new Place(() => {
      group.members -= 1
      // The next one to come makes a new group, with a key and parameters of its own.
      if (group.members === 0) this.byName.delete(name)
    })
  }

  get size(): number {
    return this.byName.size
  }
}

/** Names the group among those of all types: frp has one table a type. */
export function groupName(type: GroupedType, group: string): string {
  return `${type} ${group}`
}

class Place implements Membership {
  private readonly left: () => void
  private isIn = true

  constructor(left: () => void) {
    this.left = left
  }

  leave(): void {
    if (!this.isIn) return
    this.isIn = false
    this.left()
  }
}
