import { socketStream } from '../../node/socket.ts'
import { byteStreamContract } from './byte-stream.ts'
import { connectedSockets } from './sockets.ts'

/** Send and receive buffers of the kernel on loopback (tcp_wmem and tcp_rmem, 4 and 6 MiB), and a chunk. */
const KERNEL_BYTES = 16 * 1024 * 1024

byteStreamContract(
  'net.Socket',
  async () => {
    const [a, b, close] = await connectedSockets()
    return [socketStream(a), socketStream(b), close]
  },
  { boundBytes: KERNEL_BYTES },
)
