import { saveWrap } from '../protocol/frp/wrap.ts'
import type { ByteStream } from '../protocol/stream/byte-stream.ts'
import type { Connection } from '../relay/connection.ts'
import type { LiveJoin } from '../relay/joins.ts'
import type { Relay } from '../relay/relay.ts'
import type { SavedEnd, SavedVisit } from '../relay/saved.ts'
import type { HubSocket } from './sockets.ts'
import type { HubStore, SavedSocket } from './store.ts'

/** What a socket's attachment holds. */
type Attachment =
  | { saved: SavedSocket }
  | { isSpilled: true }
  | { isOver: true }
  | { visit: SavedVisit }
  | Record<string, never>

/** Of the 16 KiB of an attachment: what is left beside a session is names of proxies and visits. */
const MAX_ATTACHED_SESSION_BYTES = 12 * 1024

export interface SnapshotsOptions {
  relay: Relay
  store: HubStore
  /** A socket by its name. */
  serverOf: (name: string) => WebSocket | undefined
  /** Where a stream of a join ends; undefined while it has no place in a snapshot. */
  endOf: (stream: ByteStream) => SavedEnd | undefined
}

/** What sockets are revived from: written to their attachments, or to storage where that is too small. */
export class Snapshots {
  private readonly options: SnapshotsOptions

  constructor(options: SnapshotsOptions) {
    this.options = options
  }

  /** False: something is under way that cannot be written down. */
  save(name: string, socket: HubSocket, connection: Connection): boolean {
    const { store, serverOf } = this.options
    if (!connection.isOpen) {
      // The peer has to close its end, which nobody must be in memory for.
      serverOf(name)?.serializeAttachment({ isOver: true } satisfies Attachment)
      if (socket.isSpilled) store.unspill(name)
      socket.isDirty = false
      return true
    }
    const visits = this.joinsOf(connection).map((live) => this.savedVisit(live))
    if (visits.some((visit) => visit === undefined)) return false
    const saved = connection.save(visits.filter((visit) => visit !== undefined))
    // A stranger who has not logged in has nothing to be revived for; his deadline keeps the object awake.
    if (saved === undefined) return connection.control === undefined
    const server = serverOf(name)
    if (server === undefined) return true
    const whole: SavedSocket = { connection: saved, flow: socket.save() }
    if (attach(server, whole)) {
      if (socket.isSpilled) store.unspill(name)
      socket.isSpilled = false
    } else {
      store.spill(name, whole)
      server.serializeAttachment({ isSpilled: true } satisfies Attachment)
      socket.isSpilled = true
    }
    for (const visit of visits) if (visit?.visitor.stream === 0) this.saveUser(visit)
    const { control } = connection
    if (control !== undefined && !control.state.isProvisional) store.keepRun(control.state.runId, name)
    socket.isDirty = false
    return true
  }

  /** What `save` wrote last. */
  read(name: string, server: WebSocket): SavedSocket | undefined {
    const attachment = attachmentOf(server)
    if ('isSpilled' in attachment) return this.options.store.spilled(name)
    return 'saved' in attachment ? attachment.saved : undefined
  }

  /** Its connection ended, and nothing more is read from it. */
  isOver(server: WebSocket): boolean {
    return 'isOver' in attachmentOf(server)
  }

  /** The visit of a user's own socket. */
  readUser(server: WebSocket): SavedVisit | undefined {
    const attachment = attachmentOf(server)
    return 'visit' in attachment ? attachment.visit : undefined
  }

  private saveUser(visit: SavedVisit): void {
    this.options.serverOf(visit.visitor.connection)?.serializeAttachment({ visit } satisfies Attachment)
  }

  private joinsOf(connection: Connection): LiveJoin[] {
    const found: LiveJoin[] = []
    for (const live of this.options.relay.joins) {
      if (connection.idOf(live.work) !== undefined || connection.idOf(live.user) !== undefined) found.push(live)
    }
    return found
  }

  private savedVisit(live: LiveJoin): SavedVisit | undefined {
    const { endOf } = this.options
    const visitor = endOf(live.user)
    const work = endOf(live.work)
    const wrapped = saveWrap(live.wrapped, live.work)
    const around = saveWrap(live.wrappedUser, live.user)
    if (visitor === undefined || work === undefined || wrapped === undefined || around === undefined) return undefined
    const leg = live.leg && { kind: live.leg, wrapped: around }
    return { proxyName: live.proxyName, visitor, work, wrapped, leg }
  }
}

/** False: it is more than an attachment takes (held bytes, many proxies). */
function attach(server: WebSocket, saved: SavedSocket): boolean {
  if (saved.connection.session.length > MAX_ATTACHED_SESSION_BYTES) return false
  try {
    server.serializeAttachment({ saved } satisfies Attachment)
    return true
  } catch {
    return false // the platform says so by an exception, and nothing else
  }
}

function attachmentOf(server: WebSocket): Attachment {
  return (server.deserializeAttachment() as Attachment | null) ?? {} // written here
}
