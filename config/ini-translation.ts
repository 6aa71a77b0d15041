import type { Find, LineOf } from './formats.ts'
import type { IniKeys, IniKind, IniPrefixes } from './ini-keys.ts'
import { type IniEntry, type IniSection, scanIni } from './ini-text.ts'
import { parseRanges } from './number-range.ts'
import { type Path, type Place, Problems, pathKey, placed } from './problems.ts'

/** go-ini's `parseBool`. */
const TRUE: readonly string[] = ['1', 't', 'T', 'true', 'TRUE', 'True', 'YES', 'yes', 'Yes', 'y', 'ON', 'on', 'On']
const FALSE: readonly string[] = ['0', 'f', 'F', 'false', 'FALSE', 'False', 'NO', 'no', 'No', 'n', 'OFF', 'off', 'Off']
/** Go's `strconv.ParseInt(text, 0, 64)`: decimal, or with 0x, 0o, 0b, or an octal 0. */
const INTEGER = /^[+-]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9]\d*)$/

/** A section, and the file and lines that its entries have. */
export interface PlacedSection extends IniSection {
  fileName: string
  lineOf: LineOf
}

/** What a section's entries may be, and where they go. */
export interface SectionKeys {
  keys: IniKeys
  prefixes?: IniPrefixes
  /** Path of the table that the section becomes; `[]` for `[common]`. */
  path: Path
}

/** Builds the v1 object out of INI sections, and remembers where each key stands. */
export class Translation {
  readonly raw: Record<string, unknown> = {}
  readonly warnings: string[] = []
  readonly problems: Problems
  readonly find: Find
  readonly #places = new Map<string, Place>()

  constructor(fileName: string) {
    this.find = (path) => this.#places.get(pathKey(path))
    this.problems = new Problems((path) => this.find(path) ?? { fileName })
  }

  /** Translates the entries of a section; what no key is for becomes a warning, as frp ignores it. */
  section(section: PlacedSection, { keys, prefixes = {}, path }: SectionKeys): void {
    this.place(path, section, `[${section.name}]`, section.line)
    for (const entry of section.entries) {
      const known = Object.hasOwn(keys, entry.key) ? keys[entry.key] : undefined
      const prefix = Object.keys(prefixes).find((start) => entry.key.startsWith(start))
      if (known !== undefined) {
        const [name, kind] = known
        if (kind !== 'ignored') this.entry(section, entry, [...path, ...name.split('.')], kind)
      } else if (prefix !== undefined) {
        const name = prefixes[prefix] ?? ''
        this.entry(section, entry, [...path, ...name.split('.'), entry.key.slice(prefix.length)], 'text')
      } else this.unused(section, entry)
    }
  }

  /** Reads one value; an empty one is an absent one. */
  entry(section: PlacedSection, entry: IniEntry, path: Path, kind: IniKind): void {
    this.place(path, section, `[${section.name}] ${entry.key}`, entry.line)
    const value = this.#value(entry.value, path, kind)
    if (value !== undefined) this.set(path, value)
  }

  /** Reads a boolean that no key of its own is for. */
  isTrue(section: PlacedSection, entry: IniEntry): boolean {
    const path = [section.name, entry.key]
    this.place(path, section, `[${section.name}] ${entry.key}`, entry.line)
    return this.#value(entry.value, path, 'bool') === true
  }

  set(path: Path, value: unknown): void {
    let at: Record<string | number, unknown> = this.raw
    path.forEach((part, index) => {
      if (index === path.length - 1) {
        // A name that a person chose may be `__proto__`.
        Object.defineProperty(at, part, { value, enumerable: true, configurable: true, writable: true })
        return
      }
      if (!Object.hasOwn(at, part)) at[part] = typeof path[index + 1] === 'number' ? [] : {}
      // Only this method makes the tables and lists on the way.
      at = at[part] as Record<string | number, unknown>
    })
  }

  /** One warning line for a key that does nothing. */
  unused(section: PlacedSection, entry: IniEntry, why = 'is not used'): void {
    const name = section.name === 'common' ? entry.key : `[${section.name}] ${entry.key}`
    this.warn(section, entry.line, `${name} ${why}`)
  }

  warn(section: PlacedSection, line: number, text: string): void {
    this.warnings.push(placed({ fileName: section.fileName, line: section.lineOf(line) }, text))
  }

  place(path: Path, section: PlacedSection, key: string, line: number): void {
    this.#places.set(pathKey(path), { fileName: section.fileName, line: section.lineOf(line), key })
  }

  #value(text: string, path: Path, kind: IniKind): unknown {
    switch (kind) {
      case 'text':
      case 'ignored':
        return text
      case 'list':
        return listOf(text)
      case 'int':
        if (text === '') return undefined
        return INTEGER.test(text) ? integerOf(text) : this.#wrong(path, `${JSON.stringify(text)} is not an integer`)
      case 'bool':
        if (text === '') return undefined
        if (TRUE.includes(text)) return true
        return FALSE.includes(text) ? false : this.#wrong(path, `${JSON.stringify(text)} is not true or false`)
      case 'ports':
        return text === '' ? undefined : this.#ports(text, path)
    }
  }

  /** frp takes a list that it cannot read for "no restriction"; here a wrong value is an error. */
  #ports(text: string, path: Path): unknown {
    const read = parseRanges(text)
    if ('wrong' in read) return this.#wrong(path, read.wrong)
    return read.ranges.map(({ start, end }) => (start === end ? { single: start } : { start, end }))
  }

  #wrong(path: Path, text: string): undefined {
    this.problems.add(path, text)
    return undefined
  }
}

/** The sections of a text with their file and lines. */
export function placedSections(text: string, fileName: string, lineOf: LineOf): PlacedSection[] {
  return scanIni(text, fileName).map((section) => ({ ...section, fileName, lineOf }))
}

/** go-ini's `Key.Strings(",")`: trimmed, `\,` is a comma. */
export function listOf(text: string): string[] {
  if (text.trim() === '') return []
  return text.split(/(?<!\\),/).map((item) => item.replaceAll('\\,', ',').trim())
}

function integerOf(text: string): number {
  const digits = text.replace(/^[+-]/, '')
  const value = Number(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits)
  return text.startsWith('-') ? -value : value
}
