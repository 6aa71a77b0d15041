import { FrpError } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import type { NewProxy, NewVisitorConn } from '../protocol/frp/messages.ts'
import { equalKeys, privilegeKey } from '../protocol/frp/token.ts'
import { WRONG_SECRETS } from './limits.ts'
import { LoginGuard } from './login-guard.ts'
import type { RelayProxy } from './proxies/table.ts'
import { Turns } from './turns.ts'

/** A proxy that can be reached from inside: by a visitor's connection instead of a port. */
export interface Visitable {
  message: NewProxy
  proxy: RelayProxy
  /** The user of the client that has it. */
  owner: string
}

/** Who visits. */
export interface Visitor {
  ip: string
  /** On a connection with the relay's credentials. */
  isLoggedIn: boolean
  /** The user of the client that the visit belongs to; empty for a stranger. */
  user: string
}

/** Proxy metadata that say who may visit without a login of the relay. */
const VISIT_KEY = 'edgefrp.visitKey'
const VISIT_ACCESS = 'edgefrp.visit'

/** One text for an unknown proxy and a wrong key: a stranger must not learn which names exist. */
function refused(name: string): FrpError {
  return new FrpError('AUTH_FAILED', `visitor connection of [${name}] auth failed`)
}

/**
 * The proxies that visitors can reach and who may: by `tcp:<port>` and `udp:<port>` (a visit of our own client,
 * whose `edgefrp` key names type and port), and by `secret:<name>` (stcp, sudp).
 */
export class Visits {
  private readonly runtime: Runtime
  private readonly byKey = new Map<string, Turns<Visitable>>()
  private readonly secretGuard: LoginGuard

  constructor(runtime: Runtime) {
    this.runtime = runtime
    this.secretGuard = new LoginGuard(runtime, WRONG_SECRETS)
  }

  add(key: string, visitable: Visitable): void {
    const there = this.byKey.get(key) ?? new Turns<Visitable>()
    there.add(visitable)
    this.byKey.set(key, there)
  }

  remove(key: string, proxy: RelayProxy): void {
    const there = this.byKey.get(key)
    if (there === undefined) return
    for (const visitable of [...there]) if (visitable.proxy === proxy) there.remove(visitable)
    if (there.size === 0) this.byKey.delete(key)
  }

  /** The key of the directory of the port that `message.edgefrp` names. Throws MESSAGE_FIELD. */
  static keyOf(message: NewVisitorConn): string {
    const type = message.edgefrp?.['type']
    const port = message.edgefrp?.['port']
    if ((type !== 'tcp' && type !== 'udp') || typeof port !== 'number' || !Number.isInteger(port)) {
      throw new FrpError('MESSAGE_FIELD', `NewVisitorConn.edgefrp: type ${String(type)}, port ${String(port)}`)
    }
    return `${type}:${port}`
  }

  /**
   * The proxy of a port if this visitor may reach it; of a group the member whose turn it is. Who logged in with the
   * relay's token reaches all, a user with a token of its own (`onlyOf`) what is its own.
   */
  find(key: string, message: NewVisitorConn, isLoggedIn: boolean, onlyOf?: string): Visitable {
    const found = this.byKey.get(key)?.next()
    const metas = found?.message.metas ?? {}
    const visitKey = metas[VISIT_KEY] ?? ''
    const isRight = this.isSigned(visitKey, message) && visitKey !== ''
    if (found === undefined) throw isLoggedIn ? new FrpError('PROXY_REFUSED', `no proxy at [${key}]`) : refused(key)
    const isOwn = isLoggedIn && (onlyOf === undefined || onlyOf === found.owner)
    if (isOwn || metas[VISIT_ACCESS] === 'public' || isRight) return found
    throw isLoggedIn ? new FrpError('PROXY_REFUSED', `no proxy at [${key}]`) : refused(key)
  }

  /**
   * The stcp or sudp proxy of `key` if this visitor has its secret and is one of its users. What strangers are
   * told, and the work for it, is the same for a name that does not exist.
   */
  findSecret(key: string, message: NewVisitorConn, visitor: Visitor): Visitable {
    const name = message.proxy_name
    const found = this.byKey.get(key)?.next()
    const isSigned = this.isSigned(found?.message.sk ?? '', message)
    if (found === undefined) {
      throw visitor.isLoggedIn
        ? new FrpError('PROXY_REFUSED', `custom listener for [${name}] doesn't exist`)
        : refused(name)
    }
    // Guessing is slow even for the right guess; whoever comes from elsewhere does not notice.
    if (this.secretGuard.isBlocked(visitor.ip, key)) throw refused(name)
    if (!isSigned) {
      this.secretGuard.failed(visitor.ip, key)
      throw refused(name)
    }
    // frp server/visitor: without a list only the owner's own user.
    const allowed = found.message.allow_users.length > 0 ? found.message.allow_users : [found.owner]
    if (!allowed.includes('*') && !allowed.includes(visitor.user)) {
      throw new FrpError('AUTH_FAILED', `visitor connection of [${name}] user [${visitor.user}] not allowed`)
    }
    return found
  }

  private isSigned(secret: string, message: NewVisitorConn): boolean {
    const { crypto } = this.runtime
    return equalKeys(crypto, privilegeKey(crypto, secret, message.timestamp), message.sign_key)
  }
}
