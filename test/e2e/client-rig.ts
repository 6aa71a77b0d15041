import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { Service } from '../../client/service.ts'
import { completeFrpc } from '../../config/load.ts'
import { messageOf } from '../../contract/errors.ts'
import { createLineLog } from '../../node/log.ts'
import { nodeRuntime } from '../../node/runtime.ts'

/** Runs what was opened backwards, so that a test leaves nothing behind. */
export class CleanUp {
  private readonly steps: (() => void | Promise<void>)[] = []

  add(step: () => void | Promise<void>): void {
    this.steps.push(step)
  }

  async run(): Promise<void> {
    for (const step of this.steps.splice(0).reverse()) await step()
  }
}

/** The lines of a client, and a way to wait for one. */
export class Lines {
  readonly lines: string[] = []
  private waiting: { text: string; found: (line: string) => void }[] = []

  add(line: string): void {
    this.lines.push(line)
    for (const one of this.waiting.filter(({ text }) => line.includes(text))) one.found(line)
    this.waiting = this.waiting.filter(({ text }) => !line.includes(text))
  }

  /** The first line with `text`, from `since` on. */
  waitFor(text: string, since = 0): Promise<string> {
    const known = this.lines.slice(since).find((line) => line.includes(text))
    if (known !== undefined) return Promise.resolve(known)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`no line with ${JSON.stringify(text)} in:\n${this.lines.slice(-40).join('')}`))
      }, 15_000)
      this.waiting.push({
        text,
        found: (line) => {
          clearTimeout(timer)
          resolve(line)
        },
      })
    })
  }
}

export interface TestClient {
  service: Service
  lines: Lines
  /** Resolves when the client is closed, with the error of a first login that failed. */
  over: Promise<Error | undefined>
}

/** A client in this process; `config` is shaped like frpc.toml. Its clock may run `speed` times as fast as ours. */
export function startClient(cleanUp: CleanUp, config: object, speed = 1): TestClient {
  const lines = new Lines()
  const sink = { write: (line: string) => lines.add(line), close: async () => undefined }
  const { options } = completeFrpc(config)
  const runtime = nodeRuntime(createLineLog(sink, 'trace', false))
  const service = new Service(options, {
    ...runtime,
    monotonicMs: () => runtime.monotonicMs() * speed,
    after: (delayMs, run) => runtime.after(delayMs / speed, run),
  })
  const over = service.run().then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error : new Error(messageOf(error))),
  )
  cleanUp.add(async () => {
    service.close()
    await over
  })
  return { service, lines, over }
}

/** A TCP server on a port of its own; its connections end with the test. */
export function listenTcp(cleanUp: CleanUp, onSocket: (socket: Socket) => void, port = 0): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    onSocket(socket)
  })
  const closeAll = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return listening(cleanUp, server, closeAll, port)
}

/** Sends back what comes, and half-closes when the other side did. */
export function echoTcp(cleanUp: CleanUp): Promise<number> {
  return listenTcp(cleanUp, (socket) => socket.pipe(socket))
}

/** Answers each request with its own body. */
export function echoHttp(cleanUp: CleanUp): Promise<number> {
  const server = createHttpServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => response.end(Buffer.concat(parts)))
  })
  return listening(cleanUp, server, () => server.closeAllConnections())
}

/** Sends each datagram back. */
export function echoUdp(cleanUp: CleanUp): Promise<number> {
  const socket = createSocket('udp4')
  socket.on('message', (payload, from) => socket.send(payload, from.port, from.address))
  return new Promise((resolve) => {
    socket.bind(0, '127.0.0.1', () => {
      cleanUp.add(() => closeUdp(socket))
      resolve(socket.address().port)
    })
  })
}

function closeUdp(socket: UdpSocket): Promise<void> {
  return new Promise((resolve) => socket.close(() => resolve()))
}

function listening(cleanUp: CleanUp, server: Server, closeAll: () => void, port = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      cleanUp.add(() => {
        closeAll()
        server.close()
      })
      resolve((server.address() as AddressInfo).port) // listening on an address, not on a path
    })
  })
}

/** Ports that were free a moment ago, for processes that must be told a number. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = []
  const ports: number[] = []
  for (let i = 0; i < count; i++) {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    servers.push(server)
    ports.push((server.address() as AddressInfo).port) // as above
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** How a conversation over TCP ended. */
export interface Ending {
  bytes: Buffer
  /** The peer's FIN came. */
  ended: boolean
  error: Error | undefined
}

/** Sends `bytes`, half-closes if asked, and reads until the connection is over. */
export function converse(
  port: number,
  bytes: Uint8Array,
  options: { end?: boolean; until?: number; onData?: () => void } = {},
): Promise<Ending> {
  return new Promise((resolve) => {
    const parts: Buffer[] = []
    let length = 0
    const ending: Ending = { bytes: Buffer.alloc(0), ended: false, error: undefined }
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('error', (error) => {
      ending.error = error
    })
    socket.on('data', (part) => {
      parts.push(part)
      length += part.length
      options.onData?.()
      if (options.until !== undefined && length >= options.until) socket.destroy()
    })
    socket.on('end', () => {
      ending.ended = true
      socket.end()
    })
    socket.on('close', () => {
      ending.bytes = Buffer.concat(parts)
      resolve(ending)
    })
    socket.write(bytes)
    if (options.end === true) socket.end()
  })
}

/** Sends a datagram until one comes back: the path behind a udp proxy opens a moment after its answer. */
export function askUdp(port: number, payload: Uint8Array): Promise<Buffer> {
  const socket = createSocket('udp4')
  return new Promise((resolve, reject) => {
    const send = (): void => socket.send(payload, port, '127.0.0.1')
    const again = setInterval(send, 200)
    const tooLate = setTimeout(() => finish(() => reject(new Error(`no datagram back from port ${port}`))), 10_000)
    const finish = (then: () => void): void => {
      clearInterval(again)
      clearTimeout(tooLate)
      socket.close(then)
    }
    socket.on('message', (answer) => finish(() => resolve(answer)))
    send()
  })
}
