import { ALLOW_IPS, DENY_IPS, wrongBlock } from '../contract/ip-rules.ts'
import { strings, type TableOf, table, text } from './field.ts'
import type { Path, Problems } from './problems.ts'

/** Where the users of one proxy may come from: addresses or CIDR blocks; none allowed: from everywhere. */
const RULES = { allowIPs: strings(), denyIPs: strings() }
const KEYS = ['allowIPs', 'denyIPs'] as const
const METADATA = { allowIPs: ALLOW_IPS, denyIPs: DENY_IPS }

export type AddressRules = TableOf<typeof RULES>

/** `edgefrp` of a proxy. */
export const addressRules = table(RULES)

/** `[[edgefrp.proxies]]` of a client: the same for a proxy of that name, for files that have no tables. */
export const namedAddressRules = table({ name: text(), ...RULES })

type NamedRules = ReturnType<typeof namedAddressRules.read>

interface Ruled {
  name: string
  type: string
  metadatas: Readonly<Record<string, string>>
  edgefrp: AddressRules
}

/** Adds a problem for each block of a list that is none. */
export function checkBlocks(blocks: readonly string[], path: Path, problems: Problems): void {
  blocks.forEach((block, index) => {
    const wrong = wrongBlock(block)
    if (wrong !== undefined) problems.add([...path, index], wrong)
  })
}

/** Says what is wrong with the rules of one proxy, which stand at `path`. */
export function checkAddressRules(proxy: Ruled, path: Path, problems: Problems): void {
  for (const key of KEYS) {
    const blocks = proxy.edgefrp[key]
    const own = [...path, key]
    checkBlocks(blocks, own, problems)
    if (blocks.length === 0) continue
    if (proxy.metadatas[METADATA[key]] !== undefined) {
      problems.add(own, `cannot specify both edgefrp.${key} and metadatas.${JSON.stringify(METADATA[key])}`)
    }
    if (proxy.type === 'xtcp') problems.add(own, `edgefrp.${key} cannot hold for xtcp: its users do not pass the relay`)
  }
}

/** Gives the rules of `[[edgefrp.proxies]]` to the proxies that they name; each must be one of `proxies`. */
export function giveAddressRules(named: readonly NamedRules[], proxies: readonly Ruled[], problems: Problems): void {
  const seen = new Set<string>()
  named.forEach(({ name, allowIPs, denyIPs }, index) => {
    const path: Path = ['edgefrp', 'proxies', index]
    const proxy = proxies.find((one) => one.name === name)
    if (name === '') problems.add([...path, 'name'], 'name is required')
    else if (seen.has(name)) problems.add([...path, 'name'], `proxy name [${name}] is duplicated`)
    else if (proxy === undefined) problems.add([...path, 'name'], `there is no proxy [${name}]`)
    seen.add(name)
    if (proxy === undefined) return
    const rules = { allowIPs, denyIPs }
    const before = problems.count
    checkAddressRules({ ...proxy, edgefrp: rules }, path, problems)
    for (const key of KEYS) {
      if (proxy.edgefrp[key].length > 0 && rules[key].length > 0) {
        problems.add([...path, key], `proxy [${name}] has edgefrp.${key} of its own`)
      }
    }
    if (problems.count > before) return
    for (const key of KEYS) if (rules[key].length > 0) proxy.edgefrp[key] = rules[key]
  })
}

/** The same as metadata of the proxy, which is how a relay is told; none for a proxy without rules. */
export function addressMetadatas({ allowIPs, denyIPs }: AddressRules): Record<string, string> {
  return {
    ...(allowIPs.length === 0 ? {} : { [ALLOW_IPS]: allowIPs.join(',') }),
    ...(denyIPs.length === 0 ? {} : { [DENY_IPS]: denyIPs.join(',') }),
  }
}
