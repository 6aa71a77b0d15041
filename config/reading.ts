import { isTable, type Reading } from './field.ts'
import { formatPath, type Locate, Problems } from './problems.ts'

/** What the reader of a configuration is told beside the object itself; all of it may be absent. */
export interface Context {
  /** Goes before each message. */
  fileName?: string
  /** Finds lines; without it a message has the file name alone. */
  locate?: Locate
  /** frp's `--strict_config`, on unless it is said otherwise. */
  strict?: boolean
  /** Environment variables. */
  envs?: Readonly<Record<string, string>>
  /** frp's `--allow-unsafe`. */
  allowUnsafe?: readonly string[]
}

/** Problems, and the reading that fills them. */
export function newReading(context: Context): { reading: Reading; problems: Problems; given: Set<string> } {
  const fileName = context.fileName ?? ''
  const problems = new Problems(context.locate ?? (() => ({ fileName })))
  const given = new Set<string>()
  const reading: Reading = {
    strict: context.strict ?? true,
    problem: (path, text) => problems.add(path, text),
    given: (path) => given.add(formatPath(path)),
  }
  return { reading, problems, given }
}

/** The object at the top of a file. */
export function objectOf(raw: unknown, problems: Problems): Record<string, unknown> {
  if (isTable(raw)) return raw
  if (raw !== undefined && raw !== null) problems.add([], 'a configuration is a table of keys')
  return {}
}
