import type { FrpcOptions } from '../../config/frpc.ts'
import { parseVisitServer, type VisitServer } from '../../config/visits.ts'

/**
 * A client that only visits: nothing is offered, and its login takes nothing over from the client whose file this
 * is. With `server` it goes there instead; the name and the files of TLS that belong to the other host are left out.
 */
export function visitorOptions(options: FrpcOptions, server?: VisitServer, token?: string): FrpcOptions {
  const { edgefrp, given } = options
  const own = { ...options, ...visiting(options), ...(server === undefined ? {} : elsewhere(options, server)) }
  return {
    ...own,
    ...(token === undefined ? {} : { auth: { ...own.auth, method: 'token', token, tokenSource: undefined } }),
    // The relay lets a clientID log in once.
    clientID: '',
    proxies: [],
    visitors: [],
    edgefrp: {
      ...edgefrp,
      stateFile: '',
      visits: [],
      fallbackServers: server === undefined ? edgefrp.fallbackServers.map((one) => ({ ...one, ...visiting(one) })) : [],
    },
    given,
  }
}

/** The options of a visit of a file that has a server of its own. */
export function visitorOptionsAt(options: FrpcOptions, server: string, token: string): FrpcOptions {
  return visitorOptions(options, parseVisitServer(server), token)
}

/** No work connection will be asked for; and one connection for all, for the login holds for its own only. */
function visiting({ transport }: Pick<FrpcOptions, 'transport'>): Pick<FrpcOptions, 'transport'> {
  return { transport: { ...transport, poolCount: 0, tcpMux: true } }
}

function elsewhere(
  { transport }: FrpcOptions,
  server: VisitServer,
): Pick<FrpcOptions, 'serverAddr' | 'serverPort' | 'transport'> {
  const { serverAddr, serverPort, protocol, tls } = server
  return {
    serverAddr,
    serverPort,
    transport: {
      ...visiting({ transport }).transport,
      protocol,
      tls: { ...transport.tls, enable: tls, serverName: '' },
    },
  }
}
