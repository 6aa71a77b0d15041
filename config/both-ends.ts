import { choice, type Field, flag, int, list, optional, port, strings, type TableOf, table, text } from './field.ts'
import type { Path, Problems } from './problems.ts'

/** Tables that frps.toml and frpc.toml share (frp: `pkg/config/v1/common.go`, `value_source.go`). */

/** frp: `validation.go`, SupportedAuthMethods. */
const AUTH_METHODS = ['token', 'oidc'] as const
/** frp: `validation.go`, SupportedAuthAdditionalScopes; the case counts. */
const AUTH_SCOPES: readonly string[] = ['HeartBeats', 'NewWorkConns']
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const
/** The one name that frp's `--allow-unsafe` knows. */
const TOKEN_SOURCE_EXEC = 'TokenSourceExec'

export const logTable = table({
  /** `console`, or the path of a file. */
  to: text('console'),
  level: choice(LOG_LEVELS, 'info', () => `invalid log level, optional values are [${LOG_LEVELS.join(' ')}]`),
  /** Days that rotated files are kept. */
  maxDays: int(3, 'int64'),
  disablePrintColor: flag(),
})

/** Paths of PEM files. */
export const tlsFiles = { certFile: text(), keyFile: text(), trustedCaFile: text(), serverName: text() }

export const webServerTable = table({
  /** frp's code has a later default of 0.0.0.0 that it never reaches. */
  addr: text('127.0.0.1'),
  /** 0: no web server. */
  port: port(),
  user: text(),
  password: text(),
  assetsDir: text(),
  pprofEnable: flag(),
  tls: optional(table(tlsFiles)),
})

export const quicTable = table({
  /** Seconds. */
  keepalivePeriod: int(10),
  /** Seconds. */
  maxIdleTimeout: int(30),
  maxIncomingStreams: int(100_000),
})

const valueSourceTable = table({
  type: text(),
  file: optional(table({ path: text() })),
  exec: optional(table({ command: text(), args: strings(), env: list(table({ name: text(), value: text() })) })),
})
export const valueSource: Field<ValueSource | undefined> = optional(valueSourceTable)

/** Where a secret is read from instead of the file itself. */
export interface ValueSource {
  type: string
  file: { path: string } | undefined
  exec: { command: string; args: string[]; env: { name: string; value: string }[] } | undefined
}

/** The part of `auth` that both ends have. */
export const authFields = {
  method: choice(AUTH_METHODS, 'token', () => `invalid auth method, optional values are [${AUTH_METHODS.join(' ')}]`),
  additionalScopes: strings(),
  token: text(),
  tokenSource: valueSource,
}

export type LogOptions = ReturnType<typeof logTable.read>
export type WebServerOptions = ReturnType<typeof webServerTable.read>
type AuthOptions = TableOf<typeof authFields>

/** frp: `validation/auth.go`. `at`: where `auth` stands. */
export function checkAuth(auth: AuthOptions, at: Path, allowUnsafe: readonly string[], problems: Problems): void {
  if (!auth.additionalScopes.every((scope) => AUTH_SCOPES.includes(scope))) {
    problems.add(
      [...at, 'additionalScopes'],
      `invalid auth additional scopes, optional values are [${AUTH_SCOPES.join(' ')}]`,
    )
  }
  if (auth.tokenSource === undefined) return
  const path = [...at, 'tokenSource']
  if (auth.token !== '') problems.add(path, 'cannot specify both auth.token and auth.tokenSource')
  checkValueSource(auth.tokenSource, path, 'auth.tokenSource', allowUnsafe, problems)
}

/** frp: `value_source.go` Validate, and the switch that `exec` needs. */
export function checkValueSource(
  source: ValueSource,
  path: Path,
  name: string,
  allowUnsafe: readonly string[],
  problems: Problems,
): void {
  if (source.type === 'exec' && !allowUnsafe.includes(TOKEN_SOURCE_EXEC)) {
    problems.add(
      path,
      `unsafe feature "${TOKEN_SOURCE_EXEC}" is not enabled. To enable it, ensure it is allowed in the configuration or command line flags`,
    )
  }
  const wrong = wrongWith(source)
  if (wrong !== undefined) problems.add(path, `invalid ${name}: ${wrong}`)
}

function wrongWith(source: ValueSource): string | undefined {
  if (source.type === 'file') {
    if (source.file === undefined) return "file configuration is required when type is 'file'"
    return source.file.path === '' ? 'file path cannot be empty' : undefined
  }
  if (source.type !== 'exec') {
    return `unsupported value source type: ${source.type} (only 'file' and 'exec' are supported)`
  }
  if (source.exec === undefined) return "exec configuration is required when type is 'exec'"
  if (source.exec.command === '') return 'exec command cannot be empty'
  if (source.exec.env.some((variable) => variable.name === '')) return 'exec env name cannot be empty'
  return source.exec.env.some((variable) => variable.name.includes('='))
    ? "exec env name cannot contain '='"
    : undefined
}

/** frp: `validation/common.go`, validateWebServerConfig. */
export function checkWebServer(webServer: WebServerOptions, problems: Problems): void {
  if (webServer.tls === undefined) return
  if (webServer.tls.certFile === '') {
    problems.add(['webServer', 'tls', 'certFile'], 'tls.certFile must be specified when tls is enabled')
  }
  if (webServer.tls.keyFile === '') {
    problems.add(['webServer', 'tls', 'keyFile'], 'tls.keyFile must be specified when tls is enabled')
  }
}
