import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import net from 'node:net'
import { CleanUp } from '../../test/e2e/client-rig.ts'
import { dataFrame, logIn, loginFrame, rawMessage, yamux } from '../../test/faults/hostile-client.ts'
import { frame, upgrade } from '../../test/faults/hostile-peer.ts'
import { ASK_DOWN, type AttackedPort, type AttackName, ORIGIN, serve, TOKEN } from './commands.ts'

// Attacks of a fixed size, so that what they cost can be compared. Each resolves when all of it was sent or the relay
// has closed; what the relay leaves open stays so until `stop`.

type Ports = Record<AttackedPort, number>

const LOOPS = 32
/** What a relay keeps longer than that counts as kept. */
const PATIENCE_MS = 500
const KIB = 1024

let cleanUp = new CleanUp()
let open: (net.Socket | UdpSocket)[] = []

function dial(port: number): Promise<net.Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => {})
  open.push(socket)
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(socket))
    // Refused: nothing more comes of it, which the next step sees.
    socket.once('close', () => resolve(socket))
  })
}

/** Many at once, but not all: the kernel's own queue of connections is not what is attacked. */
async function times(count: number, once: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const loop = async (): Promise<void> => {
    while (next < count) await once(next++)
  }
  await Promise.all(Array.from({ length: LOOPS }, loop))
}

/** Resolves when the peer closed, or patience is over. */
function closed(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, PATIENCE_MS)
    socket.once('close', () => {
      clearTimeout(timer)
      resolve()
    })
    if (socket.destroyed) socket.emit('close')
    socket.resume()
  })
}

/** Writes as fast as the peer reads; ends early when the peer closes or reads nothing for a while. */
async function pour(socket: net.Socket, chunks: number, chunk: (i: number) => Uint8Array): Promise<void> {
  for (let i = 0; i < chunks && !socket.destroyed; i++) {
    if (socket.write(chunk(i))) continue
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, PATIENCE_MS)
      const goOn = (): void => {
        clearTimeout(timer)
        socket.off('drain', goOn).off('close', goOn)
        resolve()
      }
      socket.once('drain', goOn).once('close', goOn)
    })
    if (socket.writableNeedDrain) return
  }
}

async function upgraded(port: number): Promise<net.Socket> {
  const socket = await dial(port)
  socket.write(upgrade(port, ORIGIN))
  await Promise.race([new Promise((resolve) => socket.once('data', resolve)), closed(socket)])
  return socket
}

/** A connection whose login was accepted and that from then on plays bytes. */
async function loggedIn(port: number): Promise<net.Socket> {
  const socket = await dial(port)
  socket.write(loginFrame({}, TOKEN))
  await Promise.race([new Promise((resolve) => socket.once('data', resolve)), closed(socket)])
  return socket
}

const LIES = [
  rawMessage('o', '', 0x7fff_ffff_ffff_ffffn),
  rawMessage('o', '', -1n),
  rawMessage('o', '', 10_241n),
  dataFrame(1, rawMessage('o', '', 1n << 62n), 1),
  yamux(0, 1, 1, 0xffff_ffff),
  Buffer.concat([yamux(1, 1, 1, 0), yamux(1, 0, 1, 0xffff_ffff)]),
  Buffer.of(0xee, 0xff, 0xff, 0xff),
] as const
const BODY = Buffer.alloc(64 * KIB, 'x')

/** 50 commands of one kind in one write. */
function batch(i: number, make: (n: number) => Uint8Array): Buffer {
  return Buffer.concat(Array.from({ length: 50 }, (_, j) => make(50 * i + j)))
}

/** The streams of a client are odd, the first is its login. */
const streamId = (n: number): number => 3 + 2 * n

const ATTACKS: Record<AttackName, (ports: Ports) => Promise<unknown>> = {
  nothing: async () => {},
  heads: ({ bind }) => times(2_000, async () => (await dial(bind)).write('GET /~!frp HTTP/1.1\r\nHost: ')),
  silent: ({ bind }) => times(1_000, () => upgraded(bind)),
  lengths: ({ bind }) =>
    times(1_000, async (i) => {
      const socket = await dial(bind)
      socket.write(LIES[i % LIES.length] ?? '')
      await closed(socket)
      socket.destroy()
    }),
  'strangers-streams': ({ bind }) =>
    times(50, async () => pour(await dial(bind), 50, (i) => dataFrame(1 + 2 * i, BODY, 1))),
  fragments: ({ bind }) =>
    times(20, async () => {
      const socket = await upgraded(bind)
      socket.write(frame(loginFrame({}, TOKEN)))
      const ping = yamux(2, 1, 0, 1)
      await pour(socket, 200, (i) =>
        batch(i, (n) => frame(ping.subarray(n % 12, (n % 12) + 1), { opcode: n === 0 ? 2 : 0, isFinal: false })),
      )
    }),
  streams: async ({ bind }) => pour(await loggedIn(bind), 400, (i) => batch(i, (n) => yamux(1, 1, streamId(n), 0))),
  readers: ({ bulk }) =>
    times(64, async () => {
      const socket = await dial(bulk)
      socket.pause()
      socket.write(Buffer.of(ASK_DOWN))
    }),
  pings: async ({ bind }) => {
    const socket = await loggedIn(bind)
    socket.pause()
    await pour(socket, 6_000, (i) => batch(i, (n) => yamux(2, 1, 0, n)))
  },
  churn: async ({ bind }) =>
    pour(await loggedIn(bind), 2_000, (i) =>
      batch(i, (n) => Buffer.concat([yamux(1, 1, streamId(n), 0), yamux(1, 8, streamId(n), 0)])),
    ),
  tokens: ({ bind }) =>
    times(5_000, async () => {
      const socket = await dial(bind)
      socket.write(loginFrame({}, 'wrong'))
      await Promise.race([new Promise((resolve) => socket.once('data', resolve)), closed(socket)])
      socket.destroy()
    }),
  proxies: async ({ bind }) => {
    const client = await logIn(cleanUp, bind, {}, TOKEN)
    for (let i = 0; i < 15_000; i++) {
      const name = `name-${i}`
      client.send({
        type: 'NewProxy',
        proxy_name: name,
        proxy_type: 'http',
        custom_domains: [`${name}.example`],
      })
      client.send({ type: 'CloseProxy', proxy_name: name })
      if (i % 100 === 99 && !client.isControlClosed) await client.pong()
    }
  },
  datagrams: ({ udp }) =>
    times(6_000, async () => {
      const socket = createSocket('udp4')
      socket.on('error', () => {})
      open.push(socket)
      await new Promise<void>((resolve) => socket.send('x', udp, '127.0.0.1', () => resolve()))
    }),
  'long-heads': ({ vhost }) =>
    times(2_000, async () => {
      const socket = await dial(vhost)
      socket.write('GET / HTTP/1.1\r\nHost: a\r\nX: ')
      await pour(socket, 2, () => BODY)
      socket.write('\r\n\r\n')
      await Promise.race([new Promise((resolve) => socket.once('data', resolve)), closed(socket)])
      socket.destroy()
    }),
  sockets: ({ bind }) => times(9_000, () => dial(bind)),
}

async function stop(): Promise<void> {
  for (const one of open) {
    if (one instanceof net.Socket) one.destroy()
    else one.close()
  }
  open = []
  await cleanUp.run()
  cleanUp = new CleanUp()
}

serve(async (command) => {
  if (command.do === 'attack') await ATTACKS[command.name](command.ports)
  else if (command.do === 'stop') await stop()
  else throw new Error(`an attacker does not know ${command.do}`)
  return null
})
process.send?.('ready')
