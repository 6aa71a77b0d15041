import type { SavedConnection } from '../relay/saved.ts'
import type { SavedFlow } from './sockets.ts'
import { ensureTable } from './table.ts'

/** What a sleeping client's socket is revived from. */
export interface SavedSocket {
  connection: SavedConnection
  flow: SavedFlow
}

/** As it is stored: the session is in pieces of its own. */
interface SpilledSocket {
  saved: SavedSocket
  pieces: number
}

/** The platform takes 2 MiB a value, key and all. */
const PIECE_BYTES = 1024 * 1024
const EMPTY = new Uint8Array(0)

/** How long a lost client's hosts are remembered: it is back within seconds, or not at all. */
const LOST_MS = 15_000

/**
 * The hub's tables in its object's SQLite: which socket holds which key of the directory, and what did not fit
 * into a socket's attachment. Nothing is written while nobody registers or sleeps with much.
 */
export class HubStore {
  private readonly sql: SqlStorage
  private readonly kv: SyncKvStorage
  /** Keys whose owners are in memory: no need to ask again until the object sleeps. */
  private readonly known = new Set<string>()
  private readonly runs = new Map<string, string>()

  constructor(storage: DurableObjectStorage) {
    this.sql = storage.sql
    this.kv = storage.kv
    ensureTable(
      this.sql,
      'keys',
      '(key TEXT NOT NULL, socket TEXT NOT NULL, lostMs INTEGER, PRIMARY KEY (key, socket)) WITHOUT ROWID',
    )
  }

  /** Names of the sockets that hold these keys; a key that ends with a blank stands for all that begin with it. */
  owners(keys: readonly string[]): string[] {
    const sockets = new Set<string>()
    for (const key of keys) {
      if (this.known.has(key)) continue
      this.known.add(key)
      const rows = key.endsWith(' ')
        ? this.sql.exec('SELECT socket FROM keys WHERE key >= ? AND key < ? AND lostMs IS NULL', key, `${key}\uffff`)
        : this.sql.exec('SELECT socket FROM keys WHERE key = ? AND lostMs IS NULL', key)
      for (const row of rows) sockets.add(String(row['socket']))
    }
    return [...sockets]
  }

  /** `shared`: keys that other sockets may hold too, as members of a group. */
  keep(keys: readonly string[], socket: string, shared: readonly string[] = []): void {
    for (const key of keys) this.sql.exec('DELETE FROM keys WHERE key = ? AND socket <> ?', key, socket)
    for (const key of [...keys, ...shared]) {
      this.known.add(key)
      this.sql.exec('INSERT OR REPLACE INTO keys (key, socket, lostMs) VALUES (?, ?, NULL)', key, socket)
    }
  }

  /** Notes whose run id is on which socket; written once. */
  keepRun(runId: string, socket: string): void {
    const key = `run:${runId}`
    if (this.runs.get(key) === socket) return
    this.runs.set(key, socket)
    this.keep([key], socket)
  }

  /** The same, for a run that was noted before the object slept: nothing is written. */
  knowsRun(runId: string, socket: string): void {
    this.runs.set(`run:${runId}`, socket)
  }

  drop(keys: readonly string[], socket: string): void {
    for (const key of keys) this.sql.exec('DELETE FROM keys WHERE key = ? AND socket = ?', key, socket)
  }

  /** A socket is gone without having said goodbye: its keys are free, but remembered for a while. */
  lost(socket: string, nowMs: number): void {
    this.unspill(socket)
    this.sql.exec('DELETE FROM keys WHERE lostMs < ?', nowMs - LOST_MS)
    this.sql.exec('UPDATE keys SET lostMs = ? WHERE socket = ?', nowMs, socket)
  }

  /** Whether a client that held one of these keys was lost a moment ago. */
  wasLost(keys: readonly string[], nowMs: number): boolean {
    return keys.some((key) => {
      const rows = this.sql.exec(
        'SELECT 1 FROM keys WHERE key >= ? AND key < ? AND lostMs > ? LIMIT 1',
        key,
        `${key}\uffff`,
        nowMs - LOST_MS,
      )
      return [...rows].length > 0
    })
  }

  /** What did not fit into an attachment; its session in pieces, for a value has at most 2 MiB. */
  spill(socket: string, saved: SavedSocket): void {
    const { connection, flow } = saved
    const { session } = connection
    this.unspill(socket)
    const pieces = Math.ceil(session.length / PIECE_BYTES)
    for (let i = 0; i < pieces; i++) {
      this.kv.put(`${socket} ${i}`, session.slice(i * PIECE_BYTES, (i + 1) * PIECE_BYTES))
    }
    const whole: SpilledSocket = { saved: { connection: { ...connection, session: EMPTY }, flow }, pieces }
    this.kv.put(socket, whole)
  }

  spilled(socket: string): SavedSocket | undefined {
    const spilled = this.kv.get<SpilledSocket>(socket)
    if (spilled === undefined) return undefined
    const parts = Array.from({ length: spilled.pieces }, (_, i) => this.kv.get<Uint8Array>(`${socket} ${i}`) ?? EMPTY)
    const session = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
    let at = 0
    for (const part of parts) {
      session.set(part, at)
      at += part.length
    }
    const { connection, flow } = spilled.saved
    return { connection: { ...connection, session }, flow }
  }

  unspill(socket: string): void {
    const pieces = this.kv.get<SpilledSocket>(socket)?.pieces ?? 0
    for (let i = 0; i < pieces; i++) this.kv.delete(`${socket} ${i}`)
    this.kv.delete(socket)
  }
}
