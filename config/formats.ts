import { parse as parseToml, TomlError } from 'smol-toml'
import { isAlias, isMap, isScalar, isSeq, LineCounter, type ParsedNode, parseDocument, type ScalarTag } from 'yaml'
import { FrpError, messageOf } from '../contract/errors.ts'
import { isTable } from './field.ts'
import { type Path, type Place, pathKey, syntaxError } from './problems.ts'
import { tomlPositions } from './toml-positions.ts'

/** Where exactly a key stands; undefined when the file does not have it. */
export type Find = (path: Path) => Place | undefined

/** A parsed file. */
export interface Parsed {
  raw: Record<string, unknown>
  find: Find
}

/** Turns a line of the rendered text into one of the file. */
export type LineOf = (line: number) => number

/** Go's YAML package resolves these of YAML 1.1, and stock files use them. */
const YAML_BOOLS: readonly [boolean, RegExp][] = [
  [true, /^(?:y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE)$/],
  [false, /^(?:n|N|no|No|NO|off|Off|OFF|false|False|FALSE)$/],
]

/** `key = value` or `[[table]]` at the start of a line, which YAML would read as one long string. */
const TOML_LINE = /^[ \t]*(?:[A-Za-z][\w.]*[ \t]*=|\[\[?[A-Za-z][\w.]*\]\]?[ \t]*$)/m

/**
 * Parses TOML, JSON or YAML in frp's order (`pkg/config/load.go`, LoadConfigure): TOML first whatever the name,
 * then JSON if it starts like it, else YAML. Throws FrpError CONFIG_SYNTAX.
 */
export function parseText(text: string, fileName: string, lineOf: LineOf): Parsed {
  let tomlError: FrpError
  try {
    return parseTomlText(text, fileName, lineOf)
  } catch (error) {
    tomlError = tomlSyntaxError(error, fileName, lineOf)
  }
  if (/\.toml$/i.test(fileName)) throw tomlError
  if (text.trimStart().startsWith('{')) return parseJsonText(text, fileName, lineOf)
  const isYaml = /\.ya?ml$/i.test(fileName)
  // Without a name to go by, what TOML has to say helps more where the text looks like it.
  if (!isYaml && TOML_LINE.test(text)) throw tomlError
  const parsed = parseYamlText(text, fileName, lineOf)
  if (parsed !== undefined) return parsed
  throw isYaml ? syntaxError({ fileName }, 'yaml: a configuration is a table of keys') : tomlError
}

function parseTomlText(text: string, fileName: string, lineOf: LineOf): Parsed {
  const raw = parseToml(text)
  return { raw, find: lazily(fileName, lineOf, () => tomlPositions(text)) }
}

function tomlSyntaxError(error: unknown, fileName: string, lineOf: LineOf): FrpError {
  const text = messageOf(error).split('\n')[0] ?? ''
  const reason = text.replace(/^Invalid TOML document: /, '')
  if (!(error instanceof TomlError)) return syntaxError({ fileName }, `toml: ${reason}`)
  const line = lineOf(error.line)
  return syntaxError({ fileName, line }, `toml: line ${line}, column ${error.column}: ${reason}`, error)
}

function parseJsonText(text: string, fileName: string, lineOf: LineOf): Parsed {
  try {
    const raw: unknown = JSON.parse(text)
    // JSON is YAML, so YAML's tree tells the lines.
    if (isTable(raw)) return { raw, find: lazily(fileName, lineOf, () => yamlTree(text).positions()) }
  } catch (error) {
    const position = /position (\d+)/.exec(messageOf(error))?.[1]
    const line = position === undefined ? undefined : lineOf(text.slice(0, Number(position)).split('\n').length)
    // V8 may quote the text around the fault, and a token may stand there.
    const reason = messageOf(error).replace(/, (?:\.\.\.)?"[\s\S]* is not valid JSON$/, '')
    throw syntaxError({ fileName, line }, `json: ${reason}`)
  }
  throw syntaxError({ fileName }, 'json: a configuration is an object')
}

function parseYamlText(text: string, fileName: string, lineOf: LineOf): Parsed | undefined {
  let tree: ReturnType<typeof yamlTree>
  let value: unknown
  try {
    tree = yamlTree(text)
    const [error] = tree.document.errors
    if (error !== undefined) {
      const line = lineOf(tree.lineAt(error.pos[0]))
      const reason = error.message.split('\n')[0] ?? ''
      throw syntaxError({ fileName, line }, `yaml: ${reason}`, error)
    }
    value = tree.document.toJS()
  } catch (error) {
    if (error instanceof FrpError) throw error
    // Too many aliases, or nesting deeper than the stack.
    throw syntaxError({ fileName }, `yaml: ${messageOf(error)}`, error)
  }
  if (value === null || value === undefined) value = {}
  if (!isTable(value)) return undefined
  // frp drops keys that start with a dot, so that `.anchors: &x` can hold what is merged elsewhere.
  const raw = Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith('.')))
  return { raw, find: lazily(fileName, lineOf, tree.positions) }
}

function yamlTree(text: string) {
  const counter = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: counter,
    merge: true,
    logLevel: 'silent',
    // It draws the place of each of maybe thousands of errors; the first is enough, and its line.
    prettyErrors: false,
    customTags: (tags) => [...YAML_BOOLS.map(boolTag), ...tags],
  })
  const positions = (): Map<string, number> => {
    const lines = new Map<string, number>()
    const walk = (node: ParsedNode | null, path: Path): void => {
      if (node === null || isAlias(node)) return
      if (path.length > 0) lines.set(pathKey(path), counter.linePos(node.range[0]).line)
      if (isSeq(node)) for (const [index, item] of node.items.entries()) walk(item, [...path, index])
      if (!isMap(node)) return
      for (const { key, value } of node.items) {
        const name = isScalar(key) ? String(key.value) : ''
        walk(value, [...path, name])
        // The line of the key, not that of the table below it.
        lines.set(pathKey([...path, name]), counter.linePos(key.range[0]).line)
      }
    }
    walk(document.contents, [])
    return lines
  }
  return { document, positions, lineAt: (offset: number) => counter.linePos(offset).line }
}

function boolTag([value, test]: readonly [boolean, RegExp]): ScalarTag {
  return { tag: 'tag:yaml.org,2002:bool', default: true, test, resolve: () => value, identify: () => false }
}

/** Positions are looked for once somebody asks: a sound file never does. */
function lazily(fileName: string, lineOf: LineOf, positions: () => Map<string, number>): Find {
  let lines: Map<string, number> | undefined
  return (path) => {
    lines ??= positions()
    const line = lines.get(pathKey(path))
    return line === undefined ? undefined : { fileName, line: lineOf(line) }
  }
}
