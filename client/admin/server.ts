import type { FrpcOptions } from '../../config/load.ts'
import { formatAddress } from '../../contract/ip.ts'
import { isLoopbackAddress } from '../../contract/web-access.ts'
import { listenWeb, type WebListener } from '../../node/web-listener.ts'
import { requestListener } from '../../node/web-requests.ts'
import { type AdminParts, adminApp } from './app.ts'

/** Opens frpc's admin API on `webServer.port`; rejects when the port cannot be opened. */
export async function openAdmin(
  webServer: FrpcOptions['webServer'],
  parts: Omit<AdminParts, 'webServer' | 'isLoopback'>,
): Promise<WebListener> {
  const { addr, port, tls, user, password } = webServer
  const isLoopback = isLoopbackAddress(addr)
  const app = adminApp({ ...parts, webServer, isLoopback })
  const listener = await listenWeb({
    addr,
    port,
    tls,
    onRequest: requestListener((request, address) => app.fetch(request, { address })),
  })
  const { log } = parts.runtime
  log.info(`admin server listen on ${formatAddress(addr, listener.port)}`)
  if (user === '' && password === '') {
    const who = isLoopback ? 'whoever is on this machine' : 'anyone who can connect, for reading'
    log.warn(`webServer.password is not set: the admin API is open to ${who}`)
  }
  return listener
}
