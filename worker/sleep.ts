import { FrpError, messageOf } from '../contract/errors.ts'
import type { ByteStream } from '../protocol/stream/byte-stream.ts'
import type { MemoryBudget } from '../protocol/yamux/memory-budget.ts'
import type { Connection } from '../relay/connection.ts'
import type { PeerInfo } from '../relay/ingress.ts'
import type { Relay } from '../relay/relay.ts'
import type { SavedEnd, SavedVisit } from '../relay/saved.ts'
import type { HubDirectory } from './directory.ts'
import type { HubRuntime } from './runtime.ts'
import { Snapshots } from './snapshots.ts'
import { HubSocket } from './sockets.ts'
import type { HubStore, SavedSocket } from './store.ts'
import { UserSocket } from './user-socket.ts'

/** Tags of sockets: what they are. The second tag is the name. */
const CLIENT_TAG = 'client'
const USER_TAG = 'user'
/** A hub that cannot be saved yet looks again after this time, and so stays in memory. */
const RETRY_MS = 5_000
/** Bytes that wait for a reader are written down when nothing has happened for so long. */
const HELD_MS = 500

export interface SleepOptions {
  ctx: DurableObjectState
  runtime: HubRuntime
  relay: Relay
  store: HubStore
  directory: HubDirectory
  budget: MemoryBudget
}

/** What has something to send when a turn is over. */
export interface Late {
  flush(): void
}

interface Awake {
  socket: HubSocket
  connection: Connection
}

/** Which sockets are in memory, and what is written so that the object may leave it: after each event, when all is quiet. */
export class Sleep {
  private readonly options: SleepOptions
  private readonly awake = new Map<string, Awake>()
  private readonly names = new WeakMap<Connection, string>()
  /** By the platform's sockets, whose tags are slow to ask for. */
  private readonly clients = new WeakMap<WebSocket, HubSocket>()
  private readonly users = new Map<string, UserSocket>()
  private readonly late = new Set<Late>()
  /** Requests and other things under way that have no place in a snapshot. */
  private underWay = 0
  /** An event is on, at whose end all is sent anyway. */
  private isInEvent = false
  private retry: ReturnType<typeof setTimeout> | undefined
  /** The last event after which bytes waited for a reader. */
  private lastHeldMs = 0
  private readonly snapshots: Snapshots

  constructor(options: SleepOptions) {
    this.options = options
    const { relay, store } = options
    this.snapshots = new Snapshots({
      relay,
      store,
      serverOf: (name) => this.serverOf(name),
      endOf: (stream) => this.endOf(stream),
    })
  }

  // --- events

  /** Runs one event of the object. */
  event<Result>(run: () => Result): Result {
    this.isInEvent = true
    try {
      return run()
    } finally {
      this.isInEvent = false
      this.settle()
    }
  }

  /** Keeps the object awake while something is under way; it ends with `done`. */
  begin(): () => void {
    let isOpen = true
    this.underWay += 1
    return () => {
      if (!isOpen) return
      isOpen = false
      this.underWay -= 1
      if (!this.isInEvent) this.settle()
    }
  }

  /** Flushes `one` when this turn is over: the event, or what goes on after a promise. */
  atTurnEnd(one: Late): void {
    // A job of our own: the platform's queueMicrotask costs twenty times as much.
    if (this.late.size === 0 && !this.isInEvent) Promise.resolve().then(() => this.settle(), undefined)
    this.late.add(one)
  }

  async during<Result>(run: () => Promise<Result>): Promise<Result> {
    const done = this.begin()
    try {
      return await run()
    } finally {
      done()
    }
  }

  /**
   * Sends what was gathered, and when nobody waits for anything writes down what must outlive memory. Bytes that
   * wait for a reader would go to storage, which is slow and costs money, so they must have waited a while:
   * `hasWaited`.
   */
  settle(hasWaited = false): void {
    // What is sent may bring a marker, which has to leave too: the loop meets what is added meanwhile.
    for (const one of this.late) {
      this.late.delete(one)
      one.flush()
    }
    if (this.underWay > 0 || !this.options.runtime.isQuiet) return
    if (!hasWaited && this.isHolding) {
      this.lastHeldMs = this.options.runtime.nowMs()
      this.stayAwake(HELD_MS)
    } else if (!this.saveAll()) this.stayAwake(RETRY_MS)
    else if (this.retry !== undefined) {
      clearTimeout(this.retry)
      this.retry = undefined
    }
  }

