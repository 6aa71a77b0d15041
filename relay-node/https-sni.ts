import type { FrpsOptions } from '../config/frps.ts'
import { FrpError, messageOf } from '../contract/errors.ts'
import { formatAddress } from '../contract/ip.ts'
import type { PortListener } from '../relay/ingress.ts'
import type { Relay } from '../relay/relay.ts'
import { openTcpPort, type UserPortOptions } from './tcp.ts'

/** Ports of users whose bytes say, before anything else, which name they want. */
export interface NameListeners {
  /** Undefined: vhost HTTPS is off, or shares the bind port. */
  vhostHttps: PortListener | undefined
  tcpmux: PortListener | undefined
  close(): void
}

/** Whether connections to the bind port that begin with TLS are for https proxies. */
export function sharesHttpsPort(options: FrpsOptions): boolean {
  const { bindAddr, bindPort, proxyBindAddr, vhostHTTPSPort } = options
  return vhostHTTPSPort > 0 && vhostHTTPSPort === bindPort && bindAddr === proxyBindAddr
}

/** Opens the ports of vhost HTTPS and of tcpmux, if they are on. Rejects with PORT_TAKEN, and nothing stays open. */
export async function listenForNames(relay: Relay, ports: UserPortOptions): Promise<NameListeners> {
  const { options } = relay
  const { proxyBindAddr, vhostHTTPSPort, tcpmuxHTTPConnectPort, tcpmuxPassthrough } = options
  const { log } = ports.runtime
  const opened: PortListener[] = []
  const open = async (port: number, onUser: Parameters<typeof openTcpPort>[1]): Promise<PortListener> => {
    try {
      const listener = await openTcpPort(port, onUser, ports)
      opened.push(listener)
      return listener
    } catch (error) {
      for (const listener of opened) listener.close()
      // frp's text for both.
      throw new FrpError('PORT_TAKEN', `create server listener error, ${messageOf(error)}`, { cause: error })
    }
  }

  let tcpmux: PortListener | undefined
  if (tcpmuxHTTPConnectPort > 0) {
    tcpmux = await open(tcpmuxHTTPConnectPort, (user, addresses) => relay.tcpmux.accept(user, addresses))
    const address = formatAddress(proxyBindAddr, tcpmux.port)
    log.info(`tcpmux httpconnect multiplexer listen on ${address}, passthrough: ${tcpmuxPassthrough}`)
  }
  let vhostHttps: PortListener | undefined
  if (vhostHTTPSPort > 0) {
    const isShared = sharesHttpsPort(options)
    if (!isShared) vhostHttps = await open(vhostHTTPSPort, (user, addresses) => relay.https.accept(user, addresses))
    log.info(`https service listen on ${formatAddress(proxyBindAddr, vhostHttps?.port ?? vhostHTTPSPort)}`)
  }
  return {
    vhostHttps,
    tcpmux,
    close() {
      for (const listener of opened) listener.close()
    },
  }
}
