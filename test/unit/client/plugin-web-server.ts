import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { selfSigned } from '../../../node/certificate.ts'
import type { CleanUp } from '../../e2e/client-rig.ts'

/** A web server on loopback, with TLS or without. */
export async function webServer(
  cleanUp: CleanUp,
  onRequest: RequestListener,
  isTls = false,
  { allowHalfOpen = false } = {},
): Promise<string> {
  const server = isTls ? createTlsServer(selfSigned(['localhost']), onRequest) : createServer(onRequest)
  Object.assign(server, { httpAllowHalfOpen: allowHalfOpen })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanUp.add(() => {
    server.closeAllConnections()
    server.close()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}` // listening on an address, not on a path
}

/** Answers with the fields of the request, one a line, and its body. */
export const telling: RequestListener = (request, response) => {
  const parts: Buffer[] = []
  request.on('data', (part: Buffer) => parts.push(part))
  request.on('end', () => {
    const { rawHeaders } = request
    const lines = rawHeaders.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${rawHeaders[i + 1]}`] : []))
    response.end([`${request.method} ${request.url}`, ...lines, '', Buffer.concat(parts)].join('\n'))
  })
}
