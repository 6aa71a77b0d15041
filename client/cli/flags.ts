/** How a flag's value is read; the names are pflag's, which frp uses. */
type FlagKind = 'string' | 'int' | 'bool' | 'strings' | 'map'

/** One flag as frp spells it, with `_`; `short` is one letter. */
export interface Flag {
  name: string
  short?: string
  kind: FlagKind
  about: string
}

/** Flags that every command of frpc takes. */
export const ROOT_FLAGS: readonly Flag[] = [
  { name: 'config', short: 'c', kind: 'string', about: 'config file of frpc (default "./frpc.ini")' },
  {
    name: 'config_dir',
    kind: 'string',
    about: 'config directory, run one frpc service for each file in config directory',
  },
  { name: 'edgefrp', kind: 'string', about: 'file with the keys of the table edgefrp alone (or EDGEFRP_CONFIG)' },
  { name: 'version', short: 'v', kind: 'bool', about: 'version of frpc' },
  {
    name: 'strict_config',
    kind: 'bool',
    about: 'strict config parsing mode, unknown fields will cause an errors (default true)',
  },
  { name: 'allow-unsafe', kind: 'strings', about: 'allowed unsafe features, one or more of: TokenSourceExec' },
]

/** pflag takes `_` and `-` for the same; commander knows the second form. */
export function dashed(name: string): string {
  return name.replaceAll('_', '-')
}

/** The key under which commander keeps the value. */
export function keyOf(flag: Flag): string {
  return dashed(flag.name).replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
}

/**
 * Rewrites arguments from pflag's grammar into commander's: `_` is `-`, a boolean flag takes a value only after
 * `=`. What follows a flag with a value is left alone, however it looks.
 */
export function normalize(args: readonly string[], flags: readonly Flag[]): string[] {
  const byName = new Map(flags.map((flag) => [`--${dashed(flag.name)}`, flag]))
  const byShort = new Map<string, Flag>(
    flags.flatMap((flag) => (flag.short === undefined ? [] : [[`-${flag.short}`, flag] as const])),
  )
  const out: string[] = []
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? ''
    if (arg === '--') return [...out, ...args.slice(i)]
    const equals = arg.indexOf('=')
    const spelled = equals < 0 ? arg : arg.slice(0, equals)
    const name = spelled.startsWith('--') ? dashed(spelled) : spelled
    const flag = byName.get(name) ?? byShort.get(name)
    if (flag === undefined) {
      out.push(arg.startsWith('--') ? name + arg.slice(spelled.length) : arg)
    } else {
      const long = `--${dashed(flag.name)}`
      if (equals >= 0) out.push(`${long}=${arg.slice(equals + 1)}`)
      else if (flag.kind === 'bool') out.push(`${long}=true`)
      else {
        out.push(long)
        const value = args[++i]
        if (value !== undefined) out.push(value)
      }
    }
  }
  return out
}

/**
 * {@link normalize} where a command may be two words: `ofTwo` answers its flags, one of which may be spelled like
 * another command's, or undefined. They may stand before the words too, as in frp; here they come behind.
 */
export function normalizeCommand(
  args: readonly string[],
  all: readonly Flag[],
  ofTwo: (first: string, second: string) => readonly Flag[] | undefined,
): string[] {
  const normalized = normalize(args, all)
  const [first, second] = wordsOf(normalized)
  if (first === undefined || second === undefined) return normalized
  const flags = ofTwo(first.word, second.word)
  if (flags === undefined) return normalized
  const rest = normalize(args, [...all, ...flags])
  return [first.word, second.word, ...rest.filter((_, index) => index !== first.index && index !== second.index)]
}

/** The words of normalized arguments that are neither a flag nor the value of one. */
function wordsOf(args: readonly string[]): { word: string; index: number }[] {
  const words: { word: string; index: number }[] = []
  for (let index = 0; index < args.length; index++) {
    const word = args[index] ?? ''
    if (word === '--') break
    if (!word.startsWith('-')) words.push({ word, index })
    // A flag without `=` has its value behind it.
    else if (word.startsWith('--') && !word.includes('=')) index += 1
  }
  return words
}

/** Reads a value as pflag does; throws the text that frp prints after `Error: `. */
export function readFlag(flag: Flag, text: string, before: unknown): unknown {
  switch (flag.kind) {
    case 'string':
      return text
    case 'int':
      if (!/^[+-]?\d{1,15}$/.test(text)) throw invalid(flag, text, 'not an integer')
      return Number(text)
    case 'bool':
      if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true
      if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false
      throw invalid(flag, text, 'not a boolean')
    case 'strings':
      return [...(Array.isArray(before) ? before : []), ...(text === '' ? [] : text.split(','))]
    case 'map':
      return { ...(typeof before === 'object' ? before : {}), ...readMap(flag, text) }
  }
}

function readMap(flag: Flag, text: string): Record<string, string> {
  const out: Record<string, string> = Object.create(null)
  for (const pair of text === '' ? [] : text.split(',')) {
    const equals = pair.indexOf('=')
    if (equals < 0) throw invalid(flag, text, `${pair} must be formatted as key=value`)
    out[pair.slice(0, equals)] = pair.slice(equals + 1)
  }
  return out
}

function invalid(flag: Flag, text: string, why: string): Error {
  const shown = flag.short === undefined ? `--${flag.name}` : `-${flag.short}, --${flag.name}`
  return new Error(`invalid argument ${JSON.stringify(text)} for "${shown}" flag: ${why}`)
}
