import type net from 'node:net'
import { fastWebsocket } from '../../node/fast-websocket.ts'
import { socketStream } from '../../node/socket.ts'
import { portableWebsocket } from '../../node/websocket.ts'
import type { WebsocketOptions } from '../../node/websocket-link.ts'
import type { Link } from '../../protocol/stream/byte-stream.ts'
import { pair } from '../../protocol/stream/pair.ts'
import { byteStreamContract } from './byte-stream.ts'
import { connectedSockets } from './sockets.ts'

const KERNEL_BYTES = 16 * 1024 * 1024

type Make = (socket: net.Socket, options: WebsocketOptions) => Link
const fast: Make = (socket, options) => fastWebsocket(socketStream(socket), options)
const portable: Make = portableWebsocket

const CASES: [string, Make, Make][] = [
  ['fast client, fast server', fast, fast],
  ['ws client, ws server', portable, portable],
  ['fast client, ws server', fast, portable],
  ['ws client, fast server', portable, fast],
]

for (const [name, makeClient, makeServer] of CASES) {
  for (const clientFirst of [true, false]) {
    byteStreamContract(
      `WebSocket (${name}), ${clientFirst ? 'client to server' : 'server to client'}`,
      async () => {
        const [a, b, close] = await connectedSockets()
        const client = makeClient(a, { role: 'client', isOwnPeer: true, maxMessageBytes: 1 << 20 })
        const server = makeServer(b, { role: 'server', isOwnPeer: true, maxMessageBytes: 1 << 20 })
        return clientFirst ? [client, server, close] : [server, client, close]
      },
      { boundBytes: KERNEL_BYTES, runs: 5 },
    )
  }
}

byteStreamContract(
  'WebSocket (fast) over a pair',
  async () => {
    const [a, b] = pair()
    return [
      fastWebsocket(a, { role: 'client', isOwnPeer: true, maxMessageBytes: 1 << 20 }),
      fastWebsocket(b, { role: 'server', isOwnPeer: true, maxMessageBytes: 1 << 20 }),
      () => {},
    ]
  },
  { boundBytes: 256 * 1024 },
)
