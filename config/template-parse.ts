/** Go's text/template, as much of it as configuration files use: text in, a tree out. */

/** One value in a pipeline. */
export type Operand =
  | { kind: 'literal'; value: string | number | boolean | null }
  | { kind: 'variable'; name: string; fields: string[] }
  | { kind: 'field'; fields: string[] }
  | { kind: 'call'; name: string }
  | { kind: 'group'; pipeline: Pipeline; fields: string[] }
/** `f a b | g`: each command gets the value of the one before as its last argument. */
export interface Pipeline {
  declares: string[]
  assigns: boolean
  commands: Operand[][]
}
export type Node = { line: number } & (
  | { kind: 'text'; text: string }
  | { kind: 'print'; pipeline: Pipeline }
  | { kind: 'if' | 'with' | 'range'; pipeline: Pipeline; body: Node[]; otherwise: Node[] }
  | { kind: 'break' | 'continue' }
)

/** What is wrong with a template, and where. */
export class TemplateError extends Error {
  readonly line: number
  constructor(line: number, message: string) {
    super(message)
    this.line = line
  }
}

/** Deeper nesting than any file has, and less than a stack. */
const MAX_DEPTH = 100
const TOKEN =
  /\s+|(?<string>"(?:[^"\\\n]|\\.)*")|(?<raw>`[^`]*`)|(?<char>'(?:[^'\\\n]|\\.)+')|(?<number>[+-]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?))|(?<variable>\$\w*)|(?<field>\.\w+)|(?<word>[A-Za-z_]\w*)|(?<mark>:=|=|\||,|\(|\)|\.)/y

interface Token {
  kind: 'string' | 'raw' | 'char' | 'number' | 'variable' | 'field' | 'word' | 'mark'
  text: string
  /** Whether blanks stand before it: `$x.A` is a chain, `$x .A` two operands. */
  spaced: boolean
}
interface Action {
  line: number
  tokens: Token[]
}

/** Parses a template. Throws {@link TemplateError}, also for what is valid Go and not known here. */
export function parseTemplate(source: string): Node[] {
  const items = split(source)
  let at = 0
  const body = (depth: number, opener: string): { nodes: Node[]; end: Action | undefined } => {
    if (depth > MAX_DEPTH) throw new TemplateError(items[at]?.line ?? 1, `more than ${MAX_DEPTH} blocks in each other`)
    const nodes: Node[] = []
    while (at < items.length) {
      const item = items[at]
      at += 1
      if (item === undefined) break
      if ('text' in item) {
        if (item.text !== '') nodes.push({ kind: 'text', text: item.text, line: item.line })
        continue
      }
      const keyword = item.tokens[0]?.kind === 'word' ? item.tokens[0].text : ''
      if (keyword === 'end' || keyword === 'else') return { nodes, end: item }
      nodes.push(node(item, keyword, depth))
    }
    if (opener !== '') throw new TemplateError(items.at(-1)?.line ?? 1, `unexpected EOF: {{${opener}}} has no {{end}}`)
    return { nodes, end: undefined }
  }
  const node = (action: Action, keyword: string, depth: number): Node => {
    const { line, tokens } = action
    if (keyword === 'if' || keyword === 'with' || keyword === 'range') {
      const pipeline = parsePipeline(tokens.slice(1), line)
      const { nodes, end } = body(depth + 1, keyword)
      return { kind: keyword, line, pipeline, body: nodes, otherwise: otherwise(end, keyword, depth) }
    }
    if (keyword === 'break' || keyword === 'continue') return { kind: keyword, line }
    if (['define', 'template', 'block'].includes(keyword)) {
      throw new TemplateError(line, `{{${keyword}}} is not supported in configuration files here`)
    }
    return { kind: 'print', line, pipeline: parsePipeline(tokens, line) }
  }
  const otherwise = (end: Action | undefined, opener: string, depth: number): Node[] => {
    if (end?.tokens[0]?.text !== 'else') return []
    if (end.tokens.length > 1) {
      // `{{else if x}}` is an if inside the else that shares its end.
      const keyword = end.tokens[1]?.text ?? ''
      if (keyword !== opener || keyword === 'range') throw new TemplateError(end.line, `unexpected ${keyword} in else`)
      if (depth > MAX_DEPTH) throw new TemplateError(end.line, `more than ${MAX_DEPTH} blocks in each other`)
      return [node({ line: end.line, tokens: end.tokens.slice(1) }, keyword, depth + 1)]
    }
    const { nodes, end: last } = body(depth + 1, opener)
    if (last?.tokens[0]?.text === 'else') throw new TemplateError(last.line, 'expected end; found {{else}}')
    return nodes
  }
  const { nodes, end } = body(0, '')
  if (end !== undefined) throw new TemplateError(end.line, `unexpected {{${end.tokens[0]?.text}}}`)
  return nodes
}

