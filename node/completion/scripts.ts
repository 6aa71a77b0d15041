import { bashScript } from './bash.ts'
import { fishScript } from './fish.ts'
import { powershellScript } from './powershell.ts'
import { type CommandTree, specsOf } from './spec.ts'
import { zshScript } from './zsh.ts'

/** The shells that cobra, and so frp, has scripts for. */
export const SHELLS = ['bash', 'zsh', 'fish', 'powershell'] as const

type Shell = (typeof SHELLS)[number]

const SCRIPTS: Record<Shell, (name: string, specs: ReturnType<typeof specsOf>) => string> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
  powershell: powershellScript,
}

/** How a script is loaded, for the help text. */
export const LOADING: Record<Shell, (name: string) => string> = {
  bash: (name) => `To load it now: source <(${name} completion bash)`,
  zsh: (name) => `To load it now: source <(${name} completion zsh)`,
  fish: (name) => `To load it now: ${name} completion fish | source`,
  powershell: (name) => `To load it now: ${name} completion powershell | Out-String | Invoke-Expression`,
}

/** What a shell reads to complete the command line of `program`; it asks the program nothing. */
export function completionScript(shell: Shell, program: CommandTree): string {
  return SCRIPTS[shell](program.name(), specsOf(program))
}
