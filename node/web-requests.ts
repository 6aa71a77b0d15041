import type { IncomingMessage, RequestListener } from 'node:http'

/** Answers a request; `peer` is the address that the connection comes from. */
export type Fetch = (request: Request, peer: string) => Response | Promise<Response>

/**
 * A listener for Node's HTTP server that answers by `fetch`. What translates between the two is loaded with the
 * first request: it costs a fifth of the time in which a program starts, and most relays and clients never see one.
 */
export function requestListener(fetch: Fetch): RequestListener {
  let loaded: Promise<ReturnType<Translation['getRequestListener']>> | undefined
  return async (request, response) => {
    loaded ??= import('@hono/node-server').then(({ getRequestListener }) =>
      getRequestListener((asked, { incoming }) => fetch(asked, peerOf(incoming))),
    )
    const answer = await loaded
    await answer(request, response)
  }
}

type Translation = typeof import('@hono/node-server')

function peerOf({ socket }: Pick<IncomingMessage, 'socket'>): string {
  return socket.remoteAddress ?? ''
}
