import { FrpError } from '../../contract/errors.ts'
import { canonicalIp } from '../../contract/ip.ts'
import { decodeBase64, encodeBase64 } from './base64.ts'
import { compareKeys, type JsonNode, JsonNumber, JsonObject, writeString } from './json.ts'

/**
 * How one kind of field is read and written, as Go's encoding/json does it. `Out` is what a sender may give;
 * `T` is what a reader gets.
 */
export interface Kind<T, Out = T> {
  /** What an absent field is. */
  zero(): T
  /** Throws MESSAGE_FIELD naming `path`. `before` is what a duplicate of the key left. */
  read(node: JsonNode, path: string, before: T): T
  /** JSON text, or undefined for what Go's omitempty leaves out. */
  write(value: Out): string | undefined
  /** What is written for a field that the sender left out, if anything. */
  readonly whenAbsent?: string
}

export const text: Kind<string> = {
  zero: () => '',
  read(node, path, before) {
    if (node === null) return before
    if (typeof node === 'string') return node
    throw wrong(path, 'a string', node)
  },
  write: (value) => (value === '' ? undefined : writeString(value)),
}

export const flag: Kind<boolean> = {
  zero: () => false,
  read(node, path, before) {
    if (node === null) return before
    if (typeof node === 'boolean') return node
    throw wrong(path, 'true or false', node)
  },
  write: (value) => (value ? 'true' : undefined),
}

/**
 * An integer within `min` and `max`. Go's int is an int64; beyond 2^53 a number would change unseen, so it is
 * refused, and no peer has a use for it. `floor`: what is lower counts as this.
 */
export function integer(min: number, max: number, floor = min): Kind<number> {
  return {
    zero: () => 0,
    read(node, path, before) {
      if (node === null) return before
      if (!(node instanceof JsonNumber) || !/^-?[0-9]+$/.test(node.text)) throw wrong(path, 'an integer', node)
      const value = Number(node.text)
      if (value < min || value > max) throw wrong(path, `an integer from ${min} to ${max}`, node)
      return Math.max(value, floor) + 0
    },
    write(value) {
      if (Number.isSafeInteger(value)) return value === 0 ? undefined : String(value)
      throw new FrpError('MESSAGE_FIELD', `expected an integer to send, got ${value}`)
    },
  }
}

export const int = integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
export const uint16 = integer(0, 0xffff)
/** A count for which a negative number means none. */
export const count = integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, 0)

/** An array of `item`, absent when empty. */
export function list<T, Out>(item: Kind<T, Out>): Kind<T[], readonly Out[]> {
  return {
    zero: () => [],
    read(node, path) {
      if (node === null) return []
      if (!isList(node)) throw wrong(path, 'an array', node)
      return node.map((element, i) => item.read(element, `${path}[${i}]`, item.zero()))
    },
    write(values) {
      if (values.length === 0) return undefined
      return `[${values.map((value) => item.write(value) ?? zeroText(item)).join(',')}]`
    },
  }
}

/** What an element of a list must be, even where a field would be left out. */
function zeroText<T, Out>(item: Kind<T, Out>): string {
  return typeof item.zero() === 'string' ? '""' : '{}'
}

/** Strings by name. It has no prototype: any name is only a name. */
export const map: Kind<Record<string, string>> = {
  zero: () => Object.create(null),
  read(node, path, before) {
    if (node === null) return map.zero()
    if (!(node instanceof JsonObject)) throw wrong(path, 'an object', node)
    for (const [key, value] of node.members) before[key] = text.read(value, `${path}[${quote(key)}]`, '')
    return before
  },
  write(value) {
    const keys = Object.keys(value).sort(compareKeys)
    if (keys.length === 0) return undefined
    return `{${keys.map((key) => `${writeString(key)}:${writeString(value[key] ?? '')}`).join(',')}}`
  },
}

/** Bytes as padded base64. */
export const bytes: Kind<Uint8Array> = {
  zero: () => new Uint8Array(0),
  read(node, path) {
    if (node === null) return bytes.zero()
    const value = typeof node === 'string' ? decodeBase64(node) : undefined
    if (value === undefined) throw wrong(path, 'base64 with padding', node)
    return value
  },
  write: (value) => (value.length === 0 ? undefined : `"${encodeBase64(value)}"`),
}

