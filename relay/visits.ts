import { FrpError } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import type { NewProxy, NewVisitorConn } from '../protocol/frp/messages.ts'
import { equalKeys, privilegeKey } from '../protocol/frp/token.ts'
import type { RelayProxy } from './proxies/table.ts'

/** A proxy that can be reached from inside: by a visitor's connection instead of a port. */
export interface Visitable {
  message: NewProxy
  proxy: RelayProxy
}

/** Proxy metadata that say who may visit without a login of the relay. */
const VISIT_KEY = 'edgefrp.visitKey'
const VISIT_ACCESS = 'edgefrp.visit'

/** One text for an unknown proxy and a wrong key: a stranger must not learn which names exist. */
function refused(name: string): FrpError {
  return new FrpError('AUTH_FAILED', `visitor connection of [${name}] auth failed`)
}

/**
 * The proxies that visitors can reach, by `tcp:<port>` and `udp:<port>`, and who may. A visit is an frp
 * visitor connection whose `edgefrp` key names type and port.
 */
export class Visits {
  private readonly runtime: Runtime
  private readonly byKey = new Map<string, Visitable>()

  constructor(runtime: Runtime) {
    this.runtime = runtime
  }

  add(key: string, visitable: Visitable): void {
    this.byKey.set(key, visitable)
  }

  remove(key: string, proxy: RelayProxy): void {
    if (this.byKey.get(key)?.proxy === proxy) this.byKey.delete(key)
  }

  /** The key of the directory that a visitor asks for. Throws MESSAGE_FIELD. */
  static keyOf(message: NewVisitorConn): string {
    const type = message.edgefrp?.['type']
    const port = message.edgefrp?.['port']
    if ((type !== 'tcp' && type !== 'udp') || typeof port !== 'number' || !Number.isInteger(port)) {
      throw new FrpError('MESSAGE_FIELD', `NewVisitorConn.edgefrp: type ${String(type)}, port ${String(port)}`)
    }
    return `${type}:${port}`
  }

  /** The proxy of `key` if this visitor may reach it; `isLoggedIn`: on a connection with the relay's credentials. */
  find(key: string, message: NewVisitorConn, isLoggedIn: boolean): Visitable {
    const found = this.byKey.get(key)
    if (found === undefined) throw isLoggedIn ? new FrpError('PROXY_REFUSED', `no proxy at [${key}]`) : refused(key)
    const metas = found.message.metas
    if (isLoggedIn || metas[VISIT_ACCESS] === 'public') return found
    const visitKey = metas[VISIT_KEY] ?? ''
    const { crypto } = this.runtime
    const wanted = privilegeKey(crypto, visitKey, message.timestamp)
    if (visitKey === '' || !equalKeys(crypto, wanted, message.sign_key)) throw refused(key)
    return found
  }
}
