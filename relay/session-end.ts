import type { FrpError } from '../contract/errors.ts'
import type { Control } from './control.ts'
import type { Joins } from './joins.ts'

/** Ends a session from the relay's side, with all that it carries: on links of their own (tcpMux off) as well. */
export function endSession(control: Control, joins: Joins, reason: FrpError): void {
  const names = new Set(control.state.proxies.map(({ proxy_name: name }) => name))
  control.close(reason)
  control.connection.close(reason)
  for (const { proxyName, wrapped } of [...joins]) if (names.has(proxyName)) wrapped.destroy(reason)
}
