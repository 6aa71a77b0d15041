import { once } from 'node:events'
import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestOptions,
  request,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import type { CleanUp } from '../client-rig.ts'
import { dialUser, endingOf } from './sockets.ts'

export interface WebServer {
  port: number
  server: Server
  /** Connections that were made to it. */
  connections: number
}

/** A web server behind a tunnel. */
export async function webServer(
  cleanUp: CleanUp,
  onRequest: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<WebServer> {
  const server = createServer(onRequest)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const web: WebServer = { port: (server.address() as AddressInfo).port, server, connections: 0 } // an address, no path
  server.on('connection', () => {
    web.connections += 1
  })
  cleanUp.add(() => {
    server.closeAllConnections()
    server.close()
  })
  return web
}

/** Tells what it was asked: method, URL and header fields, as JSON. */
export function telling(word = ''): (request: IncomingMessage, response: ServerResponse) => void {
  return (asked, response) => {
    const { method, url, headers, rawHeaders } = asked
    response.setHeader('Content-Type', 'application/json')
    response.end(JSON.stringify({ word, method, url, headers, rawHeaders }))
  }
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
}

/** One request with whatever fields, on a connection of its own unless `agent` says otherwise. */
export function ask(port: number, options: RequestOptions & { body?: string } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { body, ...rest } = options
    const asked = request({ host: '127.0.0.1', port, agent: new Agent(), ...rest }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
      response.on('error', reject)
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

/** What comes back for these bytes until the other side ends. Half-closes only then. */
export async function exchangeRaw(cleanUp: CleanUp, port: number, text: string): Promise<string> {
  const socket = dialUser(cleanUp, port)
  socket.write(text, 'latin1')
  socket.on('end', () => socket.end())
  const { bytes, error } = await endingOf(socket)
  if (error !== undefined) throw error
  return bytes.toString('latin1')
}

/** Credentials as Basic sends them. */
export function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}
