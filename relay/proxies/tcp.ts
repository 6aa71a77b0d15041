import type { PortListener } from '../ingress.ts'
import type { ProxyContext, RelayProxy } from './table.ts'

/** A TCP port of the relay that leads to the client's service. */
export function tcpProxy(context: ProxyContext): RelayProxy {
  const { message, ports, tcpPorts, workConns, log } = context
  let listener: PortListener | undefined
  return {
    claims: message.remote_port > 0 ? [`tcp:${message.remote_port}`] : [],
    usesPort: true,
    get visitKey() {
      return listener && `tcp:${listener.port}`
    },
    async open() {
      listener = await tcpPorts.open(message.proxy_name, message.remote_port, (port) =>
        ports.listenTcp(port, (user, addresses) => workConns.serve(user, addresses)),
      )
      message.remote_port = listener.port
      log.info(`tcp proxy listen port [${listener.port}]`)
      return `:${listener.port}`
    },
    reopen() {
      listener = tcpPorts.reopen(message.remote_port)
    },
    visit: (visitor, addresses) => workConns.serve(visitor, addresses),
    close() {
      if (listener === undefined) return
      listener.close()
      tcpPorts.release(message.proxy_name, listener.port)
      listener = undefined
    },
  }
}
