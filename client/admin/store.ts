import { readFileSync } from 'node:fs'
import { completeProxy, completeVisitor, type ProxyOptions, type VisitorOptions } from '../../config/load.ts'
import { FrpError, messageOf } from '../../contract/errors.ts'
import { isMissing, replaceFile } from '../../node/replace-file.ts'
import { AdminError } from './answer.ts'
import { proxyJson, visitorJson } from './go-json.ts'

/** More than any hand-made list of proxies; a larger file is not a store. */
const MAX_STORE_BYTES = 64 * 1024 * 1024

type Kind = 'proxy' | 'visitor'

/**
 * The proxies and visitors that were made through the admin API, in the file `store.path` (frp:
 * pkg/config/source/store.go, and the same file). Every change is on the disk when it returns.
 */
export class Store {
  readonly proxies: StoreTable<ProxyOptions>
  readonly visitors: StoreTable<VisitorOptions>
  private readonly path: string

  /** Reads the file, if there is one; throws CONFIG_FILE or CONFIG_FIELD. */
  constructor(path: string) {
    this.path = path
    const read = this.load()
    const save = (): void => this.save()
    this.proxies = new StoreTable(
      'proxy',
      entriesOf(read, 'proxies', (raw) => completeProxy(raw, LENIENT)),
      save,
    )
    this.visitors = new StoreTable(
      'visitor',
      entriesOf(read, 'visitors', (raw) => completeVisitor(raw, LENIENT)),
      save,
    )
  }

  private load(): unknown {
    try {
      const bytes = readFileSync(this.path)
      if (bytes.length > MAX_STORE_BYTES) {
        throw new FrpError('CONFIG_FILE', `${bytes.length} bytes, at most ${MAX_STORE_BYTES}`)
      }
      return JSON.parse(bytes.toString('utf8'))
    } catch (error) {
      if (isMissing(error)) return {}
      throw new FrpError(
        'CONFIG_FILE',
        `store.path [${this.path}]: failed to load existing data: ${messageOf(error)}`,
        {
          cause: error,
        },
      )
    }
  }

  private save(): void {
    const lists = {
      ...listOf('proxies', this.proxies.list().map(proxyJson)),
      ...listOf('visitors', this.visitors.list().map(visitorJson)),
    }
    try {
      replaceFile(this.path, JSON.stringify(lists, undefined, 2))
    } catch (error) {
      throw new FrpError('CONFIG_FILE', `failed to persist: ${messageOf(error)}`, { cause: error })
    }
  }
}

/** The entries of one kind, by name. A change that cannot be written is taken back. */
export class StoreTable<T extends { name: string }> {
  private readonly kind: Kind
  private readonly entries: Map<string, T>
  private readonly save: () => void

  constructor(kind: Kind, entries: readonly T[], save: () => void) {
    this.kind = kind
    this.entries = new Map(entries.map((entry) => [entry.name, entry]))
    this.save = save
  }

  list(): T[] {
    return [...this.entries.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  get(name: string): T | undefined {
    return this.entries.get(name)
  }

  add(entry: T): void {
    if (this.entries.has(entry.name)) {
      throw new AdminError(409, `conflict: already exists: ${this.kind} ${JSON.stringify(entry.name)}`)
    }
    this.change(entry.name, entry)
  }

  update(entry: T): void {
    this.need(entry.name)
    this.change(entry.name, entry)
  }

  remove(name: string): void {
    this.need(name)
    this.change(name, undefined)
  }

  private need(name: string): void {
    if (this.entries.has(name)) return
    throw new AdminError(404, `not found: not found: ${this.kind} ${JSON.stringify(name)}`)
  }

  private change(name: string, to: T | undefined): void {
    const from = this.entries.get(name)
    this.set(name, to)
    try {
      this.save()
    } catch (error) {
      this.set(name, from)
      throw error
    }
  }

  private set(name: string, to: T | undefined): void {
    if (to === undefined) this.entries.delete(name)
    else this.entries.set(name, to)
  }
}

/** frp tolerates unknown keys here: a newer one may have written the file. */
const LENIENT = { strict: false }

function entriesOf<T>(read: unknown, key: string, complete: (raw: unknown) => T): T[] {
  const list =
    typeof read === 'object' && read !== null ? Object.entries(read).find(([name]) => name === key) : undefined
  const raws: unknown = list?.[1] ?? []
  if (!Array.isArray(raws)) throw new FrpError('CONFIG_FIELD', `store: ${key} must be a list`)
  return raws.map((raw: unknown, index) => {
    try {
      return complete(raw)
    } catch (error) {
      throw new FrpError('CONFIG_FIELD', `store: ${key}[${index}]: ${messageOf(error)}`, { cause: error })
    }
  })
}

function listOf(key: string, list: readonly unknown[]): Record<string, unknown> {
  return list.length === 0 ? {} : { [key]: list }
}
