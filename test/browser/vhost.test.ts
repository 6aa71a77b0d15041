import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { CleanUp, freePorts, startClient } from '../e2e/client-rig.ts'
import { startRelay } from '../e2e/frps-rig.ts'
import { EDGE_TOKEN, Edge } from '../e2e/workerd-rig.ts'
import { CHROMIUM, startBrowser } from './chromium.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const FILES = 300

const PAGE = `<!doctype html><title>behind the tunnel</title><ul id="log"></ul>
<script>
const log = (text) => { const li = document.createElement('li'); li.textContent = text; document.getElementById('log').append(li) }
const socket = new WebSocket('ws://' + location.host + '/echo')
socket.onopen = () => socket.send('ping')
socket.onmessage = (event) => { log('socket ' + event.data); socket.close(4001, 'enough') }
socket.onclose = (event) => log('closed ' + event.code + ' ' + event.reason)
const events = new EventSource('/events')
events.onmessage = (event) => { log('event ' + event.data); if (event.data === '3') events.close() }
Promise.all(Array.from({ length: ${FILES} }, (_, i) => fetch('/file/' + i).then((r) => r.text())))
  .then((texts) => log('files ' + texts.filter((text, i) => text === 'file ' + i).length))
</script>`

/** A web server with a page, small files, a WebSocket echo and an event stream. */
async function site(): Promise<number> {
  const server = createServer((request, response) => {
    const file = /^\/file\/(\d+)$/.exec(request.url ?? '')
    if (file !== null) response.end(`file ${file[1]}`)
    else if (request.url === '/events') {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' })
      for (const number of [1, 2, 3]) response.write(`data: ${number}\n\n`)
    } else response.writeHead(200, { 'Content-Type': 'text/html' }).end(PAGE)
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.on('message', (text) => socket.send(`echo of ${text}`)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanUp.add(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port // it listens on TCP
}

const TOKEN = 'browser-token'

/** Where a relay takes clients, and users. */
interface Ways {
  serverPort: number
  userPort: number
  transport: object
}

async function onVm(): Promise<Ways> {
  const [bindPort = 0, vhostHTTPPort = 0] = await freePorts(2)
  await startRelay(cleanUp, { bindPort, vhostHTTPPort, auth: { token: TOKEN } })
  return { serverPort: bindPort, userPort: vhostHTTPPort, transport: {} }
}

async function onEdge(): Promise<Ways> {
  const { port } = await Edge.start(cleanUp)
  return { serverPort: port, userPort: port, transport: { protocol: 'websocket', tls: { enable: false } } }
}

it.skipIf(CHROMIUM === undefined).each([
  { name: 'a VM', start: onVm, token: TOKEN },
  { name: 'the edge', start: onEdge, token: EDGE_TOKEN },
])(
  'a browser sees a page with a WebSocket, an event stream and many files through $name',
  async ({ start, token }) => {
    const { serverPort, userPort, transport } = await start()
    const client = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort,
      auth: { token },
      transport,
      proxies: [{ name: 'site', type: 'http', localPort: await site(), customDomains: ['127.0.0.1'] }],
    })
    await client.lines.waitFor('[site] start proxy success')
    const browser = await startBrowser()
    cleanUp.add(() => browser.close())
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${userPort}/`)
    const wanted = ['socket echo of ping', 'closed 4001 enough', 'event 1', 'event 2', 'event 3', `files ${FILES}`]
    for (const text of wanted) await page.getByText(text, { exact: true }).waitFor()
    expect((await page.locator('li').allTextContents()).sort()).toEqual([...wanted].sort())
  },
  60_000,
)
