/** A command of a command line, as commander has it; only what completion looks at. */
export interface CommandTree {
  name(): string
  description(): string
  readonly commands: readonly CommandTree[]
  readonly options: readonly OptionOfTree[]
}

interface OptionOfTree {
  /** `-c, --config <file>` */
  readonly flags: string
  readonly description: string
  readonly hidden: boolean
  readonly long?: string | undefined
  readonly short?: string | undefined
}

/** Something that may be typed, and what it is for. */
export interface Word {
  text: string
  about: string
}

export interface FlagSpec {
  /** `--config` */
  long: string
  /** `-c` */
  short: string | undefined
  about: string
  takesValue: boolean
}

/** What may follow one command. */
export interface CommandSpec {
  /** The names below the program's own, each after a space: `''`, `' completion bash'`. */
  path: string
  commands: Word[]
  /** Its own and those of the commands above it. */
  flags: FlagSpec[]
  ownFlags: FlagSpec[]
}

const HELP: FlagSpec = { long: '--help', short: '-h', about: 'help', takesValue: false }

/** The commands of a program, the program itself first. The flags of a command are those of its parents too. */
export function specsOf(program: CommandTree): CommandSpec[] {
  const specs = below(program, '', [])
  specs[0]?.commands.push({ text: 'help', about: 'Help about any command' })
  return specs
}

function below(command: CommandTree, path: string, inherited: readonly FlagSpec[]): CommandSpec[] {
  const own = command.options.filter(({ hidden }) => !hidden).flatMap(flagOf)
  if (path === '') own.push(HELP)
  const flags = [...own, ...inherited]
  const commands = command.commands.map((one) => ({ text: one.name(), about: one.description() }))
  return [
    { path, commands, flags, ownFlags: own },
    ...command.commands.flatMap((one) => below(one, `${path} ${one.name()}`, flags)),
  ]
}

function flagOf({ long, short, flags, description }: OptionOfTree): FlagSpec[] {
  if (long === undefined) return []
  // pflag's booleans take a value after `=` alone, which nobody needs to complete.
  const takesValue = /<(?!bool>)/.test(flags)
  return [{ long, short, about: description, takesValue }]
}

/** All spellings of flags, those that take a value only when asked. */
export function spellings(flags: readonly FlagSpec[], onlyWithValue = false): string[] {
  return flags
    .filter(({ takesValue }) => takesValue || !onlyWithValue)
    .flatMap(({ long, short }) => (short === undefined ? [long] : [long, short]))
}
