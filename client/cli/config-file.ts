import { readdirSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type FrpcOptions, type Loaded, loadFrpc, type SourceFile } from '../../config/load.ts'
import { FrpError } from '../../contract/errors.ts'
import { environment, readSourceFile } from '../../node/source-file.ts'

/** What the command line says about reading configurations. */
export interface ReadOptions {
  strict: boolean
  allowUnsafe: readonly string[]
  /** File with the keys of the table `edgefrp` alone. */
  edgefrp: string | undefined
}

/** Reads, checks and completes a client's configuration; throws FrpError with one line a problem. */
export function readConfig(fileName: string, options: ReadOptions): Loaded<FrpcOptions> {
  return loadFrpc({
    ...readSourceFile(fileName),
    strict: options.strict,
    allowUnsafe: options.allowUnsafe,
    envs: environment(),
    readInclude: filesOf,
    ...(options.edgefrp === undefined ? {} : { edgefrp: readSourceFile(options.edgefrp) }),
  })
}

/** The files that one entry of `includes` names, in alphabetical order: a glob within one directory, as in frp. */
function filesOf(glob: string): SourceFile[] {
  const directory = dirname(glob)
  const matches = globPattern(basename(glob))
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch (error) {
    throw new FrpError('CONFIG_FILE', `include: directory of ${glob} not exist`, { cause: error })
  }
  return names
    .filter((name) => matches.test(name))
    .sort()
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile())
    .map(readSourceFile)
}

/** Go's filepath.Match for a name without slashes: `*`, `?`, `[a-z]`, `[^a-z]` and `\` before a character. */
function globPattern(glob: string): RegExp {
  let source = ''
  for (let i = 0; i < glob.length; i++) {
    const character = glob.charAt(i)
    const close = character === '[' ? glob.indexOf(']', i + 2) : -1
    if (character === '*') source += '.*'
    else if (character === '?') source += '.'
    else if (close > 0) {
      source += glob.slice(i, close + 1).replaceAll('\\', '\\\\')
      i = close
    } else {
      const literal = character === '\\' ? glob.charAt(++i) : character
      source += literal.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
    }
  }
  return new RegExp(`^${source}$`, 's')
}
