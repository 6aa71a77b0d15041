import { type ErrorCode, FrpError } from '../contract/errors.ts'

/** Where a value stands in a configuration: keys and list indices, from the top. */
export type Path = readonly (string | number)[]

/** What a person finds a value by: the file, the line (from 1) where the format gives one, and another name for the key. */
export interface Place {
  readonly fileName: string
  readonly line?: number | undefined
  /** The key as the file spells it when that is not the path (INI: `[common] bind_port`). */
  readonly key?: string | undefined
}

/** Tells where in a file a path stands. */
export type Locate = (path: Path) => Place

/** A bound on what one error says: after this many the file is plainly another kind of file. */
const MAX_PROBLEMS_SHOWN = 50

/** `proxies[0].remotePort` for `['proxies', 0, 'remotePort']`. */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    return text === '' ? part : `${text}.${part}`
  }, '')
}

/** The same path with another spelling of its keys gives the same text: keys are matched without case, as Go does. */
export function pathKey(path: Path): string {
  return path.map((part) => String(part).toLowerCase()).join('\0')
}

/** `frpc.toml:12: text`, without what is not known. */
export function placed(place: Place, text: string): string {
  const line = place.line === undefined ? '' : `:${place.line}`
  return place.fileName === '' ? text : `${place.fileName}${line}: ${text}`
}

/** The error for a text that cannot be parsed. */
export function syntaxError(place: Place, text: string, cause?: unknown): FrpError {
  return new FrpError('CONFIG_SYNTAX', placed(place, text), cause === undefined ? {} : { cause })
}

/** Collects all that is wrong with a configuration, so that a person mends it in one go. */
export class Problems {
  readonly #locate: Locate
  readonly #lines: { place: Place; text: string }[] = []
  readonly #keys: string[] = []

  constructor(locate: Locate) {
    this.#locate = locate
  }

  get count(): number {
    return this.#lines.length
  }

  /** Adds a problem of the value at `path`; the key is put before the text unless the text names it already. */
  add(path: Path, text: string): void {
    const place = this.#locate(path)
    const key = place.key ?? formatPath(path)
    const named =
      key === '' ||
      text.startsWith(`${key}:`) ||
      (key.includes('.') && text.startsWith(`${key} `)) ||
      text.startsWith('field ') ||
      text.startsWith('json: ')
    this.#keys.push(pathKey(path))
    this.#lines.push({ place, text: named && place.key === undefined ? text : `${key}: ${text}` })
  }

  /** Takes over the problems of another file. */
  addAll(other: Problems): void {
    this.#lines.push(...other.#lines)
  }

  /** True when something at or below `path` is wrong: what follows from it is not worth saying too. */
  under(path: Path): boolean {
    const start = pathKey(path)
    return this.#keys.some((key) => key === start || start === '' || key.startsWith(`${start}\0`))
  }

  /** Throws one {@link FrpError} with a line for each problem, in the order of the lines. */
  throwIfAny(code: ErrorCode = 'CONFIG_FIELD'): void {
    if (this.#lines.length === 0) return
    const sorted = this.#lines.toSorted((a, b) =>
      a.place.fileName === b.place.fileName ? (a.place.line ?? 0) - (b.place.line ?? 0) : 0,
    )
    const shown = sorted.slice(0, MAX_PROBLEMS_SHOWN).map((problem) => placed(problem.place, problem.text))
    if (sorted.length > shown.length) shown.push(`and ${sorted.length - shown.length} more`)
    throw new FrpError(code, shown.join('\n'))
  }
}
