import { readFileSync } from 'node:fs'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { FrpError, messageOf } from '../contract/errors.ts'
import { formatAddress } from '../contract/ip.ts'

/** A web server of ours on this machine, as frp's table `webServer` has it. */
export interface WebServerAddress {
  addr: string
  port: number
  user: string
  password: string
  tls?: { certFile: string } | undefined
}

export interface WebQuestion {
  method: string
  path: string
  timeoutMs: number
}

/** Ten thousand proxies with long errors have a fifth. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

/** Asks a running frps or frpc; rejects with CONNECT_FAILED and Go's text where nobody answers. */
export function askWebServer(
  { addr, port, user, password, tls }: WebServerAddress,
  { method, path, timeoutMs }: WebQuestion,
): Promise<{ status: number; body: string }> {
  const url = `${tls === undefined ? 'http' : 'https'}://${formatAddress(addr, port)}${path}`
  const failed = (error: unknown): FrpError => {
    const verb = method.charAt(0) + method.slice(1).toLowerCase()
    return new FrpError('CONNECT_FAILED', `${verb} "${url}": ${dialText(error, addr, port)}`, { cause: error })
  }
  return new Promise((resolve, reject) => {
    const options = {
      method,
      // One name for all that end here: a Host of ours that is no address would be refused without a password.
      host: addr === '0.0.0.0' || addr === '::' ? 'localhost' : addr,
      port,
      path,
      headers: user === '' && password === '' ? {} : { Authorization: basic(user, password) },
      signal: AbortSignal.timeout(timeoutMs),
    }
    const onAnswer = (answer: IncomingMessage): void => {
      bodyOf(answer).then((body) => resolve({ status: answer.statusCode ?? 0, body }), reject)
    }
    const asking =
      tls === undefined
        ? requestHttp(options, onAnswer)
        : // Our own server on our own machine: its certificate is the one in the file, whatever names it has.
          requestHttps(
            {
              ...options,
              ca: readFileSync(tls.certFile),
              allowPartialTrustChain: true,
              checkServerIdentity: () => undefined,
            },
            onAnswer,
          )
    asking.on('error', (error) => reject(failed(error)))
    asking.end()
  })
}

async function bodyOf(answer: IncomingMessage): Promise<string> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of answer as AsyncIterable<Buffer>) {
    // a response without an encoding gives buffers
    length += part.length
    if (length > MAX_ANSWER_BYTES) throw new FrpError('LIMIT', `an answer of more than ${MAX_ANSWER_BYTES} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

/** Go's text for a port where nobody listens; scripts know it. */
function dialText(error: unknown, addr: string, port: number): string {
  const isRefused = error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED'
  return isRefused ? `dial tcp ${addr}:${port}: connect: connection refused` : messageOf(error)
}
