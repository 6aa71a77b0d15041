import { formatPath, type Path } from './problems.ts'

/**
 * A field reads one value of a configuration: it checks the type, puts the default in and says what is wrong.
 * Tables of fields are the one description of a file; the TypeScript types are derived from them.
 *
 * An own table rather than a validator package: frp's rules are Go's (keys match without case, a zero value takes
 * the default, `null` is absent, the texts of `encoding/json`), and each of them would be a custom schema there.
 */
export interface Field<T> {
  read(value: unknown, path: Path, reading: Reading): T
}

/** What a read of one file shares. */
export interface Reading {
  /** frp's `--strict_config`: an unknown key is a problem. */
  readonly strict: boolean
  problem(path: Path, text: string): void
  /** Told of each key that was set to something else than Go's zero value. */
  given(path: Path): void
}

export type ValueOf<F> = F extends Field<infer T> ? T : never
export type Fields = Readonly<Record<string, Field<unknown>>>
export type TableOf<F extends Fields> = { [K in keyof F]: ValueOf<F[K]> }

/** frp: `pkg/config/v1/validation/common.go`, ValidatePort. */
const MAX_PORT = 65_535

/** A string; "" takes the default. */
export function text(fallback = ''): Field<string> {
  return {
    read(value, path, reading) {
      if (isAbsent(value)) return fallback
      // TOML has dates; frp's decoder writes them as JSON strings.
      const given = value instanceof Date ? value.toISOString() : value
      if (typeof given !== 'string') return typeProblem(value, 'string', path, reading, fallback)
      if (given === '') return fallback
      reading.given(path)
      return given
    },
  }
}

/** One of some strings; "" takes the default; anything else is the problem `wrong` says. */
export function choice<const T extends string>(
  values: readonly T[],
  fallback: T,
  wrong: (value: string) => string,
): Field<T> {
  const string = text(fallback)
  return {
    read(value, path, reading) {
      const given = string.read(value, path, reading)
      const found = values.find((known) => known === given)
      if (found === undefined) reading.problem(path, wrong(given))
      return found ?? fallback
    },
  }
}

/** An integer; 0 takes the default, as frp's `EmptyOr` does. */
export function int(fallback = 0, goType: 'int' | 'int64' = 'int'): Field<number> {
  return {
    read(value, path, reading) {
      const given = readInteger(value, path, reading, goType)
      if (given === undefined || given === 0) return fallback
      reading.given(path)
      return given
    },
  }
}

/** An integer of ours: absent takes the default, 0 is a value, and it has bounds. */
export function count(fallback: number, min = 0, max = Number.MAX_SAFE_INTEGER): Field<number> {
  return {
    read(value, path, reading) {
      const given = readInteger(value, path, reading, 'int64')
      if (given === undefined) return fallback
      reading.given(path)
      if (given >= min && given <= max) return given
      reading.problem(path, `${given} must be in the range ${min}..${max}`)
      return fallback
    },
  }
}

/** A port in 0..65535; 0 takes the default. */
export function port(fallback = 0, lowest = 0): Field<number> {
  const integer = int(fallback)
  return {
    read(value, path, reading) {
      const given = integer.read(value, path, reading)
      if (given >= lowest && given <= MAX_PORT) return given
      reading.problem(path, `port number ${given} must be in the range 0..${MAX_PORT}`)
      return fallback
    },
  }
}

/** A boolean that has a default (a `*bool` in frp). */
export function flag(fallback = false): Field<boolean> {
  return {
    read(value, path, reading) {
      if (isAbsent(value)) return fallback
      if (typeof value !== 'boolean') return typeProblem(value, 'bool', path, reading, fallback)
      reading.given(path)
      return value
    },
  }
}

/** A list of strings. */
export function strings(): Field<string[]> {
  const string = text()
  return {
    read(value, path, reading) {
      if (isAbsent(value)) return []
      if (!Array.isArray(value)) return typeProblem(value, '[]string', path, reading, [])
      if (value.length > 0) reading.given(path)
      return value.map((item, index) => string.read(item, [...path, index], reading))
    },
  }
}

