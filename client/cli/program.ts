import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError, Option } from 'commander'
import { completeFrpc } from '../../config/load.ts'
import { messageOf } from '../../contract/errors.ts'
import { VERSION } from '../../contract/version.ts'
import { escapeControls } from '../../node/log.ts'
import { dashed, readFlag } from '../../node/pflag.ts'
import { SERVICE_ABOUT, serviceCommand } from '../../node/service-command.ts'
import { environment } from '../../node/source-file.ts'
import { runService } from '../run.ts'
import { completionCommand } from './completion.ts'
import { type ReadOptions, readConfig } from './config-file.ts'
import { type Flag, keyOf, normalizeCommand, ROOT_FLAGS } from './flags.ts'
import { NATHOLE_FLAGS, natholeDiscover, natholeFlags } from './nathole.ts'
import {
  ALL_QUICK_FLAGS,
  QUICK_TYPES,
  QUICK_VISITOR_FLAGS,
  QUICK_VISITOR_TYPES,
  quickConfig,
  quickFlags,
  quickVisitorConfig,
  quickVisitorFlags,
} from './quick.ts'
import { REMOTE_COMMANDS, REMOTE_FLAGS, type RemoteCommand, runRemote } from './remote.ts'
import { VISIT_ABOUT, VISIT_FLAGS, visitCommand } from './visit.ts'

const SERVICE_FLAGS: readonly Flag[] = [
  { name: 'name', kind: 'string', about: 'name of the service, when there are several (default "frpc")' },
  { name: 'print', kind: 'bool', about: 'show what would be written and run, and do nothing' },
]
/** Flags of all commands, to tell those with a value from those without. */
const ALL_FLAGS: readonly Flag[] = [
  ROOT_FLAGS,
  QUICK_VISITOR_FLAGS,
  NATHOLE_FLAGS,
  ALL_QUICK_FLAGS,
  VISIT_FLAGS,
  REMOTE_FLAGS,
  SERVICE_FLAGS,
].flat()
/** Without `-c`: frp's own default first, although its format is called deprecated, then what everybody writes today. */
const DEFAULT_CONFIGS = ['./frpc.ini', './frpc.toml', './frpc.yaml', './frpc.json'] as const

/** Runs frpc's command line and sets the exit code; ordinary failures are told on stdout, as frp does. */
export async function main(args: readonly string[]): Promise<void> {
  const stopping = new AbortController()
  // The first signal closes; a second one is the user's last word.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())
  try {
    process.exitCode = await run(args, stopping)
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    process.exitCode = error.exitCode
  }
  // Connections to local services may still be closing; nobody waits for them any more.
  if (stopping.signal.aborted || process.exitCode !== 0) process.exit()
}

/** Runs the command that `args` name until it ends or `stopping` says so; resolves to the exit code. */
async function run(args: readonly string[], stopping: AbortController): Promise<number> {
  const line = new CommandLine(stopping)
  addFileCommands(line)
  addQuickCommands(line)
  addNathole(line)
  addVisit(line)
  addService(line)
  line.root.addCommand(completionCommand(line.root))
  const ofTwo = (first: string, second: string): readonly Flag[] | undefined =>
    quickVisitorFlags(first, second) ?? natholeFlags(first, second)
  await line.root.parseAsync(normalizeCommand(args, ALL_FLAGS, ofTwo), { from: 'user' })
  return line.exitCode
}

/** What the commands share: the flags of the root, and the exit code that the one that ran leaves. */
class CommandLine {
  exitCode = 0
  readonly root = newCommand('frpc', 'frpc is the client of frp', ROOT_FLAGS)
  readonly stopping: AbortController

  constructor(stopping: AbortController) {
    this.stopping = stopping
    this.root.helpCommand('help [command]', 'Help about any command')
  }

  get signal(): AbortSignal {
    return this.stopping.signal
  }

  /** `-c`; undefined: not given. */
  get config(): string | undefined {
    return text(this.rootValue('config'))
  }

