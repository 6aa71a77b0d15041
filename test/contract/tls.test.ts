import tls from 'node:tls'
import { socketStream } from '../../node/socket.ts'
import { clientTls, serverTls } from '../../node/tls.ts'
import { byteStreamContract } from './byte-stream.ts'
import { connectedSockets } from './sockets.ts'

const KERNEL_BYTES = 16 * 1024 * 1024

byteStreamContract(
  'tls.TLSSocket',
  async () => {
    const [rawClient, rawServer, close] = await connectedSockets()
    const server = serverTls({})
    const [client, accepted] = await Promise.all([
      clientTls(rawClient, { serverName: 'localhost' }),
      server.accept(rawServer),
    ])
    if (!(accepted instanceof tls.TLSSocket)) throw new Error('no TLS')
    return [socketStream(client, { raw: rawClient }), socketStream(accepted, { raw: rawServer }), close]
  },
  { boundBytes: KERNEL_BYTES, runs: 5 },
)
