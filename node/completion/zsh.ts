import { type CommandSpec, spellings } from './spec.ts'

/** Works sourced, and as a file \`_NAME\` in a folder of \`fpath\`. */
export function zshScript(name: string, specs: readonly CommandSpec[]): string {
  const cases = specs.map(
    ({ path, commands, flags }) =>
      `    '${path}')\n` +
      `      commands=(${commands.map(({ text, about }) => quoted(`${text}:${about}`)).join(' ')})\n` +
      `      flags=(${flags.flatMap((flag) => spellings([flag]).map((text) => quoted(`${text}:${flag.about}`))).join(' ')})\n` +
      `      values=(${spellings(flags, true).join(' ')}) ;;\n`,
  )
  return `#compdef ${name}
# zsh completion for ${name}

__${name}_spec() {
  case $1 in
${cases.join('')}  esac
}

_${name}() {
  local -a commands flags values
  local at='' word
  integer i wants=0
  __${name}_spec ''
  for (( i = 2; i < CURRENT; i++ )); do
    word=\${words[i]}
    if (( wants )); then wants=0; continue; fi
    if (( \${values[(Ie)$word]} )); then wants=1; continue; fi
    if [[ $word == -* ]]; then continue; fi
    if (( \${commands[(I)$word:*]} )); then at="$at $word"; __${name}_spec $at; fi
  done
  if (( wants )); then
    _files
  elif [[ $PREFIX == -*=* ]]; then
    compset -P '*='
    _files
  elif [[ $PREFIX == -* ]]; then
    _describe -o flag flags
  else
    _describe command commands || _files
  fi
}

if [[ $funcstack[1] == _${name} ]]; then
  _${name} "$@"
else
  compdef _${name} ${name}
fi
`
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
