import { socketStream } from '../../node/socket.ts'
import type { ByteStream, Link } from '../../protocol/stream/byte-stream.ts'
import { pair } from '../../protocol/stream/pair.ts'
import { Session } from '../../protocol/yamux/session.ts'
import { byteStreamContract } from './byte-stream.ts'
import { connectedSockets } from './sockets.ts'

/** A window of 6 MiB, and a chunk that waits for the rest of it. */
const WINDOW_BYTES = 6 * 1024 * 1024 + 64 * 1024

function nowMs(): number {
  return performance.now()
}

async function streamsOver(a: Link, b: Link): Promise<[ByteStream, ByteStream]> {
  const client = new Session(a, { role: 'client', nowMs })
  const opened = new Promise<ByteStream>((resolve) => {
    const server = new Session(b, { role: 'server', nowMs, onStream: resolve })
    server.start()
  })
  client.start()
  const stream = client.open()
  return [stream, await opened]
}

byteStreamContract(
  'yamux stream over a pair',
  async () => {
    const [a, b] = pair()
    return [...(await streamsOver(a, b)), () => a.destroy()]
  },
  { boundBytes: WINDOW_BYTES },
)

byteStreamContract(
  'yamux stream over net.Socket',
  async () => {
    const [a, b, close] = await connectedSockets()
    const [linkA, linkB] = [socketStream(a), socketStream(b)]
    const [client, server] = await streamsOver(linkA, linkB)
    return [
      server,
      client,
      () => {
        linkA.destroy()
        linkB.destroy()
        close()
      },
    ]
  },
  { boundBytes: WINDOW_BYTES },
)