/** Texts and actions in turn, with trim markers and comments already applied. */
function split(source: string): ({ line: number; text: string } | Action)[] {
  const items: ({ line: number; text: string } | Action)[] = []
  let at = 0
  let line = 1
  let trimNext = false
  while (at <= source.length) {
    const open = source.indexOf('{{', at)
    const raw = source.slice(at, open === -1 ? source.length : open)
    const trimLast = open !== -1 && /^-\s/.test(source.slice(open + 2, open + 4))
    const start = trimNext ? raw.trimStart() : raw
    const textLine = line + newlines(raw.slice(0, raw.length - start.length))
    items.push({ line: textLine, text: trimLast ? start.trimEnd() : start })
    if (open === -1) break
    line += newlines(raw)
    const inside = open + (trimLast ? 3 : 2)
    const { tokens, end, trim } = readAction(source, inside, line)
    if (tokens.length > 0) items.push({ line, tokens })
    line += newlines(source.slice(open, end))
    trimNext = trim
    at = end
  }
  return items
}

function newlines(text: string): number {
  let count = 0
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) count += 1
  return count
}

/** Reads up to the closing braces; quoted braces do not close. */
function readAction(source: string, start: number, line: number): { tokens: Token[]; end: number; trim: boolean } {
  const comment = /\s*\/\*[\s\S]*?\*\/(\s+-)?\}\}/y
  comment.lastIndex = start
  const commented = comment.exec(source)
  if (commented !== null) return { tokens: [], end: comment.lastIndex, trim: commented[1] !== undefined }
  const tokens: Token[] = []
  let at = start
  let spaced = true
  for (;;) {
    if (source.startsWith('}}', at)) return finish(tokens, at + 2, false, line)
    if (spaced && source.startsWith('-}}', at)) return finish(tokens, at + 3, true, line)
    if (at >= source.length) throw new TemplateError(line, 'unclosed action')
    TOKEN.lastIndex = at
    const match = TOKEN.exec(source)
    if (match === null) {
      const what = source.slice(at, at + 10).split(/\s/)[0] ?? ''
      throw new TemplateError(line, `unexpected ${JSON.stringify(what)} in a template action`)
    }
    at = TOKEN.lastIndex
    const [kind] = Object.entries(match.groups ?? {}).find(([, text]) => text !== undefined) ?? []
    // The names of the groups of TOKEN are the kinds of Token.
    if (kind !== undefined) tokens.push({ kind: kind as Token['kind'], text: match[0], spaced })
    spaced = kind === undefined
  }
}

function finish(tokens: Token[], end: number, trim: boolean, line: number) {
  if (tokens.length === 0) throw new TemplateError(line, 'missing value for command')
  return { tokens, end, trim }
}

