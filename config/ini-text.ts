import { syntaxError } from './problems.ts'

/** One `key = value` of an INI file. */
export interface IniEntry {
  key: string
  value: string
  /** Line of the text, from 1. */
  line: number
}
/** A section; one that stands twice is one section, as in go-ini. */
export interface IniSection {
  name: string
  line: number
  entries: IniEntry[]
}

/** Keys before the first section. */
export const DEFAULT_SECTION = 'DEFAULT'

/**
 * Scans an INI text as go-ini does with frp's settings (IgnoreInlineComment, AllowBooleanKeys): only whole lines
 * are comments, a key without a value is `true`, `\` at the end of a line goes on, quotes around a value go away.
 * Throws FrpError CONFIG_SYNTAX.
 */
export function scanIni(text: string, fileName: string): IniSection[] {
  const sections = new Map<string, IniSection>()
  let current: IniSection = { name: DEFAULT_SECTION, line: 1, entries: [] }
  const lines = new Lines(text)
  for (let line = lines.next(); line !== undefined; line = lines.next()) {
    const at = lines.number
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#') || trimmed.startsWith(';')) continue
    if (trimmed.startsWith('[')) {
      const close = trimmed.lastIndexOf(']')
      if (close <= 1) throw syntaxError({ fileName, line: at }, `ini: unclosed section: ${trimmed.slice(0, 100)}`)
      const name = trimmed.slice(1, close)
      current = sections.get(name) ?? { name, line: at, entries: [] }
      sections.set(name, current)
      continue
    }
    if (!sections.has(current.name)) sections.set(current.name, current)
    const { key, rest } = splitKey(trimmed, fileName, at)
    current.entries.push({ key, value: rest === undefined ? 'true' : readValue(rest, lines, fileName), line: at })
  }
  return [...sections.values()]
}

/** go-ini reads a key in quotes whole, else up to the first `=` or `:`. */
function splitKey(line: string, fileName: string, at: number): { key: string; rest: string | undefined } {
  const quoted = /^("""|"|`)(.*?)\1\s*[=:]/.exec(line)
  if (quoted !== null) return { key: quoted[2] ?? '', rest: line.slice(quoted[0].length) }
  const mark = line.search(/[=:]/)
  if (mark === 0) throw syntaxError({ fileName, line: at }, `ini: key is empty: ${line.slice(0, 100)}`)
  if (mark === -1) return { key: line, rest: undefined }
  return { key: line.slice(0, mark).trim(), rest: line.slice(mark + 1) }
}

function readValue(rest: string, lines: Lines, fileName: string): string {
  const start = rest.trim()
  const long = start.startsWith('"""') && start.length > 3 ? '"""' : start.startsWith('`') ? '`' : ''
  if (long !== '') return readLong(start.slice(long.length), long, lines, fileName)
  let value = start
  while (value.endsWith('\\')) {
    const next = lines.next()
    value = value.slice(0, -1)
    if (next === undefined || next.trim() === '') break
    value += next.trim()
  }
  value = value.trim()
  const quote = value[0]
  if (value.length < 2 || (quote !== '"' && quote !== "'")) return value
  // Only when the pair around it is the only one.
  return value.indexOf(quote, 1) === value.length - 1 ? value.slice(1, -1) : value
}

function readLong(start: string, quote: string, lines: Lines, fileName: string): string {
  const first = lines.number
  const parts: string[] = []
  for (let line: string | undefined = start; line !== undefined; line = lines.next()) {
    const close = line.indexOf(quote)
    if (close !== -1) return [...parts, line.slice(0, close)].join('\n')
    parts.push(line)
  }
  throw syntaxError({ fileName, line: first }, `ini: missing closing ${quote}`)
}

class Lines {
  readonly #lines: string[]
  number = 0

  constructor(text: string) {
    this.#lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n/)
  }

  next(): string | undefined {
    const line = this.#lines[this.number]
    if (line !== undefined) this.number += 1
    return line
  }
}
