import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import type { Addresses, PortListener } from '../ingress.ts'
import type { WorkConns } from '../proxy.ts'
import { Turns } from '../turns.ts'

/** Opens the port; `onUser` gets its users. */
export type PortOpener = (onUser: (user: ByteStream, addresses: Addresses) => void) => Promise<PortListener>

/** The ports of tcp groups: opened by the first member, closed with the last. */
export class TcpGroups {
  private readonly byName = new Map<string, SharedPort>()

  /** The group's port, where `member` now takes its turns. `close` is called when nobody needs it any more. */
  async join(name: string, member: WorkConns, open: PortOpener, close: (port: number) => void): Promise<PortListener> {
    const shared = this.byName.get(name) ?? new SharedPort(close)
    this.byName.set(name, shared)
    try {
      return await shared.join(member, open)
    } catch (error) {
      this.leave(name, member)
      throw error
    }
  }

  leave(name: string, member: WorkConns): void {
    const shared = this.byName.get(name)
    if (shared?.leave(member) === true) this.byName.delete(name)
  }
}

class SharedPort {
  private readonly members = new Turns<WorkConns>()
  private readonly close: (port: number) => void
  private opening: Promise<PortListener> | undefined
  private listener: PortListener | undefined

  constructor(close: (port: number) => void) {
    this.close = close
  }

  join(member: WorkConns, open: PortOpener): Promise<PortListener> {
    this.members.add(member)
    this.opening ??= this.open(open)
    return this.opening
  }

  private async open(open: PortOpener): Promise<PortListener> {
    const listener = await open((user, addresses) => this.serve(user, addresses))
    this.listener = listener
    // All members may have left meanwhile.
    if (this.members.size === 0) this.closeNow()
    return listener
  }

  /** Whether that was the last one. */
  leave(member: WorkConns): boolean {
    this.members.remove(member)
    if (this.members.size > 0) return false
    this.closeNow()
    return true
  }

  private serve(user: ByteStream, addresses: Addresses): void {
    const member = this.members.next()
    if (member === undefined) user.destroy()
    else member.serve(user, addresses)
  }

  private closeNow(): void {
    const { listener } = this
    this.listener = undefined
    if (listener === undefined) return
    listener.close()
    this.close(listener.port)
  }
}
