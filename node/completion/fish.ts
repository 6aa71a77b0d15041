import type { CommandSpec, FlagSpec } from './spec.ts'

/** One line for each word of each command. */
export function fishScript(name: string, specs: readonly CommandSpec[]): string {
  const lines = specs.flatMap(({ path, commands, ownFlags }) => {
    const isHere = `-n ${quoted(`__${name}_at${path === '' ? " ''" : path}`)}`
    return [
      ...commands.map(({ text, about }) => `complete -c ${name} ${isHere} -a ${text} -d ${quoted(about)}`),
      // The flags of the program itself are good everywhere.
      ...ownFlags.map(
        (flag) =>
          `complete -c ${name} ${path === '' ? '' : `${isHere} `}${flagArguments(flag)} -d ${quoted(flag.about)}`,
      ),
    ]
  })
  const withValue = new Set(
    specs.flatMap(({ flags }) =>
      flags.filter(({ takesValue }) => takesValue).flatMap(({ long, short }) => [long, short]),
    ),
  )
  const words = new Set(specs.flatMap(({ commands }) => commands.map(({ text }) => text)))
  return `# fish completion for ${name}

# Whether the commands that were typed are these.
function __${name}_at
    set -l at
    set -l wants 0
    set -l words (commandline -opc)
    set -e words[1]
    for word in $words
        if test $wants = 1
            set wants 0
        else if contains -- $word ${[...withValue].filter((text) => text !== undefined).join(' ')}
            set wants 1
        else if contains -- $word ${[...words].join(' ')}
            set -a at $word
        end
    end
    test "$at" = "$argv"
end

complete -c ${name} -f
${lines.join('\n')}
`
}

/** A value is the name of a file, as far as anybody knows. */
function flagArguments({ long, short, takesValue }: FlagSpec): string {
  const spelled = short === undefined ? [`-l ${long.slice(2)}`] : [`-l ${long.slice(2)}`, `-s ${short.slice(1)}`]
  return [...spelled, ...(takesValue ? ['-r', '-F'] : [])].join(' ')
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
