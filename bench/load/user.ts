import { createSocket } from 'node:dgram'
import net from 'node:net'
import tls from 'node:tls'
import { ASK_DOWN, ASK_STALL, ASK_UP, type Command, type Direction, type Door, serve, VHOST } from './commands.ts'
import { discard, flood } from './fast-socket.ts'

// The users in front of the tunnel: opens connections and measures, on command.

let received = 0
let open: net.Socket[] = []

const CONNECT = `CONNECT ${VHOST}:80 HTTP/1.1\r\nHost: ${VHOST}:80\r\n\r\n`
const CONNECTED = 'HTTP/1.1 200'

/** `onReady` is called when the user's own first byte may be written, at once where nothing has to come before. */
function dial({ port, via }: Door, onReady: (socket: net.Socket) => void): net.Socket {
  const to = { port, host: '127.0.0.1', noDelay: true }
  if (via === 'tls') {
    const socket = tls.connect({ ...to, servername: VHOST, rejectUnauthorized: false })
    onReady(socket)
    return socket
  }
  const socket = net.connect(to)
  if (via === undefined) {
    onReady(socket)
    return socket
  }
  let head = ''
  const onHead = (chunk: Buffer): void => {
    head += chunk.toString('latin1')
    if (!head.endsWith('\r\n\r\n')) return
    socket.off('data', onHead)
    if (head.startsWith(CONNECTED)) onReady(socket)
    else socket.destroy()
  }
  socket.on('data', onHead)
  socket.write(CONNECT)
  return socket
}

/** Rejects unless the user's own first byte may be written; an end later on tells nothing, a row misses its answer. */
function connect(door: Door): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    dial(door, (socket) => {
      if (socket.connecting) socket.once(door.via === 'tls' ? 'secureConnect' : 'connect', () => resolve(socket))
      else resolve(socket)
    })
      .on('error', reject)
      .on('close', () => reject(new Error(`port ${door.port}: closed at once`)))
  })
}

async function stream(door: Door, connections: number, direction: Direction): Promise<void> {
  for (let i = 0; i < connections; i++) {
    const socket = await connect(door)
    open.push(socket)
    socket.write(Buffer.from([direction === 'up' ? ASK_UP : ASK_DOWN]))
    if (direction === 'up') flood(socket)
    else {
      discard(socket, (length) => {
        received += length
      })
    }
  }
}

async function stall(port: number, direction: Direction): Promise<void> {
  const socket = await connect({ port })
  open.push(socket)
  socket.pause()
  socket.write(Buffer.from([direction === 'up' ? ASK_STALL : ASK_DOWN]))
  if (direction === 'up') flood(socket)
}

async function ping(door: Door, count: number, warmUp: number, size: number): Promise<unknown> {
  const socket = await connect(door)
  const times: number[] = []
  const bytes = Buffer.alloc(size, 1)
  await new Promise<void>((resolve, reject) => {
    let missing = size
    let sentAt = 0n
    const send = (): void => {
      sentAt = process.hrtime.bigint()
      socket.write(bytes)
    }
    socket.once('close', () => reject(new Error('ping: the connection was closed')))
    socket.on('data', (chunk) => {
      missing -= chunk.length
      if (missing > 0) return
      times.push(Number(process.hrtime.bigint() - sentAt) / 1000)
      missing = size
      if (times.length < count + warmUp) send()
      else resolve()
    })
    send()
  })
  socket.destroy()
  const sorted = times.slice(warmUp).sort((a, b) => a - b)
  const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
  return { p50Us: at(0.5), p99Us: at(0.99) }
}

const HELLO = Buffer.alloc(64, 2)
const NOT_AGAIN_MS = 10_000

/** Runs `loops` chains of `once`, which calls back with whether it went well, until the time is over. */
function repeat(loops: number, durationMs: number, once: (done: (isGood: boolean) => void) => void): Promise<unknown> {
  const startedAt = performance.now()
  let count = 0
  let errors = 0
  let running = loops
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('a loop hangs')), durationMs + NOT_AGAIN_MS)
    const next = (): void => {
      if (performance.now() - startedAt < durationMs) {
        once((isGood) => {
          if (isGood) count += 1
          else errors += 1
          next()
        })
        return
      }
      running -= 1
      if (running > 0) return
      clearTimeout(timer)
      resolve({ count, errors, elapsedMs: performance.now() - startedAt })
    }
    for (let i = 0; i < loops; i++) next()
  })
}

function connectOnce(door: Door, bytes: Buffer, expected: number, done: (isGood: boolean) => void): void {
  let left = expected
  const onReady = (socket: net.Socket): void => {
    socket.on('data', (chunk) => {
      left -= chunk.length
      if (left <= 0 && bytes === HELLO) socket.end()
    })
    socket.write(bytes)
  }
  dial(door, onReady)
    .on('error', () => {})
    .on('close', () => done(left <= 0))
}

