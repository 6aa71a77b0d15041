import { parseNumberRange } from './number-range.ts'

/** A value of a template; undefined is what a missing key gives. */
export type Value = string | number | boolean | null | undefined | Value[] | Map<string, Value>
type Result = { value: Value } | { wrong: string }
export type TemplateFunctions = Readonly<Record<string, (args: readonly Value[]) => Result>>

/** Go's own functions, those that a configuration has a use for. */
export const GO_FUNCTIONS: TemplateFunctions = {
  printf: (args) => ({ value: formatted(args) }),
  print: (args) => ({ value: args.map(printed).join('') }),
  println: (args) => ({ value: `${args.map(printed).join(' ')}\n` }),
  len: ([value]) => {
    if (typeof value === 'string') return { value: new TextEncoder().encode(value).length }
    if (Array.isArray(value)) return { value: value.length }
    return value instanceof Map ? { value: value.size } : { wrong: `len of ${printed(value)}` }
  },
  index: ([value, ...keys]) => index(value, keys),
  // A function here sees its arguments evaluated: nothing in a configuration has side effects.
  and: (args) => ({ value: args.find((arg) => !truth(arg)) ?? args.at(-1) }),
  or: (args) => ({ value: args.find(truth) ?? args.at(-1) }),
  not: ([value]) => ({ value: !truth(value) }),
  eq: ([first, ...others]) =>
    others.length === 0 ? { wrong: 'missing argument for comparison' } : { value: others.includes(first) },
  ne: (args) => comparison(args, (a, b) => a !== b),
  lt: (args) => comparison(args, (a, b) => a < b),
  le: (args) => comparison(args, (a, b) => a <= b),
  gt: (args) => comparison(args, (a, b) => a > b),
  ge: (args) => comparison(args, (a, b) => a >= b),
}

/** What frp adds (frp: `pkg/config/template.go`). */
export const V1_EXTRAS: TemplateFunctions = {
  parseNumberRange: ([text]) => {
    const range = parseNumberRange(printed(text))
    return range.wrong === undefined ? { value: range.numbers } : range
  },
  parseNumberRangePair: ([firstText, secondText]) => {
    const first = parseNumberRange(printed(firstText))
    if (first.wrong !== undefined) return first
    const second = parseNumberRange(printed(secondText))
    if (second.wrong !== undefined) return second
    if (first.numbers.length !== second.numbers.length) {
      return { wrong: 'first and second range numbers are not in pairs' }
    }
    const pair = (number: number, at: number): Value =>
      new Map<string, Value>([
        ['First', number],
        ['Second', second.numbers[at]],
      ])
    return { value: first.numbers.map(pair) }
  },
}

/** What Go's `fmt` prints for a value. */
export function printed(value: Value): string {
  if (value === undefined || value === null) return '<no value>'
  if (Array.isArray(value)) return `[${value.map(printed).join(' ')}]`
  if (value instanceof Map) return `map[${[...value].map(([key, item]) => `${key}:${printed(item)}`).join(' ')}]`
  return String(value)
}

function truth(value: Value): boolean {
  if (Array.isArray(value)) return value.length > 0
  return value instanceof Map ? value.size > 0 : Boolean(value)
}

function index(start: Value, keys: readonly Value[]): Result {
  let value = start
  for (const key of keys) {
    if (value instanceof Map) value = value.get(printed(key)) ?? ''
    else if (Array.isArray(value) && typeof key === 'number' && key in value) value = value[key]
    else return { wrong: `index out of range: ${printed(key)}` }
  }
  return { value }
}

function comparison(args: readonly Value[], compare: (a: string | number, b: string | number) => boolean): Result {
  const [a, b] = args
  const fits = (value: Value): value is string | number => typeof value === 'string' || typeof value === 'number'
  if (args.length !== 2 || !fits(a) || !fits(b) || typeof a !== typeof b) {
    return { wrong: 'incompatible types for comparison' }
  }
  return { value: compare(a, b) }
}

/** `%s %v %d %q %x %%` with a width; other verbs print as Go prints a wrong one. */
function formatted([format, ...args]: readonly Value[]): string {
  let next = 0
  return printed(format).replace(
    /%(-?)(0?)(\d{0,3})([a-zA-Z%])/g,
    (_, left: string, zero: string, width: string, verb) => {
      if (verb === '%') return '%'
      if (next >= args.length) return `%!${verb}(MISSING)`
      const arg = args[next]
      next += 1
      const body = verbText(verb, arg)
      if (left === '-') return body.padEnd(Number(width))
      return body.padStart(Number(width), zero === '0' ? '0' : ' ')
    },
  )
}

function verbText(verb: string, value: Value): string {
  if (verb === 'q') return JSON.stringify(printed(value))
  if (verb === 'x' && typeof value === 'number') return value.toString(16)
  if (verb === 'd' ? typeof value === 'number' : verb === 's' || verb === 'v') return printed(value)
  return `%!${verb}(${printed(value)})`
}
