import { dashed, normalize, type PFlag } from '../../node/pflag.ts'

/** One flag as frp spells it, with `_`. */
export interface Flag extends PFlag {
  about: string
}

/** Flags that every command of frpc takes. */
export const ROOT_FLAGS: readonly Flag[] = [
  {
    name: 'config',
    short: 'c',
    kind: 'string',
    about: 'config file of frpc (default "./frpc.ini", else ./frpc.toml, .yaml or .json)',
  },
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

/** The key under which commander keeps the value. */
export function keyOf(flag: Flag): string {
  return dashed(flag.name).replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
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
