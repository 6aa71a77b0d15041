import type { FrpsOptions, Loaded } from '../config/load.ts'
import { messageOf } from '../contract/errors.ts'
import type { Log } from '../contract/runtime.ts'
import { resolveToken } from '../node/value-source.ts'
import type { ReloadResult } from '../relay/relay-parts.ts'
import type { RunningServer } from './server.ts'

/**
 * Reads the configuration with `reread` and goes on with it; who asks while that is under way comes next. What is
 * wrong with it rejects, as an FrpError, and is a line in the log; the relay then goes on as before.
 */
export function reloaderOf(
  server: Pick<RunningServer, 'reload'>,
  log: Log,
  reread: () => Loaded<FrpsOptions>,
): () => Promise<ReloadResult> {
  const reload = async (): Promise<ReloadResult> => {
    try {
      const { options, warnings } = reread()
      await resolveToken(options.auth, log)
      const needRestart = server.reload(options)
      for (const warning of warnings) log.warn(warning)
      if (needRestart.length > 0) log.warn(`reload: a restart is needed for [${needRestart.join(' ')}]`)
      log.info('success reload conf')
      return { needRestart }
    } catch (error) {
      log.error(`reload: the configuration stays as it was: ${messageOf(error)}`)
      throw error
    }
  }
  let last: Promise<unknown> = Promise.resolve()
  return () => {
    const done = last.then(reload)
    // Told already, and the next one is not to fail for it.
    last = done.catch(() => undefined)
    return done
  }
}
