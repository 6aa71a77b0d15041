import { type FrpsOptions, type Loaded, loadFrps } from '../config/load.ts'
import { environment, readSourceFile } from '../node/source-file.ts'

/** What the command line says about reading a configuration. */
export interface ReadOptions {
  /** frp's `--strict_config`. */
  strict: boolean
  /** frp's `--allow-unsafe`. */
  allowUnsafe: readonly string[]
  /** File with the keys of the table `edgefrp` alone. */
  edgefrp: string | undefined
}

/** Reads, checks and completes a relay's configuration; throws FrpError with one line a problem. */
export function readConfig(fileName: string, options: ReadOptions): Loaded<FrpsOptions> {
  return loadFrps({ ...readSourceFile(fileName), ...contextOf(options) })
}

/** The same for an object shaped like frps.toml, from flags. */
export function configOfFlags(raw: Record<string, unknown>, options: ReadOptions): Loaded<FrpsOptions> {
  return loadFrps({ text: JSON.stringify(raw), fileName: '', ...contextOf(options) })
}

function contextOf(options: ReadOptions) {
  const { strict, allowUnsafe, edgefrp } = options
  return {
    strict,
    allowUnsafe,
    envs: environment(),
    ...(edgefrp === undefined ? {} : { edgefrp: readSourceFile(edgefrp) }),
  }
}
