import { FrpError, messageOf } from '../contract/errors.ts'
import { formatAddress } from '../contract/ip.ts'
import type { Runtime } from '../contract/runtime.ts'
import { isLoopbackAddress } from '../contract/web-access.ts'
import { listenWeb, type WebListener } from '../node/web-listener.ts'
import { requestListener } from '../node/web-requests.ts'
import { webServerApp } from '../relay/api/app.ts'
import type { Relay } from '../relay/relay.ts'
import { plainIp } from './addresses.ts'

/** Opens `webServer.port`, with frp's routes and the status page; rejects when the port cannot be opened. */
export async function openWebServer(relay: Relay, runtime: Runtime): Promise<WebListener> {
  const { addr, port, tls, user, password } = relay.options.webServer
  const app = webServerApp(relay, runtime)
  try {
    const listener = await listenWeb({
      addr,
      port,
      tls,
      onRequest: requestListener((request, peer) => app.fetch(request, plainIp(peer))),
    })
    runtime.log.info(`dashboard listen on ${formatAddress(addr, listener.port)}`)
    if (user === '' && password === '') {
      const who = isLoopbackAddress(addr) ? 'whoever is on this machine' : 'anyone who can connect, for reading'
      runtime.log.warn(`webServer.password is not set: the API is open to ${who}`)
    }
    return listener
  } catch (error) {
    throw new FrpError('PORT_TAKEN', `create dashboard web server error, ${messageOf(error)}`, { cause: error })
  }
}
