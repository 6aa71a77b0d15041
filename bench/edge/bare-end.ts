import net from 'node:net'
import { WebSocket } from 'ws'
import { TARGETS } from '../chains.ts'

// The ends of the bare chain: node bare-end.ts answer PORT | near PORT LISTEN_PORT

const PIECE = Buffer.alloc(64 * 1024, 1)
/** What the WebSocket may hold unsent. */
const MAX_BUFFERED = 1024 * 1024
const [, , kind, relayPort, listenPort] = process.argv

function connect(tag: string): WebSocket {
  return new WebSocket(`ws://127.0.0.1:${relayPort}/${tag}`, { perMessageDeflate: false })
}

function opened(socket: WebSocket): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(socket))
    socket.once('error', reject)
  })
}

function flood(socket: WebSocket, bytes: number): void {
  let left = bytes
  const more = (): void => {
    while (left > 0 && socket.bufferedAmount < MAX_BUFFERED) {
      const piece = left < PIECE.length ? PIECE.subarray(0, left) : PIECE
      left -= piece.length
      socket.send(piece, more)
    }
  }
  more()
}

function bridge(tcp: net.Socket, socket: WebSocket): void {
  tcp.on('data', (chunk) => {
    socket.send(chunk, () => tcp.resume())
    if (socket.bufferedAmount > MAX_BUFFERED) tcp.pause()
  })
  tcp.on('close', () => socket.close())
  tcp.on('error', () => {})
  socket.on('message', (bytes: Buffer, isBinary) => {
    if (!isBinary || tcp.write(bytes)) return
    socket.pause()
    tcp.once('drain', () => socket.resume())
  })
  socket.on('close', () => tcp.destroy())
  socket.on('error', () => {})
}

async function answer(): Promise<void> {
  const socket = await opened(connect('answer'))
  socket.on('message', (message: Buffer, isBinary) => {
    if (isBinary) {
      socket.send(Buffer.concat([message, PIECE.subarray(0, 256)]))
      return
    }
    const text = message.toString()
    if (text.startsWith('bytes ')) flood(socket, Number(text.slice(6)))
    else {
      const tcp = net.connect({ port: TARGETS.bulk, host: '127.0.0.1', noDelay: true })
      const far = connect(text)
      far.once('open', () => bridge(tcp, far))
    }
  })
}

function near(): void {
  let count = 0
  const server = net.createServer({ noDelay: true, pauseOnConnect: true }, (tcp) => {
    const socket = connect(`near-${++count}`)
    // May come with the answer to the upgrade.
    socket.once('message', () => {
      bridge(tcp, socket)
      tcp.resume()
    })
  })
  server.listen(Number(listenPort), '127.0.0.1')
}

await (kind === 'answer' ? answer() : near())