/** A map of names to values of one kind; its keys keep their case. */
export function mapOf<T>(item: Field<T>, goType: string): Field<Record<string, T>> {
  return {
    read(value, path, reading) {
      if (isAbsent(value)) return {}
      if (!isTable(value)) return typeProblem(value, goType, path, reading, {})
      const entries = Object.entries(value)
      if (entries.length > 0) reading.given(path)
      // fromEntries defines own properties, so a key `__proto__` is a key like any other.
      return Object.fromEntries(entries.map(([key, inner]) => [key, item.read(inner, [...path, key], reading)]))
    },
  }
}

/** A map of strings. */
export const stringMap = (): Field<Record<string, string>> => mapOf(text(), 'map[string]string')

/** A table with known keys; an absent one has all its defaults. */
export function table<F extends Fields>(fields: F): Field<TableOf<F>> {
  const names = new Map(Object.keys(fields).map((name) => [name.toLowerCase(), name]))
  return {
    read(value, path, reading) {
      const found = new Map<string, unknown>()
      if (!isAbsent(value) && !isTable(value)) typeProblem(value, 'table', path, reading, undefined)
      if (isTable(value)) {
        for (const [key, inner] of Object.entries(value)) {
          const name = names.get(key.toLowerCase())
          if (name !== undefined) found.set(name, inner)
          else if (reading.strict) reading.problem([...path, key], unknownField(key, path))
        }
      }
      const entries = Object.entries(fields).map(([name, field]) => [
        name,
        field.read(found.get(name), [...path, name], reading),
      ])
      // Each field of the descriptor was read by its own Field, which is what TableOf says.
      return Object.fromEntries(entries) as TableOf<F>
    },
  }
}

/** A field that may be absent as a whole. */
export function optional<T>(field: Field<T>): Field<T | undefined> {
  return {
    read(value, path, reading) {
      return isAbsent(value) ? undefined : field.read(value, path, reading)
    },
  }
}

/** A list of tables. */
export function list<T>(item: Field<T>): Field<T[]> {
  return {
    read(value, path, reading) {
      if (isAbsent(value)) return []
      if (!Array.isArray(value)) return typeProblem(value, 'list', path, reading, [])
      if (value.length > 0) reading.given(path)
      return value.map((inner, index) => item.read(inner, [...path, index], reading))
    },
  }
}

/** A table whose keys nobody checks yet. */
export function anyTable(): Field<Record<string, unknown>> {
  return {
    read: (value, path, reading) => (isTable(value) ? value : typeProblem(value, 'table', path, reading, {})),
  }
}

/** True for what JSON calls an object, and nothing else that JavaScript does. */
export function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

/** The value of a key that is matched without case, as Go does; the exact spelling wins. */
export function member(tableValue: unknown, name: string): unknown {
  if (!isTable(tableValue)) return undefined
  if (Object.hasOwn(tableValue, name)) return tableValue[name]
  const key = Object.keys(tableValue).find((candidate) => candidate.toLowerCase() === name.toLowerCase())
  return key === undefined ? undefined : tableValue[key]
}

/** Go's text for an unknown key, and where it was met. */
function unknownField(key: string, path: Path): string {
  return `json: unknown field ${JSON.stringify(key)}${path.length === 0 ? '' : ` in ${formatPath(path)}`}`
}

function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null
}

function readInteger(value: unknown, path: Path, reading: Reading, goType: string): number | undefined {
  if (isAbsent(value)) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value === 0 ? 0 : value
  return typeProblem(value, goType, path, reading, undefined)
}

function typeProblem<T>(value: unknown, goType: string, path: Path, reading: Reading, fallback: T): T {
  reading.problem(path, `field ${JSON.stringify(formatPath(path))}: cannot unmarshal ${kindOf(value)} into ${goType}`)
  return fallback
}

/** The name that Go's `json.UnmarshalTypeError` gives to a value. */
function kindOf(value: unknown): string {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? 'number' : `number ${value}`
  if (typeof value === 'boolean') return 'bool'
  if (Array.isArray(value)) return 'array'
  return isTable(value) ? 'object' : 'string'
}
