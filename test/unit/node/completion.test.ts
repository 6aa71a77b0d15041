import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { completionScript, SHELLS } from '../../../node/completion/scripts.ts'
import { specsOf } from '../../../node/completion/spec.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'edgefrp-completion-'))
  for (const name of ['relay.toml', 'verify.toml']) writeFileSync(join(folder, name), '')
  mkdirSync(join(folder, 'conf'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** A program with a command below a command, quotes in its texts, and one letter in two cases. */
function program(): Command {
  const root = new Command('prog')
    .option('-c, --config <file>', 'prog\'s file: "a\\b"')
    .option('--tls-only [bool]', 'TLS only')
    .option('--log-file <string>', 'where lines go')
    .option('--strict-config <bool>', '')
    .addOption(new Option('--secret-door <x>', 'nobody sees it').hideHelp())
  root
    .command('verify')
    .description('Verify it')
    .option('-p, --port <int>', 'a port')
    .option('-P, --protocol <string>', 'b')
  root.command('completion').description('Scripts').command('bash').description('for bash')
  return root
}

/** What bash offers for a command line whose last word is being typed; bash cuts words at `=` before. */
function offered(...words: string[]): Promise<string[]> {
  const script = `${completionScript('bash', program())}
cd "$FOLDER"; COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); __prog_complete; printf '%s\\n' "\${COMPREPLY[@]}"`
  return new Promise((resolve, reject) => {
    const bash = execFile(
      'bash',
      ['--norc', '--noprofile', '-s', 'prog', ...words],
      { env: { PATH: process.env['PATH'], FOLDER: folder } },
      (error, stdout, stderr) => {
        if (error !== null || stderr !== '') reject(error ?? new Error(stderr))
        else
          resolve(
            stdout
              .split('\n')
              .filter((line) => line !== '')
              .sort(),
          )
      },
    )
    bash.stdin?.end(script)
  })
}

describe('the completion of bash', () => {
  it('offers commands, flags of the command and of those above it, and files for values', async () => {
    expect(await offered('')).toEqual(['completion', 'help', 'verify'])
    expect(await offered('v')).toEqual(['verify'])
    expect(await offered('--')).toEqual(['--config', '--help', '--log-file', '--strict-config', '--tls-only'])
    expect(await offered('verify', '--p')).toEqual(['--port', '--protocol'])
    expect(await offered('verify', '-')).toEqual(expect.arrayContaining(['-P', '-c', '-h', '-p', '--config', '--port']))
    expect(await offered('completion', '')).toEqual(['bash'])
    expect(await offered('completion', 'bash', '--c')).toEqual(['--config'])
  })

  it('offers files where a value is due, written either way', async () => {
    expect(await offered('-c', 'r')).toEqual(['relay.toml'])
    expect(await offered('--config', '')).toEqual(['conf', 'relay.toml', 'verify.toml'])
    expect(await offered('--config', '=')).toEqual(['conf', 'relay.toml', 'verify.toml'])
    expect(await offered('--config', '=', 'ver')).toEqual(['verify.toml'])
  })

  it('knows flags in the spelling of frp too', async () => {
    expect(await offered('--tls_')).toEqual(['--tls-only'])
    expect(await offered('--log_file', 'rel')).toEqual(['relay.toml'])
  })

  it('takes no value for a command, and a switch for no flag with a value', async () => {
    expect(await offered('-c', 'completion', '')).toEqual(['completion', 'help', 'verify'])
    expect(await offered('--config', '=', 'verify', 'ver')).toEqual(['verify'])
    expect(await offered('--tls-only', 'verify', '--port')).toEqual(['--port'])
    expect(await offered('--strict-config', 'comp')).toEqual(['completion'])
  })
})

describe('a completion script', () => {
  it.each(SHELLS)('of %s names every command and flag, and hides what help hides', (shell) => {
    const script = completionScript(shell, program())
    expect(script.startsWith(shell === 'zsh' ? '#compdef prog\n' : `# ${shell} completion for prog\n`)).toBe(true)
    for (const word of ['verify', 'completion', 'bash', 'config', 'port', 'protocol', 'tls-only', 'help']) {
      expect(script).toContain(word)
    }
    expect(script).not.toContain('secret-door')
  })

  it('carries texts with quotes in the way of its shell', () => {
    expect(completionScript('zsh', program())).toContain(`'--config:prog'\\''s file: "a\\b"'`)
    expect(completionScript('fish', program())).toContain(
      `complete -c prog -l config -s c -r -F -d 'prog\\'s file: "a\\\\b"'`,
    )
    expect(completionScript('powershell', program())).toContain(`'--config prog''s file: "a\\b"'`)
  })

  it('knows flags with a value from those without', () => {
    const root = specsOf(program())[0]
    expect(root?.flags.map(({ long, takesValue }) => [long, takesValue])).toEqual([
      ['--config', true],
      ['--tls-only', false],
      ['--log-file', true],
      ['--strict-config', false],
      ['--help', false],
    ])
  })
})
