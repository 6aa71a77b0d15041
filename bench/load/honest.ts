import net from 'node:net'
import { loginFrame } from '../../test/faults/hostile-client.ts'
import { frame, upgrade } from '../../test/faults/hostile-peer.ts'
import { HONEST_PATIENCE_MS, ORIGIN, type Percentiles, serve, TOKEN } from './commands.ts'

// Who comes to a relay in good faith while it is attacked: clients that log in, users who want an echo. They come at
// a rate whatever the answers do, so that who waits is counted for as long as he waits.

const LOGIN_EVERY_MS = 50
const REQUEST_EVERY_MS = 20
const HELLO = Buffer.alloc(64, 2)
const LOGIN = frame(loginFrame({}, TOKEN))

function dial(port: number): net.Socket {
  return net.connect({ port, host: '127.0.0.1', noDelay: true }).on('error', () => {})
}

/** Over WebSocket, as the clients of configs/ do. */
function logIn(port: number, done: () => void): net.Socket {
  let text = ''
  const socket = dial(port)
  socket.on('data', (chunk) => {
    const isUpgraded = text.includes('\r\n\r\n')
    text += chunk.toString('latin1')
    if (!isUpgraded && text.includes('\r\n\r\n')) socket.write(LOGIN)
    if (text.includes('"run_id"')) done()
  })
  socket.write(upgrade(port, ORIGIN))
  return socket
}

function request(port: number, done: () => void): net.Socket {
  let left = HELLO.length
  const socket = dial(port)
  socket.on('data', (chunk) => {
    left -= chunk.length
    if (left <= 0) done()
  })
  socket.write(HELLO)
  return socket
}

/** Starts one more each time; an answer that does not come, and an end without one, is a wait until patience ends. */
async function every(
  everyMs: number,
  durationMs: number,
  start: (done: () => void) => net.Socket,
): Promise<Percentiles> {
  const tries: Promise<number>[] = []
  const once = (): Promise<number> =>
    new Promise((resolve) => {
      const startedAt = performance.now()
      const finish = (elapsedMs: number): void => {
        clearTimeout(timer)
        resolve(elapsedMs)
        socket.destroy()
      }
      const timer = setTimeout(() => finish(HONEST_PATIENCE_MS), HONEST_PATIENCE_MS)
      const socket = start(() => finish(performance.now() - startedAt))
    })
  await new Promise<void>((resolve) => {
    const startedAt = performance.now()
    const timer = setInterval(() => {
      const elapsedMs = performance.now() - startedAt
      while (tries.length * everyMs < Math.min(elapsedMs, durationMs)) tries.push(once())
      if (elapsedMs < durationMs) return
      clearInterval(timer)
      resolve()
    }, 1)
  })
  const sorted = (await Promise.all(tries)).sort((a, b) => a - b)
  const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
  return { p50Ms: at(0.5), p99Ms: at(0.99) }
}

serve(async (command) => {
  if (command.do !== 'honest') throw new Error(`honest users do not know ${command.do}`)
  const { bind, echo, durationMs } = command
  const [login, answer] = await Promise.all([
    every(LOGIN_EVERY_MS, durationMs, (done) => logIn(bind, done)),
    every(REQUEST_EVERY_MS, durationMs, (done) => request(echo, done)),
  ])
  return { login, request: answer }
})
process.send?.('ready')
