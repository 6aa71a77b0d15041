import { FrpError } from '../../contract/errors.ts'

/** A number as it was written: Go tells `1` from `1.0` and from `1e0`. */
export class JsonNumber {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** An object as its members in the order written, with duplicates: Go lets the last one win. */
export class JsonObject {
  readonly members: ReadonlyArray<readonly [string, JsonNode]>

  constructor(members: ReadonlyArray<readonly [string, JsonNode]>) {
    this.members = members
  }
}

export type JsonNode = string | boolean | null | JsonNumber | JsonObject | readonly JsonNode[]

/** Deeper nesting than any message has; Go stops at 10,000, a recursive reader must stop earlier. */
const MAX_DEPTH = 32

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const BLANKS = /[ \t\n\r]*/y
/** With the u flag this matches only surrogates that stand alone. */
const LONE_SURROGATES = /[\ud800-\udfff]/gu

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

/**
 * Reads a JSON text strictly, keeping what JSON.parse loses. Invalid UTF-8 and lone surrogates become U+FFFD,
 * as in Go (which writes one for each bad byte, we one for each bad sequence). Throws MESSAGE_JSON.
 */
export function readJson(bytes: Uint8Array): JsonNode {
  return new Scanner(utf8.decode(bytes)).readAll()
}

class Scanner {
  private readonly text: string
  private at = 0

  constructor(text: string) {
    this.text = text
  }

  readAll(): JsonNode {
    const node = this.value(0)
    this.blanks()
    if (this.at < this.text.length) throw this.unexpected()
    return node
  }

  private value(depth: number): JsonNode {
    this.blanks()
    switch (this.text[this.at]) {
      case '"':
        return this.string()
      case '{':
        return this.object(depth)
      case '[':
        return this.array(depth)
      case 't':
        return this.word('true', true)
      case 'f':
        return this.word('false', false)
      case 'n':
        return this.word('null', null)
      default:
        return this.number()
    }
  }

  private object(depth: number): JsonObject {
    this.enter(depth)
    const members: [string, JsonNode][] = []
    if (this.accept('}')) return new JsonObject(members)
    do {
      this.blanks()
      if (this.text[this.at] !== '"') throw this.unexpected()
      const key = this.string()
      if (!this.accept(':')) throw this.unexpected()
      members.push([key, this.value(depth + 1)])
    } while (this.accept(','))
    if (!this.accept('}')) throw this.unexpected()
    return new JsonObject(members)
  }

  private array(depth: number): JsonNode[] {
    this.enter(depth)
    const items: JsonNode[] = []
    if (this.accept(']')) return items
    do {
      items.push(this.value(depth + 1))
    } while (this.accept(','))
    if (!this.accept(']')) throw this.unexpected()
    return items
  }

  private enter(depth: number): void {
    if (depth >= MAX_DEPTH) throw new FrpError('MESSAGE_JSON', `nested deeper than ${MAX_DEPTH}`)
    this.at += 1
  }

  private string(): string {
    const { text } = this
    const start = this.at
    let isPlain = true
    let i = start + 1
    for (; ; i++) {
      const code = text.charCodeAt(i)
      if (code === 0x22) break
      if (code === 0x5c) {
        isPlain = false
        i += 1
      } else if (!(code >= 0x20)) {
        // A control character, or NaN: the text ended.
        this.at = i
        throw this.unexpected()
      }
    }
    if (i >= text.length) throw new FrpError('MESSAGE_JSON', 'unexpected end')
    this.at = i + 1
    const string = isPlain ? text.slice(start + 1, i) : unquote(text.slice(start, i + 1))
    if (string === undefined) throw new FrpError('MESSAGE_JSON', `bad escape in the string at ${start}`)
    return string
  }

  private number(): JsonNumber {
    NUMBER.lastIndex = this.at
    const match = NUMBER.exec(this.text)
    if (match === null) throw this.unexpected()
    this.at += match[0].length
    return new JsonNumber(match[0])
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) throw this.unexpected()
    this.at += word.length
    return value
  }

  private accept(mark: string): boolean {
    this.blanks()
    if (this.text[this.at] !== mark) return false
    this.at += 1
    return true
  }

  private blanks(): void {
    const code = this.text.charCodeAt(this.at)
    if (code > 0x20) return
    BLANKS.lastIndex = this.at
    this.at += BLANKS.exec(this.text)?.[0].length ?? 0
  }

  private unexpected(): FrpError {
    const mark = this.text[this.at]
    if (mark === undefined) return new FrpError('MESSAGE_JSON', 'unexpected end')
    return new FrpError('MESSAGE_JSON', `unexpected ${JSON.stringify(mark)} at ${this.at}`)
  }
}

/** The text of a string with escapes, undefined for a bad one. */
function unquote(quoted: string): string | undefined {
  try {
    return String(JSON.parse(quoted)).replace(LONE_SURROGATES, '\ufffd')
  } catch {
    // The caller knows where the string is and says so.
    return undefined
  }
}

const UNSAFE = /[<>&\u2028\u2029]/g
const UNSAFE_ESCAPES: Record<string, string> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
}

/** A string as Go's encoding/json writes it, with the quotes. */
export function writeString(text: string): string {
  if (!LONE_SURROGATES.test(text)) return quote(text)
  LONE_SURROGATES.lastIndex = 0
  // What no UTF-8 can say is written as this escape, while a real U+FFFD stays raw.
  const parts = text.split(/[\ud800-\udfff]/u).map((part) => quote(part).slice(1, -1))
  return `"${parts.join('\\ufffd')}"`
}

function quote(text: string): string {
  return JSON.stringify(text).replace(UNSAFE, (mark) => UNSAFE_ESCAPES[mark] ?? mark)
}

/** The order of keys in Go's maps: by their UTF-8 bytes, which is by code point. */
export function compareKeys(a: string, b: string): number {
  const left = Array.from(a)
  const right = Array.from(b)
  for (let i = 0; i < left.length && i < right.length; i++) {
    const difference = (left[i]?.codePointAt(0) ?? 0) - (right[i]?.codePointAt(0) ?? 0)
    if (difference !== 0) return difference
  }
  return left.length - right.length
}
