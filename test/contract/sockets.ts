import net from 'node:net'

/** Two connected TCP sockets of 127.0.0.1 with half-close, and what closes their listener. */
export async function connectedSockets(): Promise<[net.Socket, net.Socket, () => void]> {
  const server = net.createServer({ allowHalfOpen: true })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the listener has no port')
  const accepted = new Promise<net.Socket>((resolve) => server.once('connection', resolve))
  const dialed = net.connect({ port: address.port, host: '127.0.0.1', allowHalfOpen: true })
  await new Promise((resolve) => dialed.once('connect', resolve))
  return [dialed, await accepted, () => server.close()]
}
