import { type Path, pathKey } from './problems.ts'

/**
 * The line (from 1) of each key of a TOML text that a parser has accepted, by {@link pathKey}. The parser does
 * not tell, and an error without its line is a search; so this walks the same grammar and keeps nothing else.
 */
export function tomlPositions(text: string): Map<string, number> {
  const walk = new Walk(text)
  walk.document()
  return walk.lines
}

const BARE_END = /[,\]}#\r\n]/
const KEY_END = /[\s.=\]]/

class Walk {
  readonly lines = new Map<string, number>()
  readonly #text: string
  readonly #lengths = new Map<string, number>()
  #at = 0
  #line = 1

  constructor(text: string) {
    this.#text = text
  }

  document(): void {
    let table: Path = []
    for (this.#blank(); this.#at < this.#text.length; this.#blank()) {
      const before = this.#at
      if (this.#text.startsWith('[[', this.#at)) table = this.#header(2)
      else if (this.#peek() === '[') table = this.#header(1)
      else this.#keyValue(table)
      // Only a text that the parser would refuse stands still; a walk must end all the same.
      if (this.#at === before) this.#step()
    }
  }

  /** `[a.b]` or `[[a.b]]`; a key on the way that is a list of tables means its last table. */
  #header(brackets: 1 | 2): Path {
    const line = this.#line
    this.#at += brackets
    const keys = this.#keys()
    this.#at += brackets
    let path: Path = []
    keys.forEach((key, index) => {
      path = [...path, key]
      const length = this.#lengths.get(pathKey(path))
      if (brackets === 2 && index === keys.length - 1) {
        this.#note(path, line)
        this.#lengths.set(pathKey(path), (length ?? 0) + 1)
        path = [...path, length ?? 0]
      } else if (length !== undefined) {
        path = [...path, length - 1]
      }
      this.#note(path, line)
    })
    return path
  }

  #keyValue(table: Path): void {
    const line = this.#line
    let path = table
    for (const key of this.#keys()) {
      path = [...path, key]
      this.#note(path, line)
    }
    this.#at += 1 // the equals sign
    this.#value(path)
  }

  #keys(): string[] {
    const keys: string[] = []
    for (;;) {
      this.#space()
      const quote = this.#peek()
      if (quote === '"' || quote === "'") keys.push(this.#quoted(quote))
      else keys.push(this.#bareKey())
      this.#space()
      if (this.#peek() !== '.') return keys
      this.#at += 1
    }
  }

  #bareKey(): string {
    const start = this.#at
    while (this.#at < this.#text.length && !KEY_END.test(this.#peek())) this.#at += 1
    return this.#text.slice(start, this.#at)
  }

  #value(path: Path): void {
    this.#space()
    const first = this.#peek()
    if (first === '"' || first === "'") this.#quoted(first)
    else if (first === '[') this.#array(path)
    else if (first === '{') this.#inlineTable(path)
    else while (this.#at < this.#text.length && !BARE_END.test(this.#peek())) this.#at += 1
  }

  #array(path: Path): void {
    this.#at += 1
    for (let index = 0; ; index += 1) {
      this.#blank()
      if (this.#at >= this.#text.length || this.#peek() === ']') break
      if (this.#peek() === '{') this.#note([...path, index], this.#line)
      const before = this.#at
      this.#value([...path, index])
      this.#blank()
      if (this.#peek() === ',' || this.#at === before) this.#step()
    }
    this.#at += 1
  }

  #inlineTable(path: Path): void {
    this.#at += 1
    for (;;) {
      this.#blank()
      if (this.#at >= this.#text.length || this.#peek() === '}') break
      const before = this.#at
      this.#keyValue(path)
      this.#blank()
      if (this.#peek() === ',' || this.#at === before) this.#step()
    }
    this.#at += 1
  }

  /** A string of any of the four kinds; only its end and its line breaks matter, keys have no long escapes. */
  #quoted(quote: string): string {
    const long = this.#text.startsWith(quote.repeat(3), this.#at)
    const close = long ? quote.repeat(3) : quote
    this.#at += close.length
    const start = this.#at
    while (this.#at < this.#text.length && !this.#text.startsWith(close, this.#at)) {
      if (quote === '"' && this.#peek() === '\\') this.#step()
      this.#step()
    }
    const content = this.#text.slice(start, this.#at)
    this.#at += close.length
    // A long string may end in quotes of its own: """a"""" is a".
    while (long && this.#peek() === quote) this.#at += 1
    return content
  }

  #note(path: Path, line: number): void {
    const key = pathKey(path)
    if (!this.lines.has(key)) this.lines.set(key, line)
  }

  #peek(): string {
    return this.#text[this.#at] ?? ''
  }

  #step(): void {
    if (this.#peek() === '\n') this.#line += 1
    this.#at += 1
  }

  #space(): void {
    while (this.#peek() === ' ' || this.#peek() === '\t') this.#at += 1
  }

  /** Blanks, line breaks and comments. */
  #blank(): void {
    for (;;) {
      const char = this.#peek()
      if (char === '#') while (this.#at < this.#text.length && this.#peek() !== '\n') this.#at += 1
      else if (char === ' ' || char === '\t' || char === '\r' || char === '\n') this.#step()
      else return
    }
  }
}