// biome-ignore lint/suspicious/noExplicitAny: only `any` lets a table mix kinds of different types.
export type Fields = Record<string, Kind<any, any>>
export type Values<F extends Fields> = { [K in keyof F]: F[K] extends Kind<infer T, infer _Out> ? T : never }
export type Givens<F extends Fields> = {
  [K in keyof F]?: (F[K] extends Kind<infer _T, infer Out> ? Out : never) | undefined
}

/** The fields of an object with how to find them: by exact name, else without regard to case, as Go does. */
export class Shape<F extends Fields> {
  readonly names: readonly (keyof F & string)[]
  private readonly fields: F
  private readonly folded = new Map<string, keyof F & string>()

  constructor(fields: F) {
    this.fields = fields
    this.names = Object.keys(fields)
    for (const name of this.names) this.folded.set(fold(name), name)
  }

  /** Reads the members of `node` into `into`, which has a value for every field. */
  read(node: JsonObject, path: string, into: Record<string, unknown>): void {
    for (const [key, value] of node.members) {
      const name = this.folded.get(key) ?? this.folded.get(fold(key))
      const kind = name === undefined ? undefined : this.fields[name]
      if (name !== undefined && kind) into[name] = kind.read(value, `${path}.${name}`, into[name])
    }
  }

  zero(into: Record<string, unknown>): void {
    for (const name of this.names) {
      const value = this.fields[name]?.zero()
      // Only our own optional key has no zero value; it is absent then.
      if (value !== undefined) into[name] = value
    }
  }

  write(values: Record<string, unknown>): string {
    let json = ''
    for (const name of this.names) {
      const value = values[name]
      const kind = this.fields[name]
      const written = value === undefined || value === null ? kind?.whenAbsent : kind?.write(value)
      if (written !== undefined) json += `${json === '' ? '' : ','}"${name}":${written}`
    }
    return `{${json}}`
  }
}

/** An object that Go writes even when it is empty (a struct: omitempty does not see it). */
export function struct<F extends Fields>(fields: F): Kind<Values<F>, Givens<F>> {
  const shape = new Shape(fields)
  const zero = (): Values<F> => {
    const values: Record<string, unknown> = {}
    shape.zero(values)
    return values as Values<F> // every field of F was just set
  }
  return {
    zero,
    read(node, path, before) {
      if (node === null) return before
      if (!(node instanceof JsonObject)) throw wrong(path, 'an object', node)
      shape.read(node, path, before)
      return before
    },
    write: (values) => shape.write(values),
    whenAbsent: shape.write({}),
  }
}

/** Go's net.UDPAddr; `IP` is '' or an address in Go's spelling. */
export interface UdpAddress {
  IP: string
  Port: number
  Zone: string
}

const addressShape = new Shape({ IP: ipText(), Port: uint16, Zone: text })

/** An optional address: null when absent. */
export const address: Kind<UdpAddress | null> = {
  zero: () => null,
  read(node, path, before) {
    if (node === null) return null
    if (!(node instanceof JsonObject)) throw wrong(path, 'an address', node)
    const value = before ?? { IP: '', Port: 0, Zone: '' }
    addressShape.read(node, path, value as UdpAddress & Record<string, unknown>)
    return value
  },
  write(value) {
    if (value === null) return undefined
    const ip = writeString(canonicalIp(value.IP) ?? '')
    return `{"IP":${ip},"Port":${value.Port},"Zone":${writeString(value.Zone)}}`
  },
}

function ipText(): Kind<string> {
  return {
    ...text,
    read(node, path, before) {
      const given = text.read(node, path, before)
      const ip = given === '' ? '' : canonicalIp(given)
      if (ip === undefined) throw wrong(path, 'an IP address', node)
      return ip
    },
  }
}

export function isList(node: JsonNode): node is readonly JsonNode[] {
  return Array.isArray(node)
}

/** MESSAGE_FIELD: what was expected at `path` and what stood there, shortened. */
export function wrong(path: string, expected: string, node: JsonNode): FrpError {
  return new FrpError('MESSAGE_FIELD', `${path}: expected ${expected}, got ${describe(node)}`)
}

function describe(node: JsonNode): string {
  if (node instanceof JsonNumber) return node.text.slice(0, 40)
  if (node instanceof JsonObject) return 'an object'
  if (isList(node)) return 'an array'
  return typeof node === 'string' ? quote(node) : String(node)
}

function quote(value: string): string {
  return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
}

/** Go folds case by Unicode: of all others only the Kelvin sign and the long s meet an ASCII letter. */
function fold(name: string): string {
  return name.toLowerCase().replaceAll('\u017f', 's')
}
