import { readFileSync } from 'node:fs'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import type { FrpcOptions } from '../../config/load.ts'
import { FrpError, messageOf } from '../../contract/errors.ts'
import { escapeControls } from '../../node/log.ts'
import type { Flag } from './flags.ts'

/** Commands that ask a running frpc by its admin API, with what frp says they do. */
export const REMOTE_COMMANDS = {
  reload: 'Hot-Reload frpc configuration',
  status: 'Overview of all proxies status',
  stop: 'Stop the running frpc',
} as const
export type RemoteCommand = keyof typeof REMOTE_COMMANDS

export const REMOTE_FLAGS: readonly Flag[] = [
  { name: 'api-timeout', kind: 'string', about: 'Timeout for admin API calls (default 30s)' },
]

/** frp's order in `frpc status`. */
const TYPES = ['tcp', 'udp', 'tcpmux', 'http', 'https', 'stcp', 'sudp', 'xtcp'] as const
/** A table's heads, and the keys of the API that its columns show. */
const COLUMNS = [
  ['Name', 'name'],
  ['Status', 'status'],
  ['LocalAddr', 'local_addr'],
  ['Plugin', 'plugin'],
  ['RemoteAddr', 'remote_addr'],
  ['Error', 'err'],
] as const
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }
/** Ten thousand proxies with long errors have a fifth. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

/** Runs one of the commands and returns what to print; throws what frp prints when it fails. */
export async function runRemote(
  command: RemoteCommand,
  webServer: FrpcOptions['webServer'],
  isStrict: boolean,
  timeout: unknown,
): Promise<string> {
  if (webServer.port <= 0) {
    throw new FrpError('CONFIG_FIELD', 'web server port should be set if you want to use this feature')
  }
  const timeoutMs = durationMs(typeof timeout === 'string' && timeout !== '' ? timeout : '30s')
  switch (command) {
    case 'reload':
      await ask(webServer, 'GET', `/api/reload${isStrict ? '?strictConfig=true' : ''}`, timeoutMs)
      return 'reload success'
    case 'stop':
      await ask(webServer, 'POST', '/api/stop', timeoutMs)
      return 'stop success'
    case 'status':
      return statusText(await ask(webServer, 'GET', '/api/status', timeoutMs))
  }
}

function ask(webServer: FrpcOptions['webServer'], method: string, path: string, timeoutMs: number): Promise<string> {
  const { addr, port, user, password, tls } = webServer
  const url = `${tls === undefined ? 'http' : 'https'}://${isIP(addr) === 6 ? `[${addr}]` : addr}:${port}${path}`
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
      bodyOf(answer).then((body) => {
        if (answer.statusCode === 200) resolve(body)
        else reject(new FrpError('CONNECT_FAILED', `api status code [${answer.statusCode}]`))
      }, reject)
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

/** As Go reads a duration: `1m30s`. */
function durationMs(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)]
  const isWhole = parts.map(([part]) => part).join('') === text
  const sum = parts.reduce((total, [, count, unit]) => total + Number(count) * (UNIT_MS[unit ?? ''] ?? 0), 0)
  if (isWhole && sum > 0) return sum
  throw new FrpError('CONFIG_FIELD', `--api-timeout: ${text} is no duration such as 30s`)
}

/** What `frpc status` prints, laid out as frp does. */
function statusText(body: string): string {
  const byType = parse(body)
  const tables = TYPES.flatMap((type) => {
    const list = byType[type]
    return Array.isArray(list) && list.length > 0 ? [`${type.toUpperCase()}\n${tableOf(list)}\n`] : []
  })
  return ['Proxy Status...\n', ...tables].join('\n')
}

function tableOf(list: readonly unknown[]): string {
  const rows = [
    COLUMNS.map(([head]): string => head),
    ...list.map((entry) => COLUMNS.map(([, key]) => cell(entry, key))),
  ]
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => [...(row[column] ?? '')].length)))
  return rows.map((row) => row.map((text, column) => pad(text, (widths[column] ?? 0) + 2)).join('')).join('\n')
}

/** A relay's reason may be in it: nothing of that moves the cursor of a terminal. */
function cell(entry: unknown, key: string): string {
  const value =
    typeof entry === 'object' && entry !== null ? Object.entries(entry).find(([name]) => name === key) : undefined
  return typeof value?.[1] === 'string' ? escapeControls(value[1]) : ''
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - [...text].length))
}

function parse(body: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(body)
    if (typeof parsed === 'object' && parsed !== null) return { ...parsed }
  } catch {
    // Told below, as what is no object.
  }
  throw new FrpError('CONNECT_FAILED', `unmarshal http response error: ${body.trim()}`)
}
