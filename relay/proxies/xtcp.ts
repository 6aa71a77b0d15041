import { messageOf } from '../../contract/errors.ts'
import { MessageChannel, type MessageHandler } from '../../protocol/frp/message-channel.ts'
import { codecOf } from '../../protocol/frp/opening.ts'
import { CLOSE_MS } from '../limits.ts'
import type { NatHoleOwner } from '../nathole/rendezvous.ts'
import type { ProxyContext, RelayProxy } from './table.ts'

/** xtcp: visitors and the owner meet here by messages, and go on without the relay. */
export function xtcpProxy(context: ProxyContext): RelayProxy {
  const { message, natHoles, owner } = context
  const entry: NatHoleOwner = {
    secretKey: message.sk,
    // frp: without a list only the owner's own user.
    users: message.allow_users.length > 0 ? message.allow_users : [owner.user],
    runId: owner.runId,
    invite: (sid) => invite(context, sid),
  }
  return {
    claims: [],
    usesPort: false,
    open() {
      natHoles.listen(message.proxy_name, entry)
      return Promise.resolve('')
    },
    reopen: () => natHoles.listen(message.proxy_name, entry),
    close: () => natHoles.unlisten(message.proxy_name, entry),
  }
}

/** A work connection brings the owner the sid, and is over with that. */
function invite({ workConns, runtime, log }: ProxyContext, sid: string): void {
  workConns.openPlain((work, error) => {
    if (work === undefined) {
      log.warn(`xtcp visitor: ${error?.message ?? 'no work connection'}`)
      return
    }
    // A client that does not close its end must not keep the connection.
    const deadline = runtime.after(CLOSE_MS, () => channel.destroy())
    const handler: MessageHandler = {
      onMessage: () => undefined,
      onClose: (reason) => {
        deadline.cancel()
        if (reason !== undefined) log.debug(`connection of sid [${sid}]: ${messageOf(reason)}`)
      },
    }
    const channel = new MessageChannel(work, handler, { codec: codecOf(workConns.wire) })
    channel.send({ type: 'NatHoleSid', sid })
    channel.end()
  })
}
