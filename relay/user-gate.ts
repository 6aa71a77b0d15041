import { FrpError } from '../contract/errors.ts'
import { formatAddress } from '../contract/ip.ts'
import { ALLOW_IPS, DENY_IPS, IpRules } from '../contract/ip-rules.ts'
import type { NewProxy } from '../protocol/frp/messages.ts'
import type { Control } from './control.ts'
import type { Addresses } from './ingress.ts'
import type { Refusals } from './refusals.ts'
import type { ServerPlugins } from './server-plugins.ts'

export interface UserGateOptions {
  control: Control
  message: NewProxy
  plugins: ServerPlugins
  /** The relay's own rules, as they are now. */
  ipRules: () => IpRules
  refusals: Refusals
}

/** Who may come in as a user of one proxy. */
export class UserGate {
  /** Asks the server plugins, for types that frp asks about; undefined: nobody has to be asked. Rejects with the reason. */
  readonly ask: ((addresses: Addresses) => Promise<void>) | undefined
  private readonly own: IpRules
  private readonly ipRules: () => IpRules
  private readonly refusals: Refusals
  private readonly name: string

  /** Throws CONFIG_FIELD for metadata that are no addresses. */
  constructor({ control, message, plugins, ipRules, refusals }: UserGateOptions) {
    this.ipRules = ipRules
    this.refusals = refusals
    this.name = message.proxy_name
    this.own = new IpRules(listOf(message, ALLOW_IPS), listOf(message, DENY_IPS))
    if (!plugins.has('NewUserConn')) return
    this.ask = ({ sourceIp, sourcePort }) =>
      plugins.newUserConn({
        user: control.pluginUser,
        proxyName: message.proxy_name,
        proxyType: message.proxy_type,
        remoteAddr: formatAddress(sourceIp, sourcePort),
      })
  }

  /** Why this address may not in, which is told in the log, in bounded lines; undefined: it may. */
  refuses(ip: string): FrpError | undefined {
    if (this.ipRules().allows(ip) && this.own.allows(ip)) return undefined
    this.refusals.report(ip, `this address is not allowed for proxy [${this.name}]`)
    return new FrpError('USER_REFUSED', 'this address is not allowed')
  }
}

function listOf(message: NewProxy, key: string): string[] {
  return (message.metas[key] ?? '').split(/[\s,]+/).filter((block) => block !== '')
}
