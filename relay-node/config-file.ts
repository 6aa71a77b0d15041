import { readFileSync } from 'node:fs'
import { type FrpsOptions, type Loaded, loadFrps, type SourceFile } from '../config/load.ts'
import { FrpError } from '../contract/errors.ts'

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
  return loadFrps({ ...readSource(fileName), ...contextOf(options) })
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
    ...(edgefrp === undefined ? {} : { edgefrp: readSource(edgefrp) }),
  }
}

function environment(): Record<string, string> {
  return Object.fromEntries(Object.entries(process.env).map(([key, value]) => [key, value ?? '']))
}

/** Go's texts for what opening a file mostly fails with. */
const GO_TEXTS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EISDIR: 'is a directory',
}

function readSource(fileName: string): SourceFile {
  try {
    return { text: readFileSync(fileName, 'utf8'), fileName }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    throw new FrpError('CONFIG_FILE', `open ${fileName}: ${GO_TEXTS[code] ?? code}`, { cause: error })
  }
}
