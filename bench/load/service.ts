import { constants } from 'node:crypto'
import { createSocket } from 'node:dgram'
import net from 'node:net'
import tls from 'node:tls'
import { selfSigned } from '../../node/certificate.ts'
import { ASK_DOWN, ASK_STALL, ASK_UP, serve, VHOST } from './commands.ts'
import { discard, flood } from './fast-socket.ts'

// The services behind the tunnel: node service.ts KIND:PORT [KIND:PORT ...], with kinds echo, bulk, tls, http, udp

const BODY = 'x'.repeat(256)
const KEEP_ALIVE = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 256\r\n\r\n${BODY}`)
const CLOSE = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 256\r\nConnection: close\r\n\r\n${BODY}`,
)
const END_OF_HEAD = Buffer.from('\r\n\r\n')

let received = 0

type OnConnection = (socket: net.Socket) => void

/** Connections are cut by tests of load: their errors tell nothing. */
function listen(port: number, onConnection: OnConnection, create = plainServer): Promise<void> {
  const server = create((socket) => {
    socket.on('error', () => {})
    onConnection(socket)
  })
  return new Promise((resolve) => server.listen(port, '127.0.0.1', 4096, resolve))
}

function plainServer(onConnection: OnConnection): net.Server {
  return net.createServer({ noDelay: true, allowHalfOpen: false }, onConnection)
}

/** Every handshake is a whole one: no ticket is given that a user could come back with. */
function tlsServer(onConnection: OnConnection): net.Server {
  return tls.createServer(
    { ...selfSigned([VHOST]), noDelay: true, secureOptions: constants.SSL_OP_NO_TICKET },
    onConnection,
  )
}

function echo(socket: net.Socket): void {
  socket.on('data', (chunk) => socket.write(chunk))
}

/** Who asks for nothing gets an echo. */
function bulk(socket: net.Socket): void {
  socket.once('data', (ask) => {
    if (ask[0] === ASK_UP) {
      received += ask.length - 1
      socket.pause()
      discard(socket, (length) => {
        received += length
      })
    } else if (ask[0] === ASK_DOWN) flood(socket)
    else if (ask[0] === ASK_STALL) socket.pause()
    else {
      socket.write(ask)
      echo(socket)
    }
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

function udp(port: number): Promise<void> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 })
  socket.on('message', (bytes, from) => socket.send(bytes, from.port, from.address))
  return new Promise((resolve) => socket.bind(port, '127.0.0.1', resolve))
}

const KINDS: Record<string, (port: number) => Promise<void>> = {
  echo: (port) => listen(port, echo),
  bulk: (port) => listen(port, bulk),
  tls: (port) => listen(port, bulk, tlsServer),
  http: (port) => listen(port, http),
  udp,
}

serve(async (command) => {
  if (command.do === 'bytes') return { received }
  throw new Error(`a service does not know ${command.do}`)
})
for (const pair of process.argv.slice(2)) {
  const [kind = '', port] = pair.split(':')
  const start = KINDS[kind]
  if (start === undefined) throw new Error(`no service ${pair}`)
  await start(Number(port))
}
process.send?.('listening')
