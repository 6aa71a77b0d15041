import type { FrpsOptions } from '../config/frps.ts'
import type { UserOptions } from '../config/users.ts'
import { bandwidthBytes } from '../contract/bandwidth.ts'
import { hexOf } from '../contract/bytes.ts'
import { FrpError } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import { deriveKey } from '../protocol/frp/cipher.ts'
import type { Login, NewProxy, NewWorkConn, Ping } from '../protocol/frp/messages.ts'
import { equalKeys, privilegeKey } from '../protocol/frp/token.ts'
import { TokenBucket } from '../protocol/stream/throttle.ts'
import { type Principal, TokenVerifier, type Verifier } from './auth.ts'
import { hostsOf } from './host-names.ts'
import { type PortRange, rangesOf } from './ports.ts'

/** How `Principal.identity` begins for a user with a token of its own. */
const ACCOUNT = 'user:'
/** Of the SHA-256 of a token's key: enough to see that it is another one. It stays in the relay, as the key does. */
const TOKEN_ID_BYTES = 8

/** Whether somebody logged in with a token of `edgefrp.users`: such a one sees only what is its own. */
export function isAccount(principal: Principal): boolean {
  return principal.identity.startsWith(ACCOUNT)
}

/** What a user with a token of its own may have. */
export interface Allowance {
  /** Undefined: the relay's own ranges alone. */
  ports: readonly PortRange[] | undefined
  /** Shared by all its proxies. */
  bucket: TokenBucket | undefined
}

const NO_ALLOWANCE: Allowance = { ports: undefined, bucket: undefined }

interface Account {
  options: UserOptions
  verifier: TokenVerifier
  key: Uint8Array
  allowance: Allowance
}

/**
 * Who may log in: the users of `edgefrp.users` with their own tokens, and everybody else with the relay's. A reload
 * makes a new one.
 */
export class Accounts implements Verifier {
  private readonly runtime: Runtime
  private readonly others: Verifier
  private readonly byName: ReadonlyMap<string, Account>
  private readonly token: string
  private readonly key: Uint8Array
  private readonly subDomainHost: string
  /** The relay's own token is unset, and there are users: nobody else is known. */
  private readonly isClosed: boolean
  private readonly counts: Map<string, number>

  /** `others` knows who is no user of the list; `before` is what this one takes the place of. */
  constructor(options: FrpsOptions, runtime: Runtime, others: Verifier, before?: Accounts) {
    const { users } = options.edgefrp
    this.runtime = runtime
    this.others = others
    this.token = options.auth.token
    this.key = deriveKey(runtime.crypto, this.token)
    this.subDomainHost = options.subDomainHost
    this.isClosed = users.length > 0 && options.auth.method === 'token' && options.auth.token === ''
    this.counts = before?.counts ?? new Map()
    this.byName = new Map(
      users.map((user) => {
        const { name, token } = user
        const verifier = new TokenVerifier({ ...options, auth: { ...options.auth, token } }, runtime)
        const allowance = this.allowanceFor(user, before?.byName.get(name))
        return [name, { options: user, verifier, key: deriveKey(runtime.crypto, token), allowance }]
      }),
    )
  }

  verifyLogin(login: Login): ReturnType<Verifier['verifyLogin']> {
    const account = this.byName.get(login.user)
    if (account === undefined && !this.isClosed) return this.others.verifyLogin(login)
    // One text for a wrong token and a name that nobody has: it does not tell which users there are.
    const isRight = this.isSigned(account?.options.token ?? '', login.privilege_key, login.timestamp)
    if (account === undefined || !isRight) {
      throw new FrpError('AUTH_FAILED', `token in login doesn't match token of user [${login.user}]`)
    }
    // It has rules for clocks as well.
    account.verifier.verifyLogin(login)
    return { identity: ACCOUNT + login.user, user: login.user }
  }

  async prepare(): Promise<void> {
    await this.others.prepare?.()
  }

  verifyPing(ping: Ping, principal: Principal): ReturnType<Verifier['verifyPing']> {
    return this.verifierOf(principal).verifyPing(ping, principal)
  }

  verifyNewWorkConn(message: NewWorkConn, principal: Principal): ReturnType<Verifier['verifyNewWorkConn']> {
    return this.verifierOf(principal).verifyNewWorkConn(message, principal)
  }

  /** The token that somebody logged in with: wire v2 encrypts the control stream with it. */
  tokenOf(principal: Principal): string {
    return (isAccount(principal) ? this.byName.get(principal.user)?.options.token : undefined) ?? this.token
  }

  /** The key that comes from this token: of useEncryption, and of the control stream in wire v1. */
  keyOf(principal: Principal): Uint8Array {
    return (isAccount(principal) ? this.byName.get(principal.user)?.key : undefined) ?? this.key
  }

