import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Fields, ResponseHead } from '../../protocol/http1/head.ts'
import { rawOf, recordOf } from './http-fields.ts'

type Response = ServerResponse | Http2ServerResponse

/** RFC 9113 section 7. */
const INTERNAL_ERROR = 2
/** RFC 8297. */
const EARLY_HINTS = 103

/** Sends the head of an answer at once: the body may be an event stream that is silent for long. */
export function begin(response: Response, status: number, reason: string, fields: Fields): void {
  // Who goes away in the middle is told by 'close'.
  response.on('error', () => undefined)
  if ('stream' in response) response.writeHead(status, recordOf(fields))
  else {
    response.writeHead(status, reason, rawOf(fields))
    response.flushHeaders()
  }
}

/** Links that a server tells before its answer; other 1xx are of one hop. */
export function earlyHints(response: Response, { status, fields }: ResponseHead): void {
  const link = fields.getAll('link')
  if (status === EARLY_HINTS && link.length > 0) response.writeEarlyHints({ link })
}

/** Sends a piece of the body; `done` when its memory is free. */
export function send(response: Response, bytes: Buffer, done: () => void): void {
  if ('stream' in response) response.write(bytes, done)
  else response.write(bytes, done)
}

/** The answer is complete. */
export function answered(response: Response, trailers: Fields | undefined): void {
  if (trailers !== undefined) response.addTrailers(recordOf(trailers))
  response.end()
}

/** An answer of our own, without a body. */
export function fail(response: Response, status: number, reason: string): void {
  response.on('error', () => undefined)
  if ('stream' in response) response.writeHead(status)
  else response.writeHead(status, reason, ['Content-Length', '0'])
  response.end()
}

/** Breaks an answer off, so that it does not look complete. */
export function reset(response: Response, error: Error): void {
  if ('stream' in response) response.stream.close(INTERNAL_ERROR)
  else response.destroy(error)
}

/** Node gave the connection away; one ordinary answer more, and it ends. */
export function responseOn(request: IncomingMessage, socket: Duplex): ServerResponse {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  // Node's own server does the same with a Duplex; of a socket it uses what a Duplex has.
  response.assignSocket(socket as Socket)
  response.once('finish', () => {
    response.detachSocket(socket as Socket) // as above
    socket.end(() => socket.destroy())
  })
  return response
}
