import { type CommandSpec, spellings } from './spec.ts'

/** For bash 3.2 and later (macOS), without the package bash-completion. */
export function bashScript(name: string, specs: readonly CommandSpec[]): string {
  const cases = specs.map(
    ({ path, commands, flags }) =>
      `    '${path}')\n` +
      `      commands='${commands.map(({ text }) => text).join(' ')}'\n` +
      `      flags='${spellings(flags).join(' ')}'\n` +
      `      values=' ${spellings(flags, true).join(' ')} ' ;;\n`,
  )
  return `# bash completion for ${name}

__${name}_spec() {
  case "$1" in
${cases.join('')}  esac
}

__${name}_complete() {
  local commands flags values at='' i word wants=0
  local cur="\${COMP_WORDS[COMP_CWORD]}"
  # frp's own spelling of flags has "_" for "-".
  if [[ "$cur" == --* ]]; then cur="\${cur//_/-}"; fi
  COMPREPLY=()
  __${name}_spec ''
  for (( i = 1; i < COMP_CWORD; i++ )); do
    word="\${COMP_WORDS[i]}"
    # bash cuts words at "=".
    if [[ "$word" == '=' ]]; then wants=1; continue; fi
    if (( wants )); then wants=0; continue; fi
    if [[ "$word" == --* ]]; then word="\${word//_/-}"; fi
    if [[ "$values" == *" $word "* ]]; then wants=1; continue; fi
    if [[ "$word" == -* ]]; then continue; fi
    if [[ " $commands " == *" $word "* ]]; then at="$at $word"; __${name}_spec "$at"; fi
  done
  # Nothing in COMPREPLY: bash offers the names of files.
  if (( wants )) || [[ "$cur" == '=' ]]; then
    if [[ "$cur" == '=' ]]; then cur=''; fi
    COMPREPLY=( $(compgen -f -- "$cur") )
  elif [[ "$cur" == -* ]]; then
    COMPREPLY=( $(compgen -W "$flags" -- "$cur") )
  else
    COMPREPLY=( $(compgen -W "$commands" -- "$cur") )
  fi
}

complete -o default -F __${name}_complete ${name}
`
}