  /** What a session keeps of the token that it logged in with, to see whether it still holds. */
  tokenIdOf(principal: Principal): string {
    return hexOf(this.runtime.crypto.sha256(this.keyOf(principal)).subarray(0, TOKEN_ID_BYTES))
  }

  /** Why a session that logged in with this token cannot go on; undefined: it can. */
  whyOver(principal: Principal, tokenId: string): FrpError | undefined {
    const { user } = principal
    const isOfUser = isAccount(principal)
    if (isOfUser && !this.byName.has(user)) return new FrpError('AUTH_FAILED', `user [${user}] is not known any more`)
    if (this.tokenIdOf(principal) === tokenId) return undefined
    return new FrpError('AUTH_FAILED', `the token of ${isOfUser ? `user [${user}]` : 'the relay'} has changed`)
  }

  /** What somebody may have; throws PROXY_REFUSED, PORT_NOT_ALLOWED or LIMIT for a proxy that is not for it. */
  admit(message: NewProxy, principal: Principal): Allowance {
    const account = isAccount(principal) ? this.byName.get(principal.user) : undefined
    const name = message.proxy_name
    if (account === undefined) {
      if (isAccount(principal)) throw new FrpError('PROXY_REFUSED', `user [${principal.user}] is not known any more`)
      const owner = name.split('.', 1)[0] ?? ''
      if (!this.byName.has(owner) || owner === name) return NO_ALLOWANCE
      throw new FrpError('PROXY_REFUSED', `proxy name [${name}] is for user [${owner}] alone`)
    }
    const { options, allowance } = account
    this.checkName(name, options)
    this.checkCount(options)
    checkPort(message, options.name, allowance.ports)
    this.checkDomains(message, options)
    return allowance
  }

  /** A proxy of this user started or stopped. */
  count(principal: Principal, change: 1 | -1): void {
    if (!isAccount(principal)) return
    const now = (this.counts.get(principal.user) ?? 0) + change
    if (now > 0) this.counts.set(principal.user, now)
    else this.counts.delete(principal.user)
  }

  private verifierOf(principal: Principal): Verifier {
    return (isAccount(principal) ? this.byName.get(principal.user)?.verifier : undefined) ?? this.others
  }

  private allowanceFor(user: UserOptions, before: Account | undefined): Allowance {
    const bytes = bandwidthBytes(user.bandwidthLimit) ?? 0
    const isSame = before !== undefined && before.options.bandwidthLimit === user.bandwidthLimit
    const fresh = bytes > 0 ? new TokenBucket(bytes, this.runtime) : undefined
    return {
      ports: user.allowPorts.length === 0 ? undefined : rangesOf(user.allowPorts),
      bucket: isSame ? before.allowance.bucket : fresh,
    }
  }

  private isSigned(token: string, key: string, timestamp: number): boolean {
    const { crypto } = this.runtime
    return equalKeys(crypto, privilegeKey(crypto, token, timestamp), key)
  }

  private checkName(name: string, { name: user, allowProxies }: UserOptions): void {
    const own = name.startsWith(`${user}.`) ? name.slice(user.length + 1) : ''
    if (own === '') {
      throw new FrpError('PROXY_REFUSED', `proxy name [${name}] of user [${user}] has to begin with [${user}.]`)
    }
    if (allowProxies.length === 0 || allowProxies.some((pattern) => matches(pattern, own))) return
    throw new FrpError('PROXY_REFUSED', `proxy name [${own}] is not allowed for user [${user}]`)
  }

  private checkCount({ name, maxProxies }: UserOptions): void {
    if (maxProxies === 0 || (this.counts.get(name) ?? 0) < maxProxies) return
    throw new FrpError('LIMIT', `user [${name}] has ${maxProxies} proxies already, more are not allowed`)
  }

  private checkDomains(message: NewProxy, { name, allowDomains }: UserOptions): void {
    if (allowDomains.length === 0 || (message.custom_domains.length === 0 && message.subdomain === '')) return
    for (const host of hostsOf(message, this.subDomainHost)) {
      if (allowDomains.some((pattern) => matches(pattern.toLowerCase(), host))) continue
      throw new FrpError('PROXY_REFUSED', `domain [${host}] is not allowed for user [${name}]`)
    }
  }
}

function checkPort(message: NewProxy, user: string, ports: readonly PortRange[] | undefined): void {
  const { remote_port: port, proxy_type: type } = message
  if (ports === undefined || port === 0 || (type !== 'tcp' && type !== 'udp')) return
  if (ports.some(({ start, end }) => port >= start && port <= end)) return
  throw new FrpError('PORT_NOT_ALLOWED', `port [${port}] is not allowed for user [${user}]`)
}

/** `*` stands for any characters, everything else for itself. Without backtracking: names come from strangers. */
function matches(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return text === pattern
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last)) return false
  let at = first.length
  for (const part of rest) {
    const found = text.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return at <= text.length - last.length
}
