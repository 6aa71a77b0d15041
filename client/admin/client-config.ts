import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { FrpcOptions, ProxyOptions, VisitorOptions } from '../../config/load.ts'
import { messageOf } from '../../contract/errors.ts'
import type { Log } from '../../contract/runtime.ts'
import { AdminError } from './answer.ts'
import { Store } from './store.ts'

/** What runs: the file's and the store's entries. */
export interface Running {
  proxies: ProxyOptions[]
  visitors: VisitorOptions[]
}

export interface ClientConfigParts {
  /** As they were read at the start. */
  options: FrpcOptions
  /** "" when the configuration came from flags. */
  fileName: string
  /** Reads the file again. */
  read: (strict: boolean) => FrpcOptions
  /** Makes what runs be this. */
  apply: (running: Running) => void
  log: Log
}

/**
 * Where a client's proxies and visitors come from: its file, read again when somebody asks, and the store. An
 * enabled entry of the store takes the place of the file's of the same name (frp: pkg/config/source/aggregator.go).
 */
export class ClientConfig {
  readonly store: Store | undefined
  private readonly parts: ClientConfigParts
  /** The keys of the file that can change while we run. */
  private file: Running & { start: readonly string[] }

  /** Reads the store; throws FrpError when it cannot be read. */
  constructor(parts: ClientConfigParts) {
    const { options, fileName } = parts
    this.parts = parts
    this.file = options
    const { path } = options.store
    this.store = path === '' ? undefined : new Store(resolve(dirname(fileName), path))
  }

  get running(): Running {
    return {
      proxies: this.merged(this.file.proxies, this.store?.proxies.list()),
      visitors: this.merged(this.file.visitors, this.store?.visitors.list()),
    }
  }

  /** Reads the file again and applies what may change: proxies, visitors and `start`. */
  reload(strict: boolean): void {
    this.needFile()
    try {
      this.file = this.parts.read(strict)
    } catch (error) {
      throw new AdminError(400, `invalid argument: ${messageOf(error)}`, { cause: error })
    }
    this.applyChange()
    this.parts.log.info('success reload conf')
  }

  /** After the store changed. */
  applyChange(): void {
    this.parts.apply(this.running)
  }

  readText(): string {
    this.needFile()
    try {
      return readFileSync(this.parts.fileName, 'utf8')
    } catch (error) {
      throw new AdminError(400, `invalid argument: ${messageOf(error)}`, { cause: error })
    }
  }

  /** In place and unchecked, as frp does: the file may be a mount of its own, which nothing can be renamed onto. */
  writeText(text: string): void {
    this.needFile()
    writeFileSync(this.parts.fileName, text, { mode: 0o600 })
  }

  private needFile(): void {
    if (this.parts.fileName === '') throw new AdminError(400, 'invalid argument: frpc has no config file path')
  }

  private merged<T extends { name: string; enabled: boolean }>(
    file: readonly T[],
    stored: readonly T[] | undefined,
  ): T[] {
    if (stored === undefined) return [...file]
    const { start } = this.file
    const byName = new Map(file.map((entry) => [entry.name, entry]))
    for (const entry of stored) {
      if (entry.enabled && (start.length === 0 || start.includes(entry.name))) byName.set(entry.name, entry)
    }
    return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }
}
