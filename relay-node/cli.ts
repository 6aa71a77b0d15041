import { Command, CommanderError, Option } from 'commander'
import type { FrpsOptions, Loaded } from '../config/load.ts'
import { messageOf } from '../contract/errors.ts'
import { VERSION } from '../contract/version.ts'
import { readFlag } from '../node/pflag.ts'
import { SERVICE_ABOUT, serviceCommand } from '../node/service-command.ts'
import { completionCommand } from './completion.ts'
import { configOfFlags, type ReadOptions, readConfig } from './config-file.ts'
import { CONFIG_FLAGS, normalizedArguments, optionsOfFlags } from './flags.ts'
import { REMOTE_COMMANDS, runRemote } from './remote.ts'

/** What the command line does to the world; tests lend their own. */
export interface Cli {
  /** Ordinary output and, as frp does, ordinary failures. */
  print(text: string): void
  /** Misuse of the command line. */
  printError(text: string): void
  /** The default of `--edgefrp`. */
  env: Readonly<Record<string, string | undefined>>
  /** Runs a relay until it is told to stop; rejects when it cannot start. */
  serve(
    loaded: Loaded<FrpsOptions>,
    configFile: string | undefined,
    /** Reads the same file again; undefined: there is none. */
    reread: (() => Loaded<FrpsOptions>) | undefined,
  ): Promise<void>
}

/** Runs `frps args...`; the promise is the exit code of the process. */
export async function runCli(args: readonly string[], cli: Cli): Promise<number> {
  let exitCode = 0
  const fail = (error: unknown): void => {
    cli.print(messageOf(error))
    exitCode = 1
  }
  const program = programOf(cli)
  program.action(async () => {
    const [unknown] = program.args
    if (unknown !== undefined) {
      throw misuse(program, `unknown command ${JSON.stringify(unknown)} for "frps"`)
    }
    if (isVersionAsked(program)) return cli.print(VERSION)
    try {
      const flags = commonOf(program, cli)
      if (flags.config === '') {
        await cli.serve(configOfFlags(optionsOfFlags(givenOf(program)), flags), undefined, undefined)
        return
      }
      const read = (): Loaded<FrpsOptions> => readConfig(flags.config, flags)
      await cli.serve(read(), flags.config, read)
    } catch (error) {
      fail(error)
    }
  })
  const verify = program.command('verify').description('Verify that the configures is valid')
  verify.action(() => {
    try {
      const flags = commonOf(program, cli)
      if (flags.config === '') return cli.print('frps: the configuration file is not specified')
      const { warnings } = readConfig(flags.config, flags)
      for (const warning of warnings) cli.print(`WARNING: ${warning}`)
      cli.print(`frps: the configuration file ${flags.config} syntax is ok`)
    } catch (error) {
      fail(error)
    }
  })
  prepare(verify, cli)
  for (const [usage, about] of Object.entries(REMOTE_COMMANDS)) {
    const command = program.command(usage).description(about)
    command.action(async (name: unknown) => {
      try {
        const flags = commonOf(program, cli)
        if (flags.config === '') return cli.print('frps: the configuration file is not specified')
        const { options } = readConfig(flags.config, flags)
        cli.print(await runRemote(command.name(), typeof name === 'string' ? name : '', options))
      } catch (error) {
        fail(error)
      }
    })
    prepare(command, cli)
  }
  const service = program.command('service <action>').description(SERVICE_ABOUT)
  service.option('--name <name>', 'name of the service, when there are several (default "frps")')
  service.option('--print', 'show what would be written and run, and do nothing')
  service.action((action: string) => {
    try {
      const flags = commonOf(program, cli)
      // What is wrong with it is told now, not at the next start of the machine.
      if (action === 'install' && flags.config !== '') readConfig(flags.config, flags)
      const { name, print } = service.opts()
      const call = { ...flags, action, name: String(name ?? ''), isPrinted: print === true }
      const { output, exitCode: code } = serviceCommand({ ...call, program: 'frps' })
      cli.print(output)
      exitCode = code
    } catch (error) {
      fail(error)
    }
  })
  prepare(service, cli)
  completionCommand(program, cli.print, (command) => prepare(command, cli))
  try {
    await program.parseAsync(normalizedArguments(args), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode
  }
  return exitCode
}

function programOf(cli: Cli): Command {
  const program = new Command('frps')
  program.description(`frps is the server of frp (https://github.com/fatedier/frp); this one is edgefrp ${VERSION}`)
  program.allowExcessArguments(true)
  program.helpCommand('help [command]', 'Help about any command')
  program.option('-c, --config <file>', 'config file of frps', '')
  program.option('-v, --version', 'version of frps')
  program.option('--edgefrp <file>', 'file with the keys of the table edgefrp alone (or EDGEFRP_CONFIG)')
  program.addOption(
    new Option('--strict-config <bool>', 'unknown keys are errors').default('true').argParser((text: string) => text),
  )
  program.option('--allow-unsafe <names>', 'allowed unsafe features, one or more of: TokenSourceExec', collect, [])
  for (const flag of CONFIG_FLAGS) {
    const short = flag.short === undefined ? '' : `-${flag.short}, `
    const shown = flag.shown === '' ? '' : ` (default ${flag.shown})`
    const value = flag.kind === 'bool' ? '[bool]' : `<${flag.kind}>`
    program.option(`${short}--${flag.name} ${value}`, flag.help + shown)
  }
  prepare(program, cli)
  return program
}

function prepare(command: Command, cli: Cli): void {
  command.exitOverride()
  command.configureOutput({
    writeOut: (text) => cli.print(text.trimEnd()),
    writeErr: (text) => cli.printError(text.trimEnd()),
    outputError: (text, write) => write(cobraError(text)),
  })
  command.showHelpAfterError()
}

/** cobra's words for what commander found. */
function cobraError(text: string): string {
  return text.replace(/^error: /, 'Error: ').replace(/unknown option '(-[^']*)'.*/s, 'unknown flag: $1')
}

function misuse(program: Command, text: string): CommanderError {
  try {
    return program.error(`error: ${text}`, { exitCode: 1 })
  } catch (error) {
    if (error instanceof CommanderError) return error
    throw error
  }
}

function collect(text: string, before: string[]): string[] {
  return [...before, ...text.split(',').map((name) => name.trim())]
}

function isVersionAsked(program: Command): boolean {
  return program.opts()['version'] === true
}

function commonOf(program: Command, cli: Cli): ReadOptions & { config: string } {
  const { config, strictConfig, allowUnsafe, edgefrp } = program.opts()
  const ownFile: unknown = edgefrp ?? cli.env['EDGEFRP_CONFIG']
  return {
    config: String(config),
    strict: readFlag({ name: 'strict-config', kind: 'bool' }, String(strictConfig)) === true,
    allowUnsafe: allowUnsafe,
    edgefrp: ownFile === undefined || ownFile === '' ? undefined : String(ownFile),
  }
}

/** The flags that were given, by name. */
function givenOf(program: Command): Map<string, string> {
  const given = new Map<string, string>()
  for (const option of program.options) {
    const value: unknown = program.getOptionValue(option.attributeName())
    if (program.getOptionValueSource(option.attributeName()) === 'cli') given.set(option.name(), String(value))
  }
  return given
}
