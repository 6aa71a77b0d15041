import { Command } from 'commander'
import { completionScript, LOADING, SHELLS } from '../node/completion/scripts.ts'

/** `completion bash|zsh|fish|powershell`, as cobra gives it to frps; `print` gets the script. */
export function completionCommand(
  program: Command,
  print: (text: string) => void,
  prepare: (one: Command) => void,
): void {
  const completion = new Command('completion')
    .description('Generate the autocompletion script for the specified shell')
    .allowExcessArguments(true)
    .action(() => completion.outputHelp())
  for (const shell of SHELLS) {
    const command = new Command(shell).description(`Generate the autocompletion script for ${shell}`)
    command
      .option('--no-descriptions', 'accepted as in frp; bash shows none')
      .addHelpText('after', `\n${LOADING[shell](program.name())}`)
    command.action(() => print(completionScript(shell, program).trimEnd()))
    prepare(command)
    completion.addCommand(command)
  }
  prepare(completion)
  program.addCommand(completion)
}
