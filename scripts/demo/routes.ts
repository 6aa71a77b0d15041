import { createSocket } from 'node:dgram'
import { request } from 'node:http'
import { connect } from 'node:net'
import { WebSocket } from 'ws'
import { BANNER, EVENTS } from './services.ts'

/** How long one route may take. */
const ROUTE_MS = 10_000
const LARGE_BYTES = 5_000_000

export interface Route {
  name: string
  url: string
  /** Resolves to what came back in short; rejects when it is not what was sent. */
  check(): Promise<string>
}

/** Routes through an http proxy, by its host name. */
export function httpRoutes(label: string, port: number, host: string): Route[] {
  const url = `http://127.0.0.1:${port}/`
  return [
    { name: `${label}: page`, url, check: () => page(port, host) },
    { name: `${label}: 5 MB there and back`, url, check: () => large(port, host) },
    { name: `${label}: event stream`, url: `${url}events`, check: () => events(port, host) },
    { name: `${label}: WebSocket`, url: `ws://127.0.0.1:${port}/echo`, check: () => webSocket(port, host) },
  ]
}

/** A TCP port that leads to the service with the banner; half-close included. */
export function tcpRoute(name: string, port: number): Route {
  return { name, url: `tcp://127.0.0.1:${port}`, check: () => banner(port) }
}

export function udpRoute(name: string, port: number): Route {
  return { name, url: `udp://127.0.0.1:${port}`, check: () => datagram(port) }
}

/** Runs a route; `isRight` is false when it failed or took too long. */
export async function tried(route: Route): Promise<{ result: string; ms: number; isRight: boolean }> {
  const start = performance.now()
  let timer: NodeJS.Timeout | undefined
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer in ${ROUTE_MS / 1000} s`)), ROUTE_MS)
    })
    const result = await Promise.race([route.check(), late])
    return { result, ms: performance.now() - start, isRight: true }
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    return { result: `FAILED: ${text}`, ms: performance.now() - start, isRight: false }
  } finally {
    clearTimeout(timer)
  }
}

function fetched(port: number, host: string, path: string, body?: Buffer): Promise<{ status: number; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST'
    const sent = request({ port, host: '127.0.0.1', path, method, headers: { Host: host } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }))
      response.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

async function page(port: number, host: string): Promise<string> {
  const { status, body } = await fetched(port, host, '/')
  if (status !== 200 || !body.includes('behind the tunnel')) throw new Error(`status ${status}`)
  return `200, ${body.length} bytes`
}

async function large(port: number, host: string): Promise<string> {
  const sent = Buffer.alloc(LARGE_BYTES, 'edgefrp ')
  const { body } = await fetched(port, host, '/', sent)
  if (!sent.equals(body)) throw new Error(`${body.length} other bytes came back`)
  return `${body.length} equal bytes`
}

async function events(port: number, host: string): Promise<string> {
  const { body } = await fetched(port, host, '/events')
  if (body.toString() !== EVENTS.map((event) => `data: ${event}\n\n`).join('')) throw new Error(body.toString())
  return EVENTS.join(', ')
}

function webSocket(port: number, host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/echo`, { headers: { Host: host }, perMessageDeflate: false })
    socket.on('error', reject)
    socket.on('open', () => socket.send('hello'))
    socket.on('message', (text) => {
      socket.close()
      if (String(text) === 'echo of hello') resolve(String(text))
      else reject(new Error(String(text)))
    })
  })
}

/** Sends a line and our FIN; the banner, the line and the service's FIN must come back. */
function banner(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    let received = ''
    socket.on('error', reject)
    socket.on('data', (bytes) => {
      received += bytes.toString()
    })
    socket.on('end', () => {
      socket.destroy()
      if (received === `${BANNER}hello`) resolve(`${BANNER.trim()}, echo after half-close`)
      else reject(new Error(`got ${JSON.stringify(received)}`))
    })
    socket.end('hello')
  })
}

function datagram(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    socket.on('error', reject)
    socket.on('message', (payload) => {
      socket.close()
      if (payload.toString() === 'hello') resolve('echo of 5 bytes')
      else reject(new Error(payload.toString()))
    })
    socket.send('hello', port, '127.0.0.1')
  })
}
