import type { FrpsOptions, Loaded } from '../config/load.ts'
import { messageOf } from '../contract/errors.ts'
import { createLog } from '../node/log.ts'
import { nodeRuntime } from '../node/runtime.ts'
import { resolveToken } from '../node/value-source.ts'
import { reloaderOf } from './reload.ts'
import { startServer } from './server.ts'

/**
 * Runs a relay in this process until SIGTERM or SIGINT; rejects when it cannot start. An error that nobody caught
 * is logged and costs what it happened in, not the other clients. SIGHUP, or the API, reads the file again with `reread`.
 */
export async function serve(
  loaded: Loaded<FrpsOptions>,
  configFile: string | undefined,
  reread: (() => Loaded<FrpsOptions>) | undefined,
): Promise<void> {
  const { options, warnings } = loaded
  const log = createLog(options.log)
  process.on('uncaughtException', (error) => {
    log.error(`uncaught: ${error instanceof Error ? (error.stack ?? error.message) : messageOf(error)}`)
  })
  for (const warning of warnings) log.warn(warning)
  log.info(
    configFile === undefined ? 'frps uses command line arguments for config' : `frps uses config file: ${configFile}`,
  )
  await resolveToken(options.auth, log)
  const server = await startServer(options, nodeRuntime(log))
  if (reread !== undefined) {
    const { relay } = server
    const reload = reloaderOf(server, log, reread)
    relay.reloader = reload
    process.on('SIGHUP', () => {
      // What is wrong was told in the log.
      reload().catch(() => undefined)
    })
  }
  log.info('frps started successfully')
  const signal = await new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name))
  })
  log.info(`frps stops: ${signal}`)
  await server.close()
  await log.close()
}
