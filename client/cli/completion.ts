import { Command } from 'commander'
import { completionScript, LOADING, SHELLS } from '../../node/completion/scripts.ts'

/** `completion bash|zsh|fish|powershell`, as cobra gives it to frpc. */
export function completionCommand(program: Command): Command {
  const completion = new Command('completion')
    .description('Generate the autocompletion script for the specified shell')
    .allowExcessArguments(true)
    .exitOverride()
    .action(() => completion.outputHelp())
  for (const shell of SHELLS) {
    const command = new Command(shell).description(`Generate the autocompletion script for ${shell}`)
    command
      .option('--no-descriptions', 'accepted as in frp; bash shows none')
      .addHelpText('after', `\n${LOADING[shell](program.name())}`)
    command.action(() => console.log(completionScript(shell, program).trimEnd()))
    completion.addCommand(command.exitOverride())
  }
  return completion
}