  /** Nothing is under way and everything that must outlive memory is written: the platform may drop this object. */
  get isQuiet(): boolean {
    if (this.underWay > 0 || !this.options.runtime.isQuiet || this.retry !== undefined) return false
    for (const { socket, connection } of this.awake.values()) {
      if (socket.isDirty && connection.control !== undefined) return false
    }
    return true
  }

  // --- sockets

  acceptClient(server: WebSocket, peer: PeerInfo): void {
    const name = crypto.randomUUID()
    this.options.ctx.acceptWebSocket(server, [CLIENT_TAG, name])
    const socket = this.socketOf(server, name)
    const connection = this.options.relay.accept(socket, peer)
    this.keep(name, socket, connection)
  }

  /** The socket of a client that is in memory: what most messages are for. */
  awakeClientOf(server: WebSocket): HubSocket | undefined {
    return this.clients.get(server)
  }

  /** The socket of a client, in memory again if it slept. */
  clientOf(server: WebSocket): { receive(bytes: Uint8Array): void } | undefined {
    const name = this.nameOfSocket(server)
    if (!this.awake.has(name)) this.wakeConnection(name, server)
    const socket = this.awake.get(name)?.socket
    if (socket !== undefined) this.clients.set(server, socket)
    return socket
  }

  acceptUser(server: WebSocket): UserSocket {
    const name = crypto.randomUUID()
    this.options.ctx.acceptWebSocket(server, [USER_TAG, name])
    const user = this.newUser(server, name)
    this.users.set(name, user)
    return user
  }

  /** The socket of a user, if it is one, in memory again with what it is joined to. */
  userOf(server: WebSocket): UserSocket | undefined {
    if (!this.options.ctx.getTags(server).includes(USER_TAG)) return undefined
    return this.wakeUser(this.nameOfSocket(server), server)
  }

  closed(server: WebSocket, code: number, reason: string): void {
    const user = this.userOf(server)
    const name = this.nameOfSocket(server)
    if (user !== undefined) {
      this.users.delete(name)
      if (code === 1006) user.userLost(new FrpError('STREAM_CUT', 'the user is gone'))
      else user.userClosed(code, reason)
      return
    }
    const isGoodbye = code === 1000 || code === 1001 || code === 1005
    this.lose(
      server,
      isGoodbye ? undefined : new FrpError('LINK_CLOSED', `the WebSocket closed with ${code} ${reason}`),
    )
  }

  broken(server: WebSocket, error: FrpError): void {
    const user = this.userOf(server)
    if (user === undefined) {
      this.lose(server, error)
      return
    }
    this.users.delete(this.nameOfSocket(server))
    user.userLost(error)
  }

  nameOf(connection: Connection): string | undefined {
    return this.names.get(connection)
  }

  private newUser(server: WebSocket, name: string): UserSocket {
    const { runtime, budget } = this.options
    return new UserSocket(server, name, runtime, budget)
  }

  // --- waking

  /** Everybody is in memory. */
  wakeAll(): void {
    for (const server of this.options.ctx.getWebSockets(CLIENT_TAG)) this.clientOf(server)
  }

  wake(keys: readonly string[]): void {
    for (const name of this.options.store.owners(keys)) this.wakeConnection(name)
  }

  /** `server`: its socket where an event brought it; one that is closed cannot be found by its name any more. */
  wakeConnection(name: string, server = this.serverOf(name)): Connection | undefined {
    const awake = this.awake.get(name)
    if (awake !== undefined) return awake.connection
    const { store, runtime } = this.options
    if (server === undefined) {
      store.lost(name, runtime.nowMs())
      return undefined
    }
    if (this.snapshots.isOver(server)) return undefined
    try {
      const saved = this.snapshots.read(name, server)
      if (saved === undefined) throw new FrpError('YAMUX_BAD_SNAPSHOT', 'nothing was saved of this connection')
      return this.revive(server, name, saved)
    } catch (error) {
      runtime.log.error(`connection [${name}] cannot go on: ${messageOf(error)}`)
      server.close(1012, 'the relay was renewed, log in again')
      store.lost(name, runtime.nowMs())
      return undefined
    }
  }

