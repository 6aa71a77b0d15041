import type { LineOf } from './formats.ts'
import { syntaxError } from './problems.ts'
import { GO_FUNCTIONS, printed, type TemplateFunctions, V1_EXTRAS, type Value } from './template-functions.ts'
import { type Node, type Operand, type Pipeline, parseTemplate, TemplateError } from './template-parse.ts'

/** The functions of a TOML, YAML or JSON file. */
export const V1_FUNCTIONS: TemplateFunctions = { ...GO_FUNCTIONS, ...V1_EXTRAS }
/** An INI file has Go's own alone (frp: `pkg/config/legacy/value.go`). */
export const INI_FUNCTIONS: TemplateFunctions = GO_FUNCTIONS

/** Bounds on what a small file may ask of us; frp has none. */
const MAX_OUTPUT_CHARS = 16 * 1024 * 1024
const MAX_STEPS = 1_000_000

/** A rendered file, and which line of the file a line of it (both from 1) came from. */
export interface Rendered {
  text: string
  lineOf: LineOf
}

/**
 * Renders a file as frp does, with Go's text/template over `.Envs` (frp: `pkg/config/load.go`). A missing variable
 * prints `<no value>`. Throws FrpError CONFIG_SYNTAX that names the construct and its line.
 */
export function render(
  source: string,
  fileName: string,
  envs: Readonly<Record<string, string>>,
  functions: TemplateFunctions,
): Rendered {
  if (!source.includes('{{')) return { text: source, lineOf: (line) => line }
  try {
    const run = new Run(envs, functions)
    run.nodes(parseTemplate(source))
    const { lines } = run
    return { text: run.parts.join(''), lineOf: (line) => lines[line - 1] ?? lines.at(-1) ?? line }
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error
    throw syntaxError({ fileName, line: error.line }, `template: ${error.message}`, error)
  }
}

type Jump = 'break' | 'continue' | undefined

class Run {
  readonly parts: string[] = []
  /** The source line of each line of the output. */
  readonly lines: number[] = [1]
  readonly #functions: TemplateFunctions
  /** Innermost scope last. */
  readonly #scopes: Map<string, Value>[]
  #dot: Value
  #line = 1
  #chars = 0
  #steps = 0

  constructor(envs: Readonly<Record<string, string>>, functions: TemplateFunctions) {
    this.#functions = functions
    this.#dot = new Map<string, Value>([['Envs', new Map<string, Value>(Object.entries(envs))]])
    this.#scopes = [new Map([['$', this.#dot]])]
  }

  nodes(nodes: readonly Node[]): Jump {
    for (const node of nodes) {
      this.#line = node.line
      this.#steps += 1
      if (this.#steps > MAX_STEPS) throw this.#error(`more than ${MAX_STEPS} steps`)
      const jump = this.#node(node)
      if (jump !== undefined) return jump
    }
    return undefined
  }

  #node(node: Node): Jump {
    switch (node.kind) {
      case 'text':
        return this.#write(node.text, true)
      case 'print': {
        const value = this.#pipeline(node.pipeline)
        return node.pipeline.declares.length > 0 ? undefined : this.#write(printed(value), false)
      }
      case 'range':
        return this.#scoped(() => this.#range(node))
      case 'if':
      case 'with':
        return this.#scoped(() => this.#branch(node))
      case 'break':
      case 'continue':
        return node.kind
    }
  }