  get file(): string {
    return this.config ?? DEFAULT_CONFIGS.find((name) => existsSync(name)) ?? DEFAULT_CONFIGS[0]
  }

  get reading(): ReadOptions {
    return {
      strict: this.rootValue('strict_config') !== false,
      allowUnsafe: strings(this.rootValue('allow-unsafe')),
      edgefrp: text(this.rootValue('edgefrp')) ?? text(process.env['EDGEFRP_CONFIG']),
    }
  }

  rootValue(name: string): unknown {
    return given(this.root, flagNamed(name))
  }

  /** An action for a command: what it throws is told, and is exit code 1. */
  attempt(action: () => Promise<number>): () => Promise<void> {
    return async () => {
      try {
        this.exitCode = this.rootValue('version') === true ? printVersion() : await action()
      } catch (error) {
        printError(error)
        this.exitCode = 1
      }
    }
  }
}

/** Those that are about a configuration file, and the program itself without a command. */
function addFileCommands(line: CommandLine): void {
  const { root } = line
  root.action(
    line.attempt(async () => {
      const directory = text(line.rootValue('config_dir'))
      const code = await (directory === undefined
        ? runFile(line.file, line.reading, line.signal)
        : runAll(directory, line.reading, line.signal))
      // The admin API may have ended it, and that is a stop like any other.
      line.stopping.abort()
      return code
    }),
  )
  const verify = newCommand('verify', 'Verify that the configures is valid', [])
  root.addCommand(verify.action(line.attempt(async () => verifyFile(line.file, line.reading))))
  for (const name of Object.keys(REMOTE_COMMANDS) as RemoteCommand[]) {
    // the keys of that very object
    const command = newCommand(name, REMOTE_COMMANDS[name], REMOTE_FLAGS)
    root.addCommand(
      command.action(line.attempt(() => remote(name, line.file, line.reading, command.getOptionValue('apiTimeout')))),
    )
  }
}

/** `frpc <type>` and `frpc <type> visitor`. */
function addQuickCommands(line: CommandLine): void {
  for (const type of QUICK_TYPES) {
    const command = newCommand(type, `Run frpc with a single ${type} proxy`, quickFlags(type))
    const config = (): object => quickConfig(type, (flag) => given(command, flag))
    line.root.addCommand(command.action(line.attempt(() => runQuick(config(), line.reading, line.signal))))
    const visitorType = QUICK_VISITOR_TYPES.find((known) => known === type)
    if (visitorType === undefined) continue
    const visitor = newCommand('visitor', `Run frpc with a single ${type} visitor`, QUICK_VISITOR_FLAGS)
    // Flags that both commands know are taken by the first one, wherever they stand.
    const visitorConfig = (): object =>
      quickVisitorConfig(visitorType, (flag) => given(visitor, flag) ?? given(command, flag))
    command.addCommand(visitor.action(line.attempt(() => runQuick(visitorConfig(), line.reading, line.signal))))
  }
}

function addNathole(line: CommandLine): void {
  const discover = newCommand('discover', 'Discover nathole information from stun server', NATHOLE_FLAGS)
  discover.action(
    line.attempt(() => {
      const [stunServer = '', localAddress = ''] = NATHOLE_FLAGS.map((flag) => text(given(discover, flag)))
      return natholeDiscover(line.file, line.reading, { stunServer, localAddress })
    }),
  )
  line.root.addCommand(newCommand('nathole', 'Actions about nathole', []).addCommand(discover))
}

function addVisit(line: CommandLine): void {
  const visit = newCommand('visit', VISIT_ABOUT, VISIT_FLAGS)
  visit.argument('<type>', 'tcp or udp').argument('<port>', 'port at the relay')
  visit.action(async (type: string, port: string) => {
    const value = (name: string): unknown => given(visit, { name, kind: 'string', about: '' })
    const { config, reading, signal } = line
    line.exitCode = await visitCommand({ type, port, given: value, config, reading }, signal)
  })
  line.root.addCommand(visit)
}

