import { completeProxy, completeVisitor, type ProxyOptions, type VisitorOptions } from '../../config/load.ts'
import { messageOf } from '../../contract/errors.ts'
import { AdminError } from './answer.ts'
import { type GoJson, proxyJson, visitorJson, withoutSecrets } from './go-json.ts'

/** frp's texts differ in one word. */
interface Kind<T> {
  word: 'proxy' | 'visitor'
  types: readonly string[]
  complete: (raw: unknown, context: { strict: boolean }) => T
  json: (options: T) => GoJson
}

export const PROXY_KIND: Kind<ProxyOptions> = {
  word: 'proxy',
  types: ['tcp', 'udp', 'http', 'https', 'tcpmux', 'stcp', 'sudp', 'xtcp'],
  complete: completeProxy,
  json: proxyJson,
}

export const VISITOR_KIND: Kind<VisitorOptions> = {
  word: 'visitor',
  types: ['stcp', 'sudp', 'xtcp'],
  complete: completeVisitor,
  json: visitorJson,
}

/** A proxy or visitor as the admin API shows it: name, type, and one block that is called as the type. */
export function definitionOf<T extends { name: string; type: string }>(
  kind: Kind<T>,
  options: T,
  hasSecrets: boolean,
): GoJson {
  const json = kind.json(options)
  return { name: options.name, type: options.type, [options.type]: hasSecrets ? json : withoutSecrets(json) }
}

/** Reads and checks such a definition; `name` is the one in the URL of an update. */
export function readDefinition<T>(kind: Kind<T>, body: string, name?: string): T {
  const { word, types } = kind
  const definition = parse(body)
  const given = definition['name']
  const type = definition['type']
  if (typeof given !== 'string' || given.trim() === '') throw new AdminError(400, `${word} name is required`)
  if (typeof type !== 'string' || !types.includes(type)) {
    throw new AdminError(400, `invalid ${word} type: ${typeof type === 'string' ? type : ''}`)
  }
  if (name !== undefined && name !== given) throw new AdminError(400, `${word} name in URL must match name in body`)
  const blocks = types.filter((block) => isObject(definition[block]))
  const [block] = blocks
  if (block === undefined || blocks.length > 1) throw new AdminError(400, `exactly one ${word} type block is required`)
  if (block !== type) throw new AdminError(400, `${word} type block "${block}" does not match type "${type}"`)
  try {
    return kind.complete({ ...(definition[block] as GoJson), name: given, type }, { strict: false }) // an object, as filtered
  } catch (error) {
    throw new AdminError(400, `invalid argument: validation error: ${messageOf(error)}`, { cause: error })
  }
}

function parse(body: string): GoJson {
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch (error) {
    throw new AdminError(400, `parse JSON error: ${messageOf(error)}`, { cause: error })
  }
  if (!isObject(parsed)) throw new AdminError(400, 'parse JSON error: the body must be an object')
  return parsed
}

function isObject(value: unknown): value is GoJson {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
