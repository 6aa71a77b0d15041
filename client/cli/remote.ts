import type { FrpcOptions } from '../../config/load.ts'
import { FrpError } from '../../contract/errors.ts'
import { textTable } from '../../node/text-table.ts'
import { askWebServer } from '../../node/web-client.ts'
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

async function ask(
  webServer: FrpcOptions['webServer'],
  method: string,
  path: string,
  timeoutMs: number,
): Promise<string> {
  const { status, body } = await askWebServer(webServer, { method, path, timeoutMs })
  if (status !== 200) throw new FrpError('CONNECT_FAILED', `api status code [${status}]`)
  return body
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
    return Array.isArray(list) && list.length > 0
      ? [`${type.toUpperCase()}\n${textTable(COLUMNS, list).join('\n')}\n`]
      : []
  })
  return ['Proxy Status...\n', ...tables].join('\n')
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