function addService(line: CommandLine): void {
  const service = newCommand('service', SERVICE_ABOUT, SERVICE_FLAGS)
  service.argument('<action>', 'install, uninstall or status')
  const act = async (action: string): Promise<number> => {
    const { reading, config = '' } = line
    // What is wrong with it is told now, not at the next start of the machine.
    if (action === 'install' && config !== '') readConfig(config, reading)
    const name = text(service.getOptionValue('name')) ?? ''
    const isPrinted = service.getOptionValue('print') === true
    const { output, exitCode } = serviceCommand({ ...reading, program: 'frpc', action, name, config, isPrinted })
    console.log(output)
    return exitCode
  }
  service.action((action: string) => line.attempt(() => act(action))())
  line.root.addCommand(service)
}

async function runFile(fileName: string, options: ReadOptions, signal: AbortSignal): Promise<number> {
  const { options: config, warnings } = readConfig(fileName, options)
  printWarnings(warnings)
  await runService(config, fileName, signal, (strict) => {
    const reread = readConfig(fileName, { ...options, strict })
    printWarnings(reread.warnings)
    return reread.options
  })
  return 0
}

/** The configuration that names the admin API is the one that the running frpc was started with. */
async function remote(
  command: RemoteCommand,
  fileName: string,
  options: ReadOptions,
  timeout: unknown,
): Promise<number> {
  const { options: config } = readConfig(fileName, options)
  console.log(await runRemote(command, config.webServer, options.strict, timeout))
  return 0
}

/** One service a file, each on its own; always 0, as in frp. */
async function runAll(directory: string, options: ReadOptions, signal: AbortSignal): Promise<number> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const runs = files.map(async (entry) => {
    const fileName = join(entry.parentPath, entry.name)
    try {
      await runFile(fileName, options, signal)
    } catch (error) {
      printError(error)
      console.log(`frpc service error for config file [${fileName}]`)
    }
  })
  await Promise.all(runs)
  return 0
}

function verifyFile(fileName: string, options: ReadOptions): number {
  if (fileName === '') {
    console.log('frpc: the configuration file is not specified')
    return 0
  }
  printWarnings(readConfig(fileName, options).warnings)
  console.log(`frpc: the configuration file ${fileName} syntax is ok`)
  return 0
}

async function runQuick(raw: object, options: ReadOptions, signal: AbortSignal): Promise<number> {
  const { allowUnsafe } = options
  const { options: config, warnings } = completeFrpc(raw, { envs: environment(), allowUnsafe })
  printWarnings(warnings)
  await runService(config, '', signal)
  return 0
}

function newCommand(name: string, about: string, flags: readonly Flag[]): Command {
  const command = new Command(name).description(about).exitOverride()
  command.configureOutput({ outputError: (line, write) => write(line.replace(/^error: /, 'Error: ')) })
  for (const flag of flags) {
    const short = flag.short === undefined ? '' : `-${flag.short}, `
    const option = new Option(`${short}--${dashed(flag.name)} <${flag.kind}>`, flag.about)
    option.argParser((value: string, before: unknown) => {
      try {
        return readFlag(flag, value, before)
      } catch (error) {
        return command.error(`error: ${messageOf(error)}`, { exitCode: 1 })
      }
    })
    command.addOption(option)
  }
  return command
}

/** The value of a flag; undefined: not given. */
function given(command: Command, flag: Flag): unknown {
  return command.getOptionValue(keyOf(flag))
}

function flagNamed(name: string): Flag {
  const flag = ROOT_FLAGS.find((one) => one.name === name)
  if (flag === undefined) throw new TypeError(`no flag is called ${name}`)
  return flag
}

function printVersion(): number {
  console.log(VERSION)
  return 0
}

/** A relay's reason may be in it: nothing of that moves the cursor of a terminal. */
function printError(error: unknown): void {
  console.log(messageOf(error).split('\n').map(escapeControls).join('\n'))
}

function printWarnings(warnings: readonly string[]): void {
  for (const warning of warnings) console.log(`WARNING: ${warning}`)
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}