  private revive(server: WebSocket, name: string, saved: SavedSocket): Connection {
    const { relay, directory, store } = this.options
    const socket = this.socketOf(server, name, saved)
    const connection = relay.revive(socket, saved.connection)
    this.keep(name, socket, connection)
    const { control } = connection
    if (control !== undefined && !control.state.isProvisional) store.knowsRun(control.state.runId, name)
    for (const held of control?.proxies.held ?? []) if (control) directory.reclaim(held, control)
    for (const visit of saved.connection.visits) this.rejoin(visit)
    connection.resume()
    return connection
  }

  private wakeUser(name: string, server = this.serverOf(name)): UserSocket | undefined {
    const known = this.users.get(name)
    if (known !== undefined) return known
    if (server === undefined) return undefined
    const user = this.newUser(server, name)
    this.users.set(name, user)
    const visit = this.snapshots.readUser(server)
    if (visit !== undefined) this.rejoin(visit)
    return user
  }

  /** Joins a user and a work connection again; each of the two ends brings the other one. */
  private rejoin(visit: SavedVisit): void {
    const work = this.streamOf(visit.work)
    const user = this.streamOf(visit.visitor)
    for (const live of this.options.relay.joins) if (live.work === work && work !== undefined) return
    const owner = this.wakeConnection(visit.work.connection)?.control
    const conns = owner?.proxies.workConns(visit.proxyName)
    if (work === undefined || user === undefined || conns === undefined) {
      const gone = new FrpError('STREAM_CUT', 'the other end is gone')
      user?.destroy(gone)
      work?.destroy(gone)
      return
    }
    conns.rejoin(user, work, visit)
  }

  private streamOf(end: SavedEnd): ByteStream | undefined {
    return end.stream === 0 ? this.wakeUser(end.connection) : this.wakeConnection(end.connection)?.stream(end.stream)
  }

  // --- saving

  private saveAll(): boolean {
    let isSaved = true
    for (const [name, { socket, connection }] of this.awake) {
      if (socket.isDirty) isSaved = this.snapshots.save(name, socket, connection) && isSaved
    }
    this.options.relay.registry.save()
    return isSaved
  }

  /** A timer that runs is what keeps the object in memory. */
  private stayAwake(delayMs: number): void {
    this.retry ??= setTimeout(() => {
      this.retry = undefined
      const { runtime } = this.options
      if (runtime.nowMs() - this.lastHeldMs < delayMs) this.stayAwake(delayMs)
      else this.settle(true)
    }, delayMs)
  }

  /** Some stream's bytes wait for their reader. */
  private get isHolding(): boolean {
    for (const { connection } of this.awake.values()) if (connection.unreadBytes > 0) return true
    return false
  }

  private endOf(stream: ByteStream): SavedEnd | undefined {
    if (stream instanceof UserSocket) {
      return stream.isSavable ? { connection: stream.name, stream: 0 } : undefined
    }
    for (const [name, { connection }] of this.awake) {
      const id = connection.idOf(stream)
      if (id !== undefined) return { connection: name, stream: id }
    }
    return undefined
  }

  // --- the sockets in memory

  private socketOf(server: WebSocket, name: string, saved?: SavedSocket): HubSocket {
    return new HubSocket(server, name, (gathering) => this.atTurnEnd(gathering), saved?.flow)
  }

  private keep(name: string, socket: HubSocket, connection: Connection): void {
    this.awake.set(name, { socket, connection })
    this.names.set(connection, name)
    socket.marksWith(() => connection.ping())
    connection.onPong = (id) => socket.answered(id)
  }

  private lose(server: WebSocket, error: FrpError | undefined): void {
    const name = this.nameOfSocket(server)
    this.wakeConnection(name, server)
    const awake = this.awake.get(name)
    const isLost = error !== undefined && awake?.connection.control !== undefined
    if (isLost) this.options.store.lost(name, this.options.runtime.nowMs())
    awake?.socket.closed(error)
    this.awake.delete(name)
    this.clients.delete(server)
    if (!isLost) this.options.store.unspill(name)
  }

  private serverOf(name: string): WebSocket | undefined {
    return this.options.ctx.getWebSockets(name)[0]
  }

  private nameOfSocket(server: WebSocket): string {
    return this.options.ctx.getTags(server)[1] ?? ''
  }
}
