import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { codeOf, messageOf } from '../../../contract/errors.ts'
import { nodeRuntime } from '../../../node/runtime.ts'
import { resolveToken, resolveValue, type ValueSource } from '../../../node/value-source.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'edgefrp-source-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function file(content: string): ValueSource {
  const path = join(folder, 'value')
  writeFileSync(path, content)
  return { type: 'file', file: { path }, exec: undefined }
}

/** A program: this Node with a script. */
function program(script: string, args: string[] = [], env: { name: string; value: string }[] = []): ValueSource {
  return { type: 'exec', file: undefined, exec: { command: process.execPath, args: ['-e', script, ...args], env } }
}

async function failure(source: ValueSource, timeoutMs?: number): Promise<string> {
  const error: unknown = await resolveValue(source, timeoutMs).then(
    (value) => new Error(`it gave ${value}`),
    (reason: unknown) => reason,
  )
  expect(codeOf(error)).toBe('CONFIG_FILE')
  return messageOf(error)
}

describe('a value from a file', () => {
  it('comes without the white space around it', async () => {
    expect(await resolveValue(file(' \n a token\t\r\n\n'))).toBe('a token')
  })

  it('is refused when the file is not there, or is too long to be one', async () => {
    const source: ValueSource = { type: 'file', file: { path: join(folder, 'nowhere') }, exec: undefined }
    expect(await failure(source)).toMatch(/^failed to read file .*nowhere: ENOENT/)
    expect(await failure(file('x'.repeat(64 * 1024 + 1)))).toMatch(/value: it has more than 65536 bytes$/)
    expect(await resolveValue(file('x'.repeat(64 * 1024)))).toHaveLength(64 * 1024)
  })

  it('is refused when the file has no end', async () => {
    const source: ValueSource = { type: 'file', file: { path: '/dev/zero' }, exec: undefined }
    expect(await failure(source)).toBe('failed to read file /dev/zero: it has more than 65536 bytes')
  })
})

describe('a value from a program', () => {
  it('is what it prints, with its arguments as they are and its variables beside ours', async () => {
    const script = 'console.log(process.argv.slice(1).join("|"), process.env.OF_OURS, process.env.ADDED)'
    process.env['OF_OURS'] = 'ours'
    const source = program(script, ['a b', '$HOME', '; exit 1'], [{ name: 'ADDED', value: 'x=y' }])
    expect(await resolveValue(source)).toBe('a b|$HOME|; exit 1 ours x=y')
  })

  it('reads nothing from our standard input', async () => {
    expect(await resolveValue(program('console.log(require("fs").readFileSync(0).length)'))).toBe('0')
  })

  it('is refused with its exit status and what it said, without its arguments', async () => {
    const text = await failure(program('console.error("no such role"); process.exit(3)', ['--', '--password=secret']))
    expect(text).toBe(`failed to execute command ${process.execPath}: exit status 3: no such role`)
  })

  it('is refused when there is no such program', async () => {
    const source: ValueSource = {
      type: 'exec',
      file: undefined,
      exec: { command: 'no-such-program', args: [], env: [] },
    }
    expect(await failure(source)).toContain('ENOENT')
  })

  it('is refused when it prints without end', async () => {
    const text = await failure(program('const go = () => process.stdout.write("x".repeat(1e5), go); go()'))
    expect(text).toContain('it printed more than 65536 bytes')
  })

  it('is refused when it takes too long, even if a child of it goes on', async () => {
    const script = 'require("child_process").spawn("sleep", ["5"], { stdio: "inherit", detached: true }).unref()'
    expect(await failure(program(`${script}; setInterval(() => 0, 1000)`), 300)).toContain(
      'it did not end within 0.3 s',
    )
  })
})

describe('auth.tokenSource', () => {
  const log = nodeRuntime().log

  it('becomes the token', async () => {
    const auth = { method: 'token', token: '', tokenSource: file('from the file\n') }
    await resolveToken(auth, log)
    expect(auth.token).toBe('from the file')
  })

  it('is not read where no token logs in', async () => {
    const auth = { method: 'oidc', token: '', tokenSource: program('process.exit(1)') }
    await resolveToken(auth, log)
    expect(auth.token).toBe('')
  })

  it('that fails says so as frp does, and an empty one is warned of', async () => {
    const auth = { method: 'token', token: '', tokenSource: program('process.exit(1)') }
    await expect(resolveToken(auth, log)).rejects.toThrow('failed to resolve auth.tokenSource: failed to execute')
    const warnings: string[] = []
    const empty = { method: 'token', token: '', tokenSource: file('\n') }
    await resolveToken(empty, { ...log, warn: (line: string) => void warnings.push(line) })
    expect(warnings).toEqual(['auth.tokenSource gave an empty token, which everybody has'])
  })
})
