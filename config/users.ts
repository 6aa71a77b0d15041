import { bandwidthBytes } from '../contract/bandwidth.ts'
import { count, list, port, strings, type TableOf, table, text } from './field.ts'
import type { Path, Problems } from './problems.ts'

/** `[[edgefrp.users]]`: names with tokens of their own, and what they may have. */
const USER_FIELDS = {
  /** frpc's `user`: its proxies are called `name.…`. */
  name: text(),
  token: text(),
  /** Names of proxies without the user's own before them, `*` for any characters; none: all. */
  allowProxies: strings(),
  /** Hosts of http, https and tcpmux proxies, `*` as above; none: all. */
  allowDomains: strings(),
  /** Ports of tcp and udp proxies, within the relay's own allowPorts; none: all. */
  allowPorts: list(table({ start: port(), end: port(), single: port() })),
  /** Proxies at a time, of all clients of the user; 0: no limit. */
  maxProxies: count(0),
  /** A number with KB or MB, for all proxies of the user together; "": no limit. */
  bandwidthLimit: text(),
}

/** A user of a relay with all defaults. */
export type UserOptions = TableOf<typeof USER_FIELDS>

export const userField = table(USER_FIELDS)

/** Says what is wrong with the users of a file. */
export function checkUsers(users: readonly UserOptions[], problems: Problems): void {
  const seen = new Set<string>()
  users.forEach((user, index) => {
    const path: Path = ['edgefrp', 'users', index]
    if (problems.under(path)) return
    const { name, token, bandwidthLimit, allowPorts } = user
    // With a dot `a` and `a.b` would have names in common.
    if (name === '' || name.includes('.')) problems.add([...path, 'name'], 'name is required, and has no dot')
    else if (seen.has(name)) problems.add([...path, 'name'], `user [${name}] is duplicated`)
    seen.add(name)
    if (token === '') problems.add([...path, 'token'], 'token is required')
    if (bandwidthLimit !== '' && bandwidthBytes(bandwidthLimit) === undefined) {
      problems.add([...path, 'bandwidthLimit'], `${bandwidthLimit} is no number with KB or MB`)
    }
    allowPorts.forEach((range, at) => {
      if (range.single > 0 || (range.start > 0 && range.start <= range.end)) return
      problems.add([...path, 'allowPorts', at], `range number is invalid: ${range.start}-${range.end}`)
    })
  })
}
