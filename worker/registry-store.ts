import type { ClientRecord } from '../relay/client-records.ts'
import type { RegistryStore, SavedProxy } from '../relay/registry-store.ts'
import { ensureTable } from './table.ts'

/** The registry's records in the object's SQLite: a row for each client and proxy, written when it comes or goes. */
export class SqlRegistryStore implements RegistryStore {
  private readonly sql: SqlStorage

  constructor(sql: SqlStorage) {
    this.sql = sql
    ensureTable(
      sql,
      'seen',
      '(kind TEXT NOT NULL, name TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID',
    )
  }

  loadProxies(): SavedProxy[] {
    return this.load('proxy') as SavedProxy[] // written by `keepProxy`
  }

  loadClients(): ClientRecord[] {
    return this.load('client') as ClientRecord[] // written by `keepClient`
  }

  keepProxy(saved: SavedProxy): void {
    this.keep('proxy', saved.name, saved)
  }

  dropProxy(name: string): void {
    this.drop('proxy', name)
  }

  keepClient(record: ClientRecord): void {
    this.keep('client', record.key, record)
  }

  dropClient(key: string): void {
    this.drop('client', key)
  }

  private load(kind: string): unknown[] {
    return [...this.sql.exec('SELECT record FROM seen WHERE kind = ?', kind)].map((row) =>
      JSON.parse(String(row['record'])),
    )
  }

  private keep(kind: string, name: string, record: object): void {
    this.sql.exec('INSERT OR REPLACE INTO seen VALUES (?, ?, ?)', kind, name, JSON.stringify(record))
  }

  private drop(kind: string, name: string): void {
    this.sql.exec('DELETE FROM seen WHERE kind = ? AND name = ?', kind, name)
  }
}