/** What the service answers: learned once by asking, so that a proxy's own fields count too. */
async function answerLength(port: number, request: Buffer): Promise<number> {
  const socket = await connect({ port })
  return new Promise((resolve, reject) => {
    let text = ''
    socket.on('close', () => reject(new Error(`no whole answer: ${JSON.stringify(text)}`)))
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      const head = text.indexOf('\r\n\r\n')
      const length = /content-length: (\d+)/i.exec(text)
      if (head < 0 || length === null || !text.startsWith('HTTP/1.1 200')) return
      const whole = head + 4 + Number(length[1])
      if (text.length < whole) return
      resolve(whole)
      socket.destroy()
    })
    socket.write(request)
  })
}

async function http(port: number, connections: number, keepAlive: boolean, durationMs: number): Promise<unknown> {
  const fields = keepAlive ? '' : 'Connection: close\r\n'
  const request = Buffer.from(`GET /bench HTTP/1.1\r\nHost: ${VHOST}\r\nAccept: */*\r\n${fields}\r\n`)
  const expected = await answerLength(port, request)
  if (!keepAlive) return repeat(connections, durationMs, (done) => connectOnce({ port }, request, expected, done))
  const sockets = await Promise.all(Array.from({ length: connections }, () => connect({ port })))
  const idle = sockets.slice()
  const answer = await repeat(connections, durationMs, (done) => {
    const socket = idle.pop()
    if (socket === undefined) throw new Error('more loops than connections')
    if (socket.destroyed) {
      // A connection that was cut is an error, and another takes its place.
      connect({ port }).then(
        (other) => {
          idle.push(other)
          done(false)
        },
        () => done(false),
      )
      return
    }
    let left = expected
    const over = (isGood: boolean): void => {
      socket.off('data', onData)
      socket.off('close', onCut)
      idle.push(socket)
      done(isGood)
    }
    const onCut = (): void => over(false)
    const onData = (chunk: Buffer): void => {
      left -= chunk.length
      if (left <= 0) over(left === 0)
    }
    socket.on('data', onData)
    socket.on('close', onCut)
    socket.write(request)
  })
  for (const socket of sockets) socket.destroy()
  return answer
}

const UDP_USERS = 4

/** Evenly spread over a few users; what did not come back half a second later is lost. */
async function udp(port: number, perSecond: number, size: number, durationMs: number): Promise<unknown> {
  const bytes = Buffer.alloc(size, 3)
  let sent = 0
  let back = 0
  const sockets = await Promise.all(
    Array.from({ length: UDP_USERS }, async () => {
      const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 })
      socket.on('message', () => {
        back += 1
      })
      await new Promise<void>((resolve) => socket.connect(port, '127.0.0.1', resolve))
      return socket
    }),
  )
  const startedAt = performance.now()
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const elapsed = performance.now() - startedAt
      const due = Math.floor((Math.min(elapsed, durationMs) * perSecond) / 1000)
      for (; sent < due; sent++) sockets[sent % UDP_USERS]?.send(bytes)
      if (elapsed < durationMs) return
      clearInterval(timer)
      setTimeout(resolve, 500)
    }, 1)
  })
  for (const socket of sockets) socket.close()
  return { sent, received: back }
}

async function idle(port: number, connections: number): Promise<void> {
  const one = async (): Promise<void> => {
    const socket = await connect({ port })
    open.push(socket)
    const echoed = new Promise<void>((resolve, reject) => {
      socket.once('data', () => resolve())
      socket.once('close', () => reject(new Error('idle: a connection was closed')))
    })
    socket.write(Buffer.from([1]))
    await echoed
  }
  for (let left = connections; left > 0; left -= 50) {
    await Promise.all(Array.from({ length: Math.min(50, left) }, one))
  }
}

/** Deep inside a download. */
const ABORT_AFTER_BYTES = 1024 * 1024

/** A download that the user cuts. */
function abortOnce(port: number, done: () => void): void {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
  let left = ABORT_AFTER_BYTES
  socket.on('error', () => {})
  socket.on('close', done)
  socket.on('data', (chunk) => {
    left -= chunk.length
    if (left <= 0) socket.resetAndDestroy()
  })
  socket.write(Buffer.from([ASK_DOWN]))
}

async function abort(port: number, loops: number, count: number): Promise<void> {
  let left = count
  const loop = async (): Promise<void> => {
    while (left-- > 0) await new Promise<void>((resolve) => abortOnce(port, resolve))
  }
  await Promise.all(Array.from({ length: loops }, loop))
}

serve(async (command: Command) => {
  switch (command.do) {
    case 'stream':
      return stream(command, command.connections, command.direction)
    case 'stall':
      return stall(command.port, command.direction)
    case 'bytes':
      return { received }
    case 'stop':
      for (const socket of open) socket.destroy()
      open = []
      return null
    case 'ping':
      return ping(command, command.count, command.warmUp, command.size)
    case 'connect':
      return repeat(command.loops, command.durationMs, (done) => connectOnce(command, HELLO, HELLO.length, done))
    case 'http':
      return http(command.port, command.connections, command.keepAlive, command.durationMs)
    case 'udp':
      return udp(command.port, command.perSecond, command.size, command.durationMs)
    case 'idle':
      return idle(command.port, command.connections)
    case 'abort':
      return abort(command.port, command.loops, command.count)
    default:
      throw new Error(`a user does not know ${command.do}`)
  }
})
process.send?.('listening')
