import { FrpError } from '../../contract/errors.ts'
import { isList, type Kind, list, text, wrong } from './fields.ts'
import { type JsonNode, JsonNumber, JsonObject, writeString } from './json.ts'

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue }

/** The key by which our ends recognise each other; stock peers ignore it. More keys may stand beside the two. */
export interface Edgefrp {
  v: number
  features: string[]
  [key: string]: JsonValue
}

/**
 * What our ends tell each other that they can do; used when both named it. `sleeps`: a relay that should not be pinged.
 * `ip-rules`: a relay that goes by a proxy's metadata of where its users may come from.
 */
export type Feature = 'half-close' | 'sleeps' | 'ip-rules'

const EDGEFRP_VERSION = 1

/** The key of a message of ours, and what more stands in it. */
export function edgefrpOf(features: readonly Feature[], more: Record<string, JsonValue> = {}): Edgefrp {
  return { v: EDGEFRP_VERSION, features: [...features], ...more }
}

/** The features that the sender of a message named; none by a stock peer. */
export function featuresOf(message: { edgefrp?: Edgefrp }): ReadonlySet<string> {
  return new Set(message.edgefrp?.features)
}

const texts = list(text)

/** Absent unless the peer is one of ours. It has no prototype: any key is only a key. */
export const edgefrp: Kind<Edgefrp | undefined> = {
  zero: () => undefined,
  read(node, path) {
    if (node === null) return undefined
    if (!(node instanceof JsonObject)) throw wrong(path, 'an object', node)
    const value: Edgefrp = Object.assign(Object.create(null), { v: 0, features: [] })
    for (const [key, member] of node.members) {
      if (key === 'features') value.features = texts.read(member, `${path}.features`, [])
      else value[key] = plain(member, `${path}.${key}`)
    }
    if (!Number.isSafeInteger(value.v)) throw wrong(`${path}.v`, 'an integer', String(value.v))
    return value
  },
  write: (value) => value && writeValue(value),
}

function plain(node: JsonNode, path: string): JsonValue {
  if (node instanceof JsonNumber) {
    const value = Number(node.text)
    if (!Number.isFinite(value)) throw wrong(path, 'a finite number', node)
    return value
  }
  if (isList(node)) return node.map((element, i) => plain(element, `${path}[${i}]`))
  if (!(node instanceof JsonObject)) return node
  const value: { [key: string]: JsonValue } = Object.create(null)
  for (const [key, member] of node.members) value[key] = plain(member, `${path}.${key}`)
  return value
}

function writeValue(value: JsonValue): string {
  if (typeof value === 'string') return writeString(value)
  if (Array.isArray(value)) return `[${value.map(writeValue).join(',')}]`
  if (value !== null && typeof value === 'object') {
    const members = Object.entries(value).map(([key, member]) => `${writeString(key)}:${writeValue(member)}`)
    return `{${members.join(',')}}`
  }
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new FrpError('MESSAGE_FIELD', `edgefrp: expected a finite number to send, got ${value}`)
  }
  return String(value)
}
