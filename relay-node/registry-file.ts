import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FrpError, messageOf } from '../contract/errors.ts'
import type { Deadline, Runtime } from '../contract/runtime.ts'
import { isMissing } from '../node/replace-file.ts'
import type { ClientRecord } from '../relay/client-records.ts'
import type { RegistryStore, SavedProxy } from '../relay/registry-store.ts'

/** Changes of this long are written together: a thousand clients that come back are one write. */
const WRITE_DELAY_MS = 2_000
/** Version of the file's content. */
const VERSION = 1

interface Content {
  version: number
  proxies: SavedProxy[]
  clients: ClientRecord[]
}

/**
 * What the relay has seen, in one JSON file (`edgefrp.stateFile`), so that traffic by day and the clients that are
 * off line outlive a restart. Written to a file beside it that then takes its name: a crash leaves the old one or
 * the new one, never half of one.
 */
export class RegistryFile implements RegistryStore {
  private readonly path: string
  private readonly runtime: Runtime
  private readonly proxies: Map<string, SavedProxy>
  private readonly clients: Map<string, ClientRecord>
  private writeSoon: Deadline | undefined
  private writing: Promise<void> | undefined
  private isDirty = false
  private isFailing = false

  /** A file that is no such file is put aside as `….bad`, with a line in the log. Throws CONFIG_FILE for one that cannot be read. */
  constructor(path: string, runtime: Runtime) {
    this.path = path
    this.runtime = runtime
    const { proxies, clients } = this.read()
    this.proxies = new Map(proxies.map((proxy) => [proxy.name, proxy]))
    this.clients = new Map(clients.map((client) => [client.key, client]))
  }

  loadProxies(): SavedProxy[] {
    return [...this.proxies.values()]
  }

  loadClients(): ClientRecord[] {
    return [...this.clients.values()]
  }

  keepProxy(saved: SavedProxy): void {
    // A copy: the registry goes on counting in these objects.
    this.proxies.set(saved.name, structuredClone(saved))
    this.changed()
  }

  dropProxy(name: string): void {
    this.proxies.delete(name)
    this.changed()
  }

  keepClient(record: ClientRecord): void {
    this.clients.set(record.key, { ...record })
    this.changed()
  }

  dropClient(key: string): void {
    this.clients.delete(key)
    this.changed()
  }

  /** Writes what is not written yet; resolves when it is, or has failed. */
  async close(): Promise<void> {
    this.writeSoon?.cancel()
    await this.writing
    if (this.isDirty) await this.write()
  }

  private read(): Pick<Content, 'proxies' | 'clients'> {
    let text: string
    try {
      text = readFileSync(this.path, 'utf8')
    } catch (error) {
      if (isMissing(error)) return this.begin()
      throw new FrpError('CONFIG_FILE', `edgefrp.stateFile: ${messageOf(error)}`, { cause: error })
    }
    try {
      return contentOf(JSON.parse(text))
    } catch (error) {
      const aside = `${this.path}.bad`
      this.runtime.log.warn(
        `edgefrp.stateFile ${this.path}: ${messageOf(error)}; it is kept as ${aside}, a new one begins`,
      )
      renameSync(this.path, aside)
      return { proxies: [], clients: [] }
    }
  }

  /** Whether the file can be made is told at the start, not with the first client. */
  private begin(): Pick<Content, 'proxies' | 'clients'> {
    try {
      mkdirSync(dirname(this.path), { recursive: true })
      writeFileSync(this.path, textOf([], []), { mode: 0o600, flag: 'wx' })
    } catch (error) {
      throw new FrpError('CONFIG_FILE', `edgefrp.stateFile: ${messageOf(error)}`, { cause: error })
    }
    return { proxies: [], clients: [] }
  }

  private changed(): void {
    this.isDirty = true
    this.writeSoon ??= this.runtime.after(WRITE_DELAY_MS, () => {
      this.writeSoon = undefined
      this.writing ??= this.write().finally(() => {
        this.writing = undefined
        if (this.isDirty) this.changed()
      })
    })
  }

  private async write(): Promise<void> {
    const beside = `${this.path}.new`
    this.isDirty = false
    try {
      const file = await open(beside, 'w', 0o600)
      try {
        await file.writeFile(textOf(this.loadProxies(), this.loadClients()))
        // Before it takes the name: else a power cut may leave the name with nothing behind it.
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(beside, this.path)
      this.isFailing = false
    } catch (error) {
      // Tried again until it works, and told once.
      this.isDirty = true
      if (!this.isFailing) this.runtime.log.warn(`edgefrp.stateFile was not written: ${messageOf(error)}`)
      this.isFailing = true
    }
  }
}

function textOf(proxies: SavedProxy[], clients: ClientRecord[]): string {
  const content: Content = { version: VERSION, proxies, clients }
  return `${JSON.stringify(content)}\n`
}

/** Throws for what no relay has written. */
function contentOf(parsed: unknown): Pick<Content, 'proxies' | 'clients'> {
  const fields = fieldsOf(parsed)
  if (fields.get('version') !== VERSION) throw new Error(`version ${String(fields.get('version'))}, not ${VERSION}`)
  const proxies = listOf(fields.get('proxies'))
  const clients = listOf(fields.get('clients'))
  proxies.forEach((proxy) => {
    checkTypes(proxy, 'string', ['name', 'type', 'user', 'clientId'])
    checkTypes(proxy, 'number', ['lastStartMs', 'day', 'countedIn', 'countedOut'])
    for (const sum of [proxy.get('total'), ...listed(proxy.get('days'))]) {
      checkTypes(fieldsOf(sum), 'number', ['bytesIn', 'bytesOut'])
    }
  })
  clients.forEach((client) => {
    const texts = ['key', 'user', 'clientId', 'publicId', 'version', 'wireProtocol', 'hostname', 'ip']
    checkTypes(client, 'string', texts)
    checkTypes(client, 'number', ['firstConnectedMs', 'lastConnectedMs'])
  })
  const plain = (list: Map<string, unknown>[]): unknown[] => list.map((one) => Object.fromEntries(one))
  // All that is used of them was checked just now.
  return { proxies: plain(proxies) as SavedProxy[], clients: plain(clients) as ClientRecord[] }
}

function fieldsOf(value: unknown): Map<string, unknown> {
  if (typeof value !== 'object' || value === null) throw new Error('an entry is no object')
  return new Map(Object.entries(value))
}

function listed(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new Error('a list is missing')
  return value
}

function listOf(value: unknown): Map<string, unknown>[] {
  return listed(value).map(fieldsOf)
}

function checkTypes(fields: Map<string, unknown>, type: 'string' | 'number', names: readonly string[]): void {
  for (const name of names) {
    const value = fields.get(name)
    if (typeof value !== type) throw new Error(`${name} is ${JSON.stringify(value)}, no ${type}`)
  }
}
