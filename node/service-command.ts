import { spawnSync } from 'node:child_process'
import { mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, resolve, sep } from 'node:path'
import { FrpError, messageOf } from '../contract/errors.ts'
import { type ServiceCommand, type ServiceFiles, type ServicePlan, serviceFiles } from './service-files.ts'

/** What `frps service …` and `frpc service …` take. */
export interface ServiceCall {
  program: ServicePlan['program']
  /** install, uninstall or status. */
  action: string
  /** `--name`; "": the program's. */
  name: string
  /** `-c`; needed to install. */
  config: string
  /** Other flags that the program is to be started with; `--edgefrp` names a file. */
  edgefrp: string | undefined
  allowUnsafe: readonly string[]
  strict: boolean
  /** `--print`: show what would be written and run, and do nothing. */
  isPrinted: boolean
}

/** What a call does to the machine; tests lend their own. */
export interface ServiceHost {
  plan(call: ServiceCall): ServicePlan
  write(files: ServiceFiles): void
  remove(path: string): void
  /** Runs a command; its exit code and all that it printed. Rejects nothing: a command that is not there is code 127. */
  run(command: ServiceCommand): { code: number; output: string }
}

export const SERVICE_ABOUT =
  'Run from the start of the machine on: install, uninstall or status (systemd, launchd, Windows task)'

/** Runs the call; answers what to print and the exit code. Throws CONFIG_FIELD or CONFIG_FILE. */
export function serviceCommand(call: ServiceCall, host: ServiceHost = realHost): { output: string; exitCode: number } {
  const { action, name, config, program } = call
  if (!['install', 'uninstall', 'status'].includes(action)) {
    throw wrong(`service ${action}: use install, uninstall or status`)
  }
  if (!/^[A-Za-z0-9_.-]{0,64}$/.test(name))
    throw wrong(`--name ${JSON.stringify(name)}: letters, digits and _ . - only`)
  if (action === 'install' && config === '') throw wrong(`${program} service install: name the configuration with -c`)
  const files = serviceFiles(host.plan(call))
  if (call.isPrinted) return { output: printed(files, action), exitCode: 0 }
  if (action === 'status') {
    const { code, output } = host.run(files.status)
    return { output: output.trimEnd(), exitCode: code }
  }
  return { output: action === 'install' ? install(files, host) : uninstall(files, host), exitCode: 0 }
}

function install(files: ServiceFiles, host: ServiceHost): string {
  // One that runs already, perhaps with another file.
  for (const command of files.stop) host.run(command)
  host.write(files)
  runAll(files.start, host)
  return `${files.path} is written, and the service runs`
}

function uninstall(files: ServiceFiles, host: ServiceHost): string {
  for (const command of files.stop) host.run(command)
  host.remove(files.path)
  runAll(files.afterRemoval, host)
  return `the service is stopped, and ${files.path} is removed`
}

function runAll(commands: readonly ServiceCommand[], host: ServiceHost): void {
  for (const command of commands) {
    const { code, output } = host.run(command)
    if (code === 0) continue
    throw new FrpError('NOT_SUPPORTED', `${command.join(' ')}: exit code ${code}: ${output.trim()}`)
  }
}

function printed(files: ServiceFiles, action: string): string {
  const commands = action === 'install' ? files.start : action === 'uninstall' ? files.stop : [files.status]
  const lines = commands.map((command) => `# ${command.join(' ')}`)
  return [`# ${files.path}`, ...(action === 'install' ? [files.content.trimEnd()] : []), ...lines].join('\n')
}

function wrong(text: string): FrpError {
  return new FrpError('CONFIG_FIELD', text)
}

/** This machine. */
const realHost: ServiceHost = {
  plan({ program, name, config, edgefrp, allowUnsafe, strict }) {
    const { platform } = process
    if (platform !== 'linux' && platform !== 'darwin' && platform !== 'win32') {
      throw new FrpError('NOT_SUPPORTED', `no services on ${platform}: use its own tools`)
    }
    const uid = process.getuid?.() ?? 0
    return {
      program,
      name: name === '' ? program : name,
      platform,
      node: process.execPath,
      script: scriptOf(process.argv[1] ?? ''),
      config: resolve(config),
      flags: [
        ...(edgefrp === undefined ? [] : ['--edgefrp', resolve(edgefrp)]),
        ...(allowUnsafe.length === 0 ? [] : [`--allow-unsafe=${allowUnsafe.join(',')}`]),
        ...(strict ? [] : ['--strict_config=false']),
      ],
      isSystem: uid === 0,
      home: platform === 'win32' ? `${process.env['ProgramData'] ?? 'C:\\ProgramData'}\\edgefrp` : homedir(),
      uid,
    }
  },
  write({ path, content, encoding }) {
    try {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, encoding === 'utf16le' ? `\ufeff${content}` : content, { encoding, mode: 0o644 })
    } catch (error) {
      throw new FrpError('CONFIG_FILE', messageOf(error), { cause: error })
    }
  },
  remove(path) {
    rmSync(path, { force: true })
  },
  run([program, ...args]) {
    const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' })
    if (error !== undefined) return { code: 127, output: messageOf(error) }
    return { code: status ?? 1, output: stdout + stderr }
  },
}

/** npx runs from a cache that is cleaned now and then. */
function scriptOf(path: string): string {
  const script = realpathSync(path)
  if (!script.split(sep).includes('_npx')) return script
  throw new FrpError(
    'NOT_SUPPORTED',
    `${script} is in the cache of npx and may go: install edgefrp first (npm install -g)`,
  )
}
