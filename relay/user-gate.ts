import type { NewProxy } from '../protocol/frp/messages.ts'
import type { Control } from './control.ts'
import { type Addresses, formatAddress } from './ingress.ts'
import type { ServerPlugins } from './server-plugins.ts'

export interface UserGateOptions {
  control: Control
  message: NewProxy
  plugins: ServerPlugins
}

/** Who may come in as a user of one proxy. */
export class UserGate {
  /** Asks the server plugins, for types that frp asks about; undefined: nobody has to be asked. Rejects with the reason. */
  readonly ask: ((addresses: Addresses) => Promise<void>) | undefined

  constructor({ control, message, plugins }: UserGateOptions) {
    if (!plugins.has('NewUserConn')) return
    this.ask = ({ sourceIp, sourcePort }) =>
      plugins.newUserConn({
        user: control.pluginUser,
        proxyName: message.proxy_name,
        proxyType: message.proxy_type === '' ? 'tcp' : message.proxy_type,
        remoteAddr: formatAddress(sourceIp, sourcePort),
      })
  }
}
