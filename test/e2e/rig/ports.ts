import { createServer } from 'node:net'

/** Below the range from which systems take the ports of outgoing connections: those cannot get in our way. */
const FIRST = 21_000
const COUNT = 10_000

/** Ports that were free a moment ago, on TCP. Unlike ports that the system chooses, no outgoing connection takes them. */
export async function quietPorts(count: number): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < count) {
    const port = FIRST + Math.floor(Math.random() * COUNT)
    if (!ports.includes(port) && (await isFree(port))) ports.push(port)
  }
  return ports
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
