import { isIP } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { FrpcOptions } from '../../config/load.ts'
import { isLoopbackAddress } from '../../contract/web-access.ts'
import { listenWeb, type WebListener } from '../../node/web-listener.ts'
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
    onRequest: getRequestListener((request, { incoming }) =>
      app.fetch(request, { address: incoming.socket.remoteAddress ?? '' }),
    ),
  })
  const { log } = parts.runtime
  log.info(`admin server listen on ${isIP(addr) === 6 ? `[${addr}]` : addr}:${listener.port}`)
  if (user === '' && password === '') {
    const who = isLoopback ? 'whoever is on this machine' : 'anyone who can connect, for reading'
    log.warn(`webServer.password is not set: the admin API is open to ${who}`)
  }
  return listener
}
