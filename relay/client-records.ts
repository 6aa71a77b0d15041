import type { Control } from './control.ts'
import type { RegistryStore } from './registry-store.ts'

/** One client that the relay has seen; those without a client id are forgotten when they leave, as in frp. */
export interface ClientRecord {
  /** `user.id`, or the id alone. */
  key: string
  user: string
  /** What the client calls itself, else its public id. */
  clientId: string
  /** What stands for the run id, which is a secret; "" while it is off line. */
  publicId: string
  version: string
  wireProtocol: string
  hostname: string
  ip: string
  /** Unix ms. */
  firstConnectedMs: number
  lastConnectedMs: number
  disconnectedMs: number | undefined
  isOnline: boolean
}

export interface ClientRecordsOptions {
  nowMs: () => number
  maxOffline: number
  offlineMs: number
  store?: RegistryStore | undefined
}

interface Entry {
  record: ClientRecord
  /** Its sessions; two while a newer one takes over. */
  controls: Set<Control>
}

/** The clients of a relay, on line or not (frp: server/registry). */
export class ClientRecords {
  private readonly options: ClientRecordsOptions
  private readonly byKey = new Map<string, Entry>()
  /** Off line, in the order they went. */
  private readonly offline = new Map<string, ClientRecord>()

  constructor(options: ClientRecordsOptions) {
    this.options = options
    for (const record of options.store?.loadClients() ?? []) {
      this.offline.set(record.key, { ...record, publicId: '', isOnline: false })
    }
  }

  /** `isRevived`: it goes on after sleep. */
  joined(control: Control, isRevived = false): void {
    const key = clientKeyOf(control)
    const known = this.byKey.get(key)
    const firstConnectedMs = (known?.record ?? this.offline.get(key))?.firstConnectedMs ?? control.state.loggedInMs
    this.offline.delete(key)
    const controls = known?.controls ?? new Set()
    controls.add(control)
    const record = recordOf(key, control, firstConnectedMs)
    this.byKey.set(key, { record, controls })
    if (!isRevived && control.state.login.client_id !== '') this.options.store?.keepClient(record)
  }

  left(control: Control): void {
    const key = clientKeyOf(control)
    const entry = this.byKey.get(key)
    if (entry === undefined || !entry.controls.delete(control)) return
    const rest = [...entry.controls].at(-1)
    if (rest !== undefined) {
      entry.record = recordOf(key, rest, entry.record.firstConnectedMs)
      return
    }
    this.byKey.delete(key)
    if (control.state.login.client_id === '') return
    const disconnectedMs = this.options.nowMs()
    const record = { ...entry.record, publicId: '', disconnectedMs, isOnline: false }
    this.offline.set(key, record)
    this.options.store?.keepClient(record)
    this.forgetOld()
  }

  /** Sorted by user, id and key, as frp lists them. */
  list(): ClientRecord[] {
    this.forgetOld()
    const online = [...this.byKey.values()].map(({ record }) => record)
    return [...online, ...this.offline.values()].sort(
      (a, b) => compare(a.user, b.user) || compare(a.clientId, b.clientId) || compare(a.key, b.key),
    )
  }

  find(key: string): ClientRecord | undefined {
    this.forgetOld()
    return this.byKey.get(key)?.record ?? this.offline.get(key)
  }

  private forgetOld(): void {
    const limitMs = this.options.nowMs() - this.options.offlineMs
    for (const [key, record] of this.offline) {
      if (this.offline.size <= this.options.maxOffline && (record.disconnectedMs ?? record.lastConnectedMs) >= limitMs)
        return
      this.offline.delete(key)
      this.options.store?.dropClient(key)
    }
  }
}

/** What a client is called in the API: its own id, or what stands for its run id. */
export function clientIdOf(control: Control): string {
  return control.state.login.client_id === '' ? control.state.publicId : control.state.login.client_id
}

/** `user.id` of a client that is on line, or the id alone. */
export function clientKeyOf(control: Control): string {
  const id = clientIdOf(control)
  return control.user === '' ? id : `${control.user}.${id}`
}

function recordOf(key: string, control: Control, firstConnectedMs: number): ClientRecord {
  const { login, publicId, loggedInMs } = control.state
  return {
    key,
    user: control.user,
    clientId: clientIdOf(control),
    publicId,
    version: login.version,
    wireProtocol: control.state.wireProtocol,
    hostname: login.hostname,
    ip: control.connection.peer.ip,
    firstConnectedMs,
    lastConnectedMs: loggedInMs,
    disconnectedMs: undefined,
    isOnline: true,
  }
}

/** By code units, as Go compares strings of ASCII; the order of other names is only stable. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
