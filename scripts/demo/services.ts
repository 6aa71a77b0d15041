import { createSocket } from 'node:dgram'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net'
import { WebSocketServer } from 'ws'

/** Local ports of the services that stand for what a user has behind NAT. */
export interface Services {
  web: number
  ssh: number
  udp: number
}

/** What the demo's services say, so that a route can be checked to the letter. */
export const BANNER = 'SSH-2.0-demo\r\n'
export const EVENTS = ['one', 'two', 'three']

const PAGE = `<!doctype html>
<meta charset="utf-8"><title>behind the tunnel</title>
<body style="font-family: sans-serif; max-width: 40em; margin: 3em auto">
<h1>This page is served behind the tunnel</h1>
<ul id="log"></ul>
<script>
const log = (text) => { const li = document.createElement('li'); li.textContent = text; document.getElementById('log').append(li) }
const socket = new WebSocket(location.href.replace(/^http/, 'ws').replace(/[^/]*$/, 'echo'))
socket.onopen = () => socket.send('hello')
socket.onmessage = (event) => log('WebSocket: ' + event.data)
const events = new EventSource('events')
events.onmessage = (event) => log('event: ' + event.data)
events.onerror = () => events.close()
</script>
`

/** Starts a web page with a WebSocket echo and an event stream, a TCP service with a banner, and a UDP echo. */
export async function startServices(): Promise<Services> {
  const web = createServer((request, response) => {
    if (request.url === '/events') {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' })
      for (const event of EVENTS) response.write(`data: ${event}\n\n`)
      response.end()
    } else if (request.method === 'POST') {
      request.pipe(response)
    } else {
      response.writeHead(200, { 'Content-Type': 'text/html' }).end(PAGE)
    }
  })
  const sockets = new WebSocketServer({ server: web })
  sockets.on('connection', (socket) => socket.on('message', (text) => socket.send(`echo of ${text}`)))
  const ssh = createTcpServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy())
    socket.write(BANNER)
    socket.pipe(socket)
  })
  const udp = createSocket('udp4')
  udp.on('message', (payload, from) => udp.send(payload, from.port, from.address))
  await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve))
  return { web: await listening(web), ssh: await listening(ssh), udp: udp.address().port }
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port // it listens on TCP
}