  #branch(node: Node & { kind: 'if' | 'with' | 'range' }): Jump {
    const value = this.#pipeline(node.pipeline)
    const dot = this.#dot
    if (!isTrue(value)) return this.nodes(node.otherwise)
    if (node.kind === 'with') this.#dot = value
    const jump = this.nodes(node.body)
    this.#dot = dot
    return jump
  }

  #range(node: Node & { kind: 'if' | 'with' | 'range' }): Jump {
    const value = this.#pipeline({ ...node.pipeline, declares: [] })
    const entries = entriesOf(value)
    if (entries === undefined) throw this.#error(`range can't iterate over ${printed(value)}`)
    if (entries.length === 0) return this.nodes(node.otherwise)
    const dot = this.#dot
    const names = node.pipeline.declares
    const last = names.at(-1)
    for (const [key, item] of entries) {
      this.#dot = item
      const jump = this.#scoped(() => {
        if (names.length === 2 && names[0] !== undefined) this.#declare(names[0], key)
        if (last !== undefined) this.#declare(last, item)
        return this.nodes(node.body)
      })
      if (jump === 'break') break
    }
    this.#dot = dot
    return undefined
  }

  #scoped(run: () => Jump): Jump {
    this.#scopes.push(new Map())
    const jump = run()
    this.#scopes.pop()
    return jump
  }

  #declare(name: string, value: Value): void {
    this.#scopes.at(-1)?.set(name, value)
  }

  #pipeline(pipeline: Pipeline): Value {
    let value: Value
    pipeline.commands.forEach((command, index) => {
      value = this.#command(command, index === 0 ? [] : [value])
    })
    const [name] = pipeline.declares
    if (name === undefined) return value
    if (!pipeline.assigns) this.#declare(name, value)
    else this.#scopeOf(name).set(name, value)
    return value
  }

  #command([first, ...rest]: readonly Operand[], last: Value[]): Value {
    if (first?.kind !== 'call') {
      if (rest.length + last.length > 0) throw this.#error("can't give an argument to what is no function")
      return first === undefined ? undefined : this.#operand(first)
    }
    const { name } = first
    const call = Object.hasOwn(this.#functions, name) ? this.#functions[name] : undefined
    if (call === undefined) throw this.#error(`function "${name}" not defined`)
    const args = [...rest.map((operand) => this.#operand(operand)), ...last]
    const result = call(args)
    if ('wrong' in result) throw this.#error(`error calling ${name}: ${result.wrong}`)
    return result.value
  }

  #operand(operand: Operand): Value {
    switch (operand.kind) {
      case 'literal':
        return operand.value
      case 'variable':
        return this.#fields(this.#scopeOf(operand.name).get(operand.name), operand.fields)
      case 'field':
        return this.#fields(this.#dot, operand.fields)
      case 'group':
        return this.#fields(this.#pipeline(operand.pipeline), operand.fields)
      case 'call':
        return this.#command([operand], [])
    }
  }

  #fields(start: Value, fields: readonly string[]): Value {
    let value = start
    for (const field of fields) {
      if (!(value instanceof Map)) throw this.#error(`can't evaluate field ${field}`)
      const isEnvs = value === this.#envs()
      if (!isEnvs && !value.has(field)) throw this.#error(`can't evaluate field ${field}`)
      value = value.get(field)
    }
    return value
  }

  #envs(): Value {
    const root = this.#scopes[0]?.get('$')
    return root instanceof Map ? root.get('Envs') : undefined
  }

  #scopeOf(name: string): Map<string, Value> {
    const scope = this.#scopes.findLast((candidate) => candidate.has(name))
    if (scope === undefined) throw this.#error(`undefined variable "${name}"`)
    return scope
  }

  #write(text: string, isSource: boolean): undefined {
    this.#chars += text.length
    if (this.#chars > MAX_OUTPUT_CHARS) throw this.#error(`the file grows beyond ${MAX_OUTPUT_CHARS} characters`)
    let line = this.#line
    // A line of the output belongs to the source line where it begins; one begun in mid-line to that of its text.
    if (isSource && (this.parts.at(-1)?.endsWith('\n') ?? true)) this.lines[this.lines.length - 1] = line
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) {
      if (isSource) line += 1
      this.lines.push(line)
    }
    if (text !== '') this.parts.push(text)
    return undefined
  }

  #error(message: string): TemplateError {
    return new TemplateError(this.#line, message)
  }
}

/** Go's truth: not the zero value of its type, nor empty. */
function isTrue(value: Value): boolean {
  if (Array.isArray(value)) return value.length > 0
  if (value instanceof Map) return value.size > 0
  return value !== undefined && value !== null && value !== false && value !== 0 && value !== ''
}

function entriesOf(value: Value): [Value, Value][] | undefined {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value.map((item, index) => [index, item])
  // Go visits a map in the order of its keys.
  if (value instanceof Map) return [...value].toSorted(([a], [b]) => (a < b ? -1 : 1))
  if (typeof value === 'number' && Number.isInteger(value) && value <= MAX_STEPS) {
    return Array.from({ length: Math.max(0, value) }, (_, index) => [index, index])
  }
  return undefined
}