function parsePipeline(tokens: Token[], line: number): Pipeline {
  const declared = declarations(tokens)
  const cursor = { tokens: tokens.slice(declared.length), at: 0 }
  const commands = parseCommands(cursor, line, 0)
  if (cursor.at < cursor.tokens.length) throw new TemplateError(line, `unexpected ${cursor.tokens[cursor.at]?.text}`)
  return { declares: declared.names, assigns: declared.assigns, commands }
}

/** `$x :=`, `$x =`, `$i, $x :=`; how many tokens that took. */
function declarations(tokens: Token[]): { names: string[]; assigns: boolean; length: number } {
  const mark = tokens.findIndex((token) => token.text === ':=' || token.text === '=')
  const shape = tokens.slice(0, mark + 1).map((token) => (token.kind === 'variable' ? '$' : token.text))
  if (mark === -1 || !/^\$(,\$)?:?=$/.test(shape.join(''))) return { names: [], assigns: false, length: 0 }
  const names = tokens.slice(0, mark).filter((token) => token.kind === 'variable')
  return { names: names.map((token) => token.text), assigns: tokens[mark]?.text === '=', length: mark + 1 }
}

interface Cursor {
  tokens: Token[]
  at: number
}

function parseCommands(cursor: Cursor, line: number, depth: number): Operand[][] {
  if (depth > MAX_DEPTH) throw new TemplateError(line, `more than ${MAX_DEPTH} parentheses in each other`)
  const commands: Operand[][] = [[]]
  while (cursor.at < cursor.tokens.length) {
    const token = cursor.tokens[cursor.at]
    if (token === undefined || token.text === ')') break
    cursor.at += 1
    if (token.kind === 'mark' && token.text === '|') commands.push([])
    else commands.at(-1)?.push(operand(token, cursor, line, depth))
  }
  if (commands.some((command) => command.length === 0)) throw new TemplateError(line, 'missing value for command')
  return commands
}

function operand(token: Token, cursor: Cursor, line: number, depth: number): Operand {
  switch (token.kind) {
    case 'string':
      return { kind: 'literal', value: unquoted(token.text, line) }
    case 'raw':
      return { kind: 'literal', value: token.text.slice(1, -1) }
    case 'char':
      return { kind: 'literal', value: unquoted(`"${token.text.slice(1, -1)}"`, line).codePointAt(0) ?? 0 }
    case 'number':
      return { kind: 'literal', value: Number(token.text) }
    case 'variable':
      return { kind: 'variable', name: token.text, fields: chain(cursor) }
    case 'field':
      return { kind: 'field', fields: [token.text.slice(1), ...chain(cursor)] }
    case 'word':
      if (token.text === 'true' || token.text === 'false') return { kind: 'literal', value: token.text === 'true' }
      return token.text === 'nil' ? { kind: 'literal', value: null } : { kind: 'call', name: token.text }
    case 'mark':
      if (token.text === '.') return { kind: 'field', fields: [] }
      if (token.text !== '(') throw new TemplateError(line, `unexpected ${JSON.stringify(token.text)} in operand`)
  }
  const commands = parseCommands(cursor, line, depth + 1)
  if (cursor.tokens[cursor.at]?.text !== ')') throw new TemplateError(line, 'unclosed left paren')
  cursor.at += 1
  return { kind: 'group', pipeline: { declares: [], assigns: false, commands }, fields: chain(cursor) }
}

/** `.A.B` right behind an operand. */
function chain(cursor: Cursor): string[] {
  const fields: string[] = []
  for (;;) {
    const next = cursor.tokens[cursor.at]
    if (next?.kind !== 'field' || next.spaced) return fields
    fields.push(next.text.slice(1))
    cursor.at += 1
  }
}

function unquoted(text: string, line: number): string {
  // The escapes that Go and JSON share are the ones in use.
  const json = text.replaceAll("\\'", "'").replaceAll('\t', '\\t')
  if (!/^"(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"$/u.test(json)) {
    throw new TemplateError(line, `unknown escape in ${text.slice(0, 40)}`)
  }
  return JSON.parse(json)
}
