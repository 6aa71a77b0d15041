import { createSocket } from 'node:dgram'
import net from 'node:net'
import { ASK_DOWN, ASK_UP, serve } from './commands.ts'
import { discard, flood } from './fast-socket.ts'

// The services behind the tunnel, one kind a process: node service.ts echo|bulk|http|udp PORT

const BODY = 'x'.repeat(256)
const KEEP_ALIVE = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 256\r\n\r\n${BODY}`)
const CLOSE = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 256\r\nConnection: close\r\n\r\n${BODY}`,
)
const END_OF_HEAD = Buffer.from('\r\n\r\n')

let received = 0
const kind = process.argv[2]
const port = Number(process.argv[3])

/** Connections are cut by tests of load: their errors tell nothing. */
function listen(onConnection: (socket: net.Socket) => void): void {
  const server = net.createServer({ noDelay: true, allowHalfOpen: false }, (socket) => {
    socket.on('error', () => {})
    onConnection(socket)
  })
  server.listen(port, '127.0.0.1', 4096, () => process.send?.('listening'))
}

function echo(socket: net.Socket): void {
  socket.on('data', (chunk) => socket.write(chunk))
}

function bulk(socket: net.Socket): void {
  socket.once('data', (ask) => {
    received += ask.length - 1
    socket.pause()
    if (ask[0] === ASK_DOWN) {
      flood(socket)
      socket.resume()
    } else if (ask[0] === ASK_UP) {
      discard(socket, (length) => {
        received += length
      })
    }
    // ASK_STALL: it stays paused.
  })
}

/** Requests have no body; several may come in one chunk, and one in several. */
function http(socket: net.Socket): void {
  let rest: Buffer | undefined
  socket.on('data', (chunk) => {
    let bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk])
    rest = undefined
    for (let end = bytes.indexOf(END_OF_HEAD); end >= 0; end = bytes.indexOf(END_OF_HEAD)) {
      const isLast = bytes.subarray(0, end).includes('Connection: close')
      if (isLast) socket.end(CLOSE)
      else socket.write(KEEP_ALIVE)
      bytes = bytes.subarray(end + END_OF_HEAD.length)
    }
    if (bytes.length > 0) rest = bytes
  })
}

function udp(): void {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 })
  socket.on('message', (bytes, from) => socket.send(bytes, from.port, from.address))
  socket.bind(port, '127.0.0.1', () => process.send?.('listening'))
}

if (kind === 'udp') udp()
else if (kind === 'echo') listen(echo)
else if (kind === 'bulk') listen(bulk)
else if (kind === 'http') listen(http)
else throw new Error(`no service ${kind}`)

serve(async (command) => {
  if (command.do === 'bytes') return { received }
  throw new Error(`a service does not know ${command.do}`)
})
