import { groupName, type Membership } from '../groups.ts'
import type { PortListener } from '../ingress.ts'
import type { ProxyContext, RelayProxy } from './table.ts'

/** A TCP port of the relay that leads to the client's service; the members of a group share one. */
export function tcpProxy(context: ProxyContext): RelayProxy {
  const { message, ports, tcpPorts, onlyPorts, workConns, groups, tcpGroups, log } = context
  const { proxy_name: name, remote_port: wanted } = message
  const group = groupName('tcp', message.group)
  const isGrouped = message.group !== ''
  const claims = wanted > 0 ? [`tcp:${wanted}`] : []
  let listener: PortListener | undefined
  let membership: Membership | undefined

  const openShared = async (): Promise<PortListener> => {
    membership = groups.join('tcp', message, [wanted])
    return await tcpGroups.join(
      group,
      workConns,
      (onUser) => tcpPorts.open(name, wanted, (port) => ports.listenTcp(port, onUser), onlyPorts),
      (port) => tcpPorts.release(name, port),
    )
  }
  const openOwn = (): Promise<PortListener> =>
    tcpPorts.open(
      name,
      wanted,
      (port) => ports.listenTcp(port, (user, addresses) => workConns.serve(user, addresses)),
      onlyPorts,
    )

  return {
    claims: isGrouped ? [`group:${group}`, ...claims] : claims,
    group: isGrouped ? group : undefined,
    usesPort: true,
    get visitKey() {
      return listener && `tcp:${listener.port}`
    },
    async open() {
      listener = await (isGrouped ? openShared() : openOwn())
      message.remote_port = listener.port
      log.info(`tcp proxy listen port [${listener.port}]${isGrouped ? ` in group [${message.group}]` : ''}`)
      return `:${listener.port}`
    },
    reopen() {
      // A relay that sleeps has no ports of its own: its users are visitors, who find the members by themselves.
      listener = tcpPorts.reopen(wanted)
      if (isGrouped) membership = groups.join('tcp', message, [wanted])
    },
    visit: (visitor, addresses) => workConns.serve(visitor, addresses),
    close() {
      membership?.leave()
      if (listener === undefined) return
      if (isGrouped) {
        tcpGroups.leave(group, workConns)
      } else {
        listener.close()
        tcpPorts.release(name, listener.port)
      }
      listener = undefined
    },
  }
}
