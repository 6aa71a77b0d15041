import type { FrpsOptions } from '../config/load.ts'
import { FrpError } from '../contract/errors.ts'
import { escapeControls } from '../node/log.ts'
import { textTable } from '../node/text-table.ts'
import { askWebServer, type WebServerAddress } from '../node/web-client.ts'
import { OWN_PATH } from '../protocol/frp/own-path.ts'

/** Commands that ask a running frps by its API, with what they do. */
export const REMOTE_COMMANDS = {
  reload: 'Hot-reload tokens, users, allowPorts, limits and address rules of a running frps',
  clients: 'Overview of the clients that are online',
  'disconnect <client>': 'End the session of a client (a key of "frps clients"); frpc comes back unless it may not',
  'close <proxy>': 'Close a proxy until its client registers it again',
} as const

const TIMEOUT_MS = 30_000
const COLUMNS = [
  ['Client', 'key'],
  ['User', 'user'],
  ['IP', 'clientIP'],
  ['Hostname', 'hostname'],
  ['Version', 'version'],
] as const

/** Runs one of the commands on the relay of this configuration; answers what to print. Rejects with CONNECT_FAILED. */
export async function runRemote(command: string, name: string, options: FrpsOptions): Promise<string> {
  const { address, prefix } = addressOf(options)
  const ask = async (method: string, path: string): Promise<unknown> => {
    const { status, body } = await askWebServer(address, { method, path: prefix + path, timeoutMs: TIMEOUT_MS })
    if (status === 200) return JSON.parse(body)
    throw new FrpError('CONNECT_FAILED', `api status code [${status}]: ${reasonIn(body)}`)
  }
  switch (command) {
    case 'reload': {
      const left = stringsOf(await ask('POST', '/reload'), 'needRestart')
      return left.length === 0 ? 'reload success' : `reload success; a restart is needed for [${left.join(' ')}]`
    }
    case 'clients':
      return tableOf(await ask('GET', '/clients?status=online'))
    case 'disconnect':
      await ask('DELETE', `/clients/${encodeURIComponent(name)}`)
      return `client ${name} is disconnected`
    default:
      await ask('DELETE', `/proxies/${encodeURIComponent(name)}`)
      return `proxy ${name} is closed`
  }
}

/** The web server, or where there is none the relay's own paths on the bind port. */
function addressOf(options: FrpsOptions): { address: WebServerAddress; prefix: string } {
  const { webServer, bindAddr, bindPort } = options
  const { user, password } = webServer
  if (webServer.port > 0) return { address: webServer, prefix: '/api' }
  if (user !== '' && password !== '') {
    return { address: { addr: bindAddr, port: bindPort, user, password }, prefix: `${OWN_PATH}/api` }
  }
  throw new FrpError('CONFIG_FIELD', 'web server port should be set if you want to use this feature')
}

function reasonIn(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body)
    if (typeof parsed === 'object' && parsed !== null && 'Msg' in parsed) return escapeControls(String(parsed.Msg))
  } catch {
    // A text, then.
  }
  return escapeControls(body.trim())
}

function stringsOf(value: unknown, key: string): string[] {
  const found = typeof value === 'object' && value !== null ? Object.entries(value).find(([name]) => name === key) : []
  return Array.isArray(found?.[1]) ? found[1].map(String) : []
}

function tableOf(answer: unknown): string {
  return textTable(COLUMNS, Array.isArray(answer) ? answer : [])
    .map((line) => line.trimEnd())
    .join('\n')
}
