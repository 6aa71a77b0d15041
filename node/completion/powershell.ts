import { type CommandSpec, spellings, type Word } from './spec.ts'

/** For Windows PowerShell 5.1 and later. */
export function powershellScript(name: string, specs: readonly CommandSpec[]): string {
  const entries = specs.map(({ path, commands, flags }) => {
    const flagWords = flags.flatMap((flag) => spellings([flag]).map((text) => ({ text, about: flag.about })))
    return (
      `        ${quoted(path)} = @{\n` +
      `            Commands = @(${commands.map(wordOf).join(', ')})\n` +
      `            Flags = @(${flagWords.map(wordOf).join(', ')})\n` +
      `            Values = @(${spellings(flags, true).map(quoted).join(', ')})\n` +
      '        }\n'
    )
  })
  return `# powershell completion for ${name}

Register-ArgumentCompleter -Native -CommandName '${name}', '${name}.exe' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $specs = @{
${entries.join('')}    }
    $at = ''
    $wants = $false
    foreach ($element in @($commandAst.CommandElements | Select-Object -Skip 1)) {
        # The word under the cursor is what is completed.
        if ($element.Extent.EndOffset -ge $cursorPosition) { break }
        $word = $element.ToString()
        if ($wants) { $wants = $false }
        elseif ($specs[$at].Values -ccontains $word) { $wants = $true }
        elseif (@($specs[$at].Commands | ForEach-Object { ($_ -split ' ', 2)[0] }) -ccontains $word) { $at = "$at $word" }
    }
    # Nothing found: PowerShell offers the names of files.
    if ($wants) { return }
    $words = if ($wordToComplete.StartsWith('-')) { $specs[$at].Flags } else { $specs[$at].Commands }
    foreach ($one in $words) {
        $text, $about = $one -split ' ', 2
        if (-not $text.StartsWith($wordToComplete, [System.StringComparison]::Ordinal)) { continue }
        [System.Management.Automation.CompletionResult]::new($text, $text, 'ParameterValue', $about)
    }
}
`
}

/** One string for both, since keys of tables know no case there; no tool tip may be empty. */
function wordOf({ text, about }: Word): string {
  return quoted(`${text} ${about === '' ? text : about}`)
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
