import { FrpError, messageOf } from '../contract/errors.ts'
import { readCsv } from './csv.ts'

/** How a flag's value is read; the names are those of pflag, Go's flags that frp has, and help texts show them. */
export type FlagKind = 'string' | 'int' | 'bool' | 'strings' | 'stringToString'

/** What pflag's grammar has to know of a flag. */
export interface PFlag {
  /** `_` and `-` in it are the same. */
  name: string
  /** One letter. */
  short?: string
  kind: FlagKind
}

export type FlagValue = string | number | boolean | string[] | Record<string, string>

/** pflag takes `_` and `-` for the same; commander knows the second form. */
export function dashed(name: string): string {
  return name.replaceAll('_', '-')
}

/** The same of an argument, whose value stays as it is. */
export function dashedArgument(arg: string): string {
  if (!arg.startsWith('--')) return arg
  const equals = arg.indexOf('=')
  return equals < 0 ? dashed(arg) : dashed(arg.slice(0, equals)) + arg.slice(equals)
}

/**
 * Rewrites arguments from pflag's grammar into commander's: `_` is `-`, a boolean flag takes a value only after `=`. What
 * follows a flag with a value is left alone, however it looks.
 */
export function normalize(args: readonly string[], flags: readonly PFlag[]): string[] {
  const byName = new Map<string, PFlag>()
  for (const flag of flags) {
    byName.set(`--${dashed(flag.name)}`, flag)
    if (flag.short !== undefined) byName.set(`-${flag.short}`, flag)
  }
  const out: string[] = []
  for (let i = 0; i < args.length; i++) {
    const arg = dashedArgument(args[i] ?? '')
    if (arg === '--') return [...out, ...args.slice(i)]
    const equals = arg.indexOf('=')
    const flag = byName.get(equals < 0 ? arg : arg.slice(0, equals))
    if (flag === undefined) {
      out.push(arg)
      continue
    }
    const long = `--${dashed(flag.name)}`
    if (equals >= 0) out.push(long + arg.slice(equals))
    else if (flag.kind === 'bool') out.push(`${long}=true`)
    else {
      out.push(long)
      const value = args[++i]
      if (value !== undefined) out.push(value)
    }
  }
  return out
}

/**
 * Reads a value as pflag does; `before` is what an earlier one gave: lists and maps grow, the rest is replaced. Throws
 * CONFIG_FIELD with pflag's text.
 */
export function readFlag(flag: PFlag, text: string, before?: unknown): FlagValue {
  try {
    return read(flag.kind, text, before)
  } catch (error) {
    throw wrongFlag(flag, text, messageOf(error))
  }
}

/** pflag's text for a value that cannot be read. */
export function wrongFlag({ name, short }: PFlag, text: string, why: string): FrpError {
  const shown = short === undefined ? `--${dashed(name)}` : `-${short}, --${dashed(name)}`
  return new FrpError('CONFIG_FIELD', `invalid argument ${JSON.stringify(text)} for "${shown}" flag: ${why}`)
}

function read(kind: FlagKind, text: string, before: unknown): FlagValue {
  switch (kind) {
    case 'string':
      return text
    case 'int':
      return readInt(text)
    case 'bool':
      return readBool(text)
    case 'strings':
      return [...(Array.isArray(before) ? before : []), ...(text === '' ? [] : readCsv(text))]
    case 'stringToString':
      return { ...(typeof before === 'object' ? before : {}), ...(text === '' ? {} : readPairs(text)) }
  }
}

/** Go's strconv.ParseBool. */
function readBool(text: string): boolean {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false
  throw new Error(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`)
}

/** Go's strconv.ParseInt with base 0, for decimal and 0x numbers. */
function readInt(text: string): number {
  if (!/^[+-]?(0[xX][0-9a-fA-F]+|\d+)$/.test(text)) {
    throw new Error(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`)
  }
  const value = Number(text.replace(/^[+-]/, ''))
  if (!Number.isSafeInteger(value)) {
    throw new Error(`strconv.ParseInt: parsing ${JSON.stringify(text)}: value out of range`)
  }
  return text.startsWith('-') ? -value : value
}

/** pflag's stringToString: with one `=` the text is one pair, else a line of them. */
function readPairs(text: string): Record<string, string> {
  const count = text.split('=').length - 1
  if (count === 0) throw new Error(`${text} must be formatted as key=value`)
  const pairs = count === 1 ? [text.replace(/^"+|"+$/g, '')] : readCsv(text)
  // fromEntries defines own properties, so a key `__proto__` is a key like any other.
  return Object.fromEntries(
    pairs.map((pair) => {
      const equals = pair.indexOf('=')
      if (equals < 0) throw new Error(`${pair} must be formatted as key=value`)
      return [pair.slice(0, equals), pair.slice(equals + 1)]
    }),
  )
}
